"""Ed25519 keys: made, read from files, used to sign and verify DSSE envelopes.

A private key is a PEM file (PKCS #8) that its owner alone can read, encrypted where it has a
passphrase; a public key is a PEM file (SubjectPublicKeyInfo), as cosign and OpenSSL read it. A
key's name (keyid) is the one that securesystemslib computes.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from containers.host import durable
from orchestrator.evidence.dsse import Envelope, Signature
from reproducibility import regular
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.serialization import KeySerializationEncryption

PUBLIC = ".pub"
# Bytes; a key of this kind has some hundred.
_LARGEST = 64 << 10
# Bytes; what `cryptography` passes on to OpenSSL.
_LONGEST_PASSPHRASE = 1023


class LockedKeyError(InputError):
    """A private key has a passphrase, and none was given."""


@dataclass(frozen=True)
class Public:
    """Public key. `key`: as `cryptography` has it; `keyid`: its name, 64 hexadecimal digits."""

    key: Ed25519PublicKey
    keyid: str

    @classmethod
    def of(cls, key: Ed25519PublicKey) -> Public:
        """Return a key with its name."""
        return cls(key, SSlibKey.from_crypto(key).keyid)

    @property
    def pem(self) -> bytes:
        """The file form."""
        return self.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Private:
    """Private key, which signs."""

    key: Ed25519PrivateKey

    @property
    def public(self) -> Public:
        """The key that verifies what this one signs."""
        return Public.of(self.key.public_key())

    def sign(self, envelope: Envelope) -> Envelope:
        """Return an envelope with this key's signature, which is the same each time (RFC 8032)."""
        made = CryptoSigner(self.key).sign(envelope.pae)
        return envelope.signed(Signature(made.keyid, bytes.fromhex(made.signature)))

    def pem(self, passphrase: bytes | None) -> bytes:
        """The file form, encrypted where there is a passphrase."""
        encryption: KeySerializationEncryption = NoEncryption()
        if passphrase:
            encryption = BestAvailableEncryption(passphrase)
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def generate() -> Private:
    """Make a new key from the kernel's randomness."""
    return Private(Ed25519PrivateKey.generate())


def public_path(path: Path) -> Path:
    """Return where the public key of a private key's file lies."""
    return path.with_name(path.name + PUBLIC)


def save(private: Private, path: Path, passphrase: bytes | None) -> Public:
    """Write a private key (mode 0600) and its public key beside it, in files that are new.

    Raises:
        InputError: there is a file of that name already, no such folder, or the passphrase is too
            long; nothing was written.
        InfrastructureError: the files cannot be written; nothing is left of them.
    """
    if passphrase is not None and len(passphrase) > _LONGEST_PASSPHRASE:
        raise InputError(
            f"the passphrase has {len(passphrase)} bytes, and at most {_LONGEST_PASSPHRASE} are "
            "possible",
            subject="passphrase",
            remedy="give a shorter one",
        )
    if not path.parent.is_dir():
        raise InputError(
            f"there is no folder {path.parent}",
            subject=str(path),
            remedy="make it first, or give another path",
        )
    beside = public_path(path)
    for place in (path, beside):
        if os.path.lexists(place):
            raise InputError(
                "there is a file already, and a key is never overwritten",
                subject=str(place),
                remedy="give another path",
            )
    made: list[Path] = []
    try:
        for place, data, mode in (
            (path, private.pem(passphrase), 0o600),
            (beside, private.public.pem, 0o644),
        ):
            handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            made.append(place)
            try:
                os.fchmod(handle, mode)
                durable.write_all(handle, data)
                os.fsync(handle)
            finally:
                os.close(handle)
    except BaseException as error:
        for place in made:
            place.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InfrastructureError(
                f"the key cannot be written: {error.strerror}",
                subject=str(error.filename or path),
                remedy="give another path, or mend the folder's permissions",
            ) from error
        raise
    return private.public


