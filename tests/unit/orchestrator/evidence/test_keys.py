from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from containers.host import durable
from orchestrator.evidence import keys
from orchestrator.evidence.dsse import Envelope, Signature
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from pathlib import Path

ENVELOPE = Envelope(b"{}")


def test_a_key_is_read_back_and_verifies(tmp_path: Path) -> None:
    made = keys.generate()
    public = keys.save(made, tmp_path / "key", None)
    again = keys.load_private(tmp_path / "key")
    assert keys.load_public(tmp_path / "key.pub") == public == again.public
    signed = again.sign(ENVELOPE)
    assert signed == made.sign(ENVELOPE)
    assert keys.verify(signed, public)
    assert not keys.verify(ENVELOPE, public)
    assert not keys.verify(signed, keys.generate().public)


def test_a_changed_payload_is_not_verified() -> None:
    key = keys.generate()
    signed = key.sign(ENVELOPE)
    changed = Envelope(b"{} ", signed.payload_type, signed.signatures)
    assert not keys.verify(changed, key.public)
    other_type = Envelope(b"{}", "text/plain", signed.signatures)
    assert not keys.verify(other_type, key.public)


def test_the_keys_name_counts_for_nothing() -> None:
    key = keys.generate()
    (signature,) = key.sign(ENVELOPE).signatures
    renamed = ENVELOPE.signed(Signature("another", signature.sig))
    assert keys.verify(renamed, key.public)
    forged = ENVELOPE.signed(Signature(key.public.keyid, bytes(64)))
    assert not keys.verify(forged, key.public)
    assert not keys.verify(ENVELOPE.signed(Signature("a", b"short")), key.public)


def test_the_name_is_that_of_securesystemslib() -> None:
    key = keys.generate()
    assert key.public.keyid == CryptoSigner(key.key).public_key.keyid
    assert key.public.keyid == SSlibKey.from_crypto(key.public.key).keyid


def test_a_new_key_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keys.save(keys.generate(), tmp_path / "key", None)
    finally:
        os.umask(before)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "key.pub").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("taken", ["key", "key.pub"])
def test_a_file_is_never_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")
    with pytest.raises(InputError, match="never overwritten"):
        keys.save(keys.generate(), tmp_path / "key", None)
    assert [path.name for path in tmp_path.iterdir()] == [taken]


def test_nothing_is_left_of_a_key_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = durable.write_all

    def full(handle: int, data: bytes) -> None:
        if b"PUBLIC" in data:
            raise OSError(28, "No space left on device")
        real(handle, data)

    monkeypatch.setattr(durable, "write_all", full)
    with pytest.raises(InfrastructureError, match="No space left"):
        keys.save(keys.generate(), tmp_path / "key", None)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        keys.save(keys.generate(), tmp_path / "no" / "key", None)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    keys.save(keys.generate(), tmp_path / "key", None)
    (tmp_path / "key").chmod(mode)
    with pytest.raises(InputError, match=f"mode {mode:04o}") as caught:
        keys.load_private(tmp_path / "key")
    assert "chmod 600" in caught.value.remedy


def test_a_passphrase_is_asked_for_and_checked(tmp_path: Path) -> None:
    made = keys.generate()
    keys.save(made, tmp_path / "key", b"open sesame")
    assert b"ENCRYPTED" in (tmp_path / "key").read_bytes()
    with pytest.raises(keys.LockedKeyError):
        keys.load_private(tmp_path / "key")
    with pytest.raises(InputError, match="passphrase is not the one"):
        keys.load_private(tmp_path / "key", b"open barley")
    assert keys.load_private(tmp_path / "key", b"open sesame").public == made.public


def test_a_passphrase_for_a_key_without_one_is_refused(tmp_path: Path) -> None:
    keys.save(keys.generate(), tmp_path / "key", None)
    with pytest.raises(InputError, match="has no passphrase"):
        keys.load_private(tmp_path / "key", b"anything")


def other_kind() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


@pytest.mark.parametrize("data", [b"", b"\xff", b"-----BEGIN PRIVATE KEY-----\n", other_kind()[0]])
def test_what_is_no_private_key_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "key").write_bytes(data)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(InputError, match="not an Ed25519 private key"):
        keys.load_private(tmp_path / "key")


@pytest.mark.parametrize("data", [b"", b"\xff", b"-----BEGIN PUBLIC KEY-----\n", other_kind()[1]])
def test_what_is_no_public_key_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "key.pub").write_bytes(data)
    with pytest.raises(InputError, match="not an Ed25519 public key"):
        keys.load_public(tmp_path / "key.pub")


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    for read in (keys.load_private, keys.load_public):
        with pytest.raises(InputError, match="cannot read") as caught:
            read(tmp_path / "key")
        assert "orchestrate key new" in caught.value.remedy