def load_private(path: Path, passphrase: bytes | None = None) -> Private:
    """Read a private key.

    Raises:
        LockedKeyError: it has a passphrase, and none was given.
        InputError: there is none, it is of another kind, others can read it, or the passphrase is
            wrong.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        data = regular.read(path, limit=_LARGEST)
    except OSError as error:
        remedy = "make one with `orchestrate key new PATH`, or give the path of another"
        raise _unreadable(path, error, "private", remedy) from error
    if b"PUBLIC KEY-----" in data and b"PRIVATE KEY-----" not in data:
        raise InputError(
            "this is the public key, and the private one signs",
            subject=str(path),
            remedy=f"give {path.with_suffix('')}"
            if path.suffix == PUBLIC
            else "give the private key's file",
        )
    if mode & 0o077:
        raise InputError(
            f"others than its owner can read or write this private key (mode {mode:04o})",
            subject=str(path),
            remedy=f"chmod 600 {path}, and make a new key if somebody may have read it",
        )
    try:
        found = load_pem_private_key(data, passphrase or None)
    except TypeError as error:
        if passphrase:
            raise InputError(
                "this private key has no passphrase, and one was given",
                subject=str(path),
                remedy="leave the passphrase out",
            ) from error
        raise LockedKeyError(
            "this private key has a passphrase",
            subject=str(path),
            remedy="give it with --passphrase-file, in $SOURCERY_PASSPHRASE, or when asked",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _not_private(path, wrong=b"ENCRYPTED" in data and passphrase is not None) from error
    if not isinstance(found, Ed25519PrivateKey):
        raise _not_private(path, wrong=False)
    return Private(found)


def load_public(path: Path) -> Public:
    """Read a public key.

    Raises:
        InputError: there is none, or it is of another kind.
    """
    try:
        data = regular.read(path, limit=_LARGEST)
    except OSError as error:
        remedy = (
            f"give the public key of who signed: `orchestrate key new PATH` writes PATH{PUBLIC}"
        )
        raise _unreadable(path, error, "public", remedy) from error
    return parse_public(data, str(path))


def parse_public(data: bytes, subject: str) -> Public:
    """Read a public key from its file form. Errors as `load_public`."""
    if b"PRIVATE KEY-----" in data:
        raise InputError(
            "this is the private key: do not hand it out, and make a new one if you did",
            subject=subject,
            remedy=f"give the public key, which `orchestrate key new PATH` wrote as PATH{PUBLIC}",
        )
    try:
        found = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _not_public(subject) from error
    if not isinstance(found, Ed25519PublicKey):
        raise _not_public(subject)
    return Public.of(found)


def verify(envelope: Envelope, public: Public) -> bool:
    """Return whether a key made one of an envelope's signatures.

    Every signature is tried: an envelope's keyid is a hint that nobody signed (DSSE, protocol).
    """
    return any(_made_by(signature, envelope.pae, public) for signature in envelope.signatures)


def _made_by(signature: Signature, signed: bytes, public: Public) -> bool:
    try:
        public.key.verify(signature.sig, signed)
    except InvalidSignature:
        return False
    return True


def _unreadable(path: Path, error: OSError, kind: str, remedy: str) -> InputError:
    return InputError(
        f"cannot read the {kind} key: {error.strerror}", subject=str(path), remedy=remedy
    )


def _not_private(path: Path, *, wrong: bool) -> InputError:
    if wrong:
        return InputError(
            "the passphrase is not the one of this private key",
            subject=str(path),
            remedy="give the right one",
        )
    return InputError(
        "this is not an Ed25519 private key in PEM form (PKCS #8)",
        subject=str(path),
        remedy="make one with `orchestrate key new PATH`",
    )


def _not_public(subject: str) -> InputError:
    return InputError(
        "this is not an Ed25519 public key in PEM form",
        subject=subject,
        remedy="give the file that `orchestrate key new PATH` wrote as PATH.pub",
    )
