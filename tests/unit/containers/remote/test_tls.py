"""A farm behind TLS: whom both sides believe, and what is said where they do not."""

from __future__ import annotations

import datetime as dt
import shutil
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from containers.remote import authorities, channel
from containers.remote.farm import Tls
from reproducibility.errors import InfrastructureError, InputError
from tests.fakes import Made, action
from tests.unit.containers.remote.conftest import of_unknown_kind

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_farm import Seen
    from tests.unit.containers.remote.conftest import Bench

# The name of the farm, which is on a socket of the file system: there may be no other here.
_HOST = "localhost"


@dataclass(frozen=True)
class Issuer:
    """Signs certificates; its own is `<folder>/<name>.pem`."""

    folder: Path
    name: str
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls, folder: Path, name: str) -> Issuer:
        issuer = cls(folder, name, ec.generate_private_key(ec.SECP256R1()))
        issuer._write(name, issuer.key, authority=True)
        return issuer

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.pem"

    def issue(self, name: str, host: str) -> tuple[Path, Path]:
        """A certificate and its key."""
        return self._write(name, ec.generate_private_key(ec.SECP256R1()), host)

    def _write(
        self, name: str, key: ec.EllipticCurvePrivateKey, host: str = "", *, authority: bool = False
    ) -> tuple[Path, Path]:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if host:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False
            )
        made = builder.sign(self.key, hashes.SHA256())
        certificate, private = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, private


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    named = (*channel._OPTIONS, ("grpc.ssl_target_name_override", _HOST))
    monkeypatch.setattr(channel, "_OPTIONS", named)


@pytest.fixture
def authority(tmp_path: Path) -> Issuer:
    return Issuer.new(tmp_path, "authority")


def serve(bench: Bench, issuer: Issuer, *, host: str = _HOST, clients: bool = False) -> None:
    """A farm with a certificate; `clients`: it wants theirs too."""
    certificate, key = issuer.issue("farm", host)
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())],
        issuer.path.read_bytes() if clients else None,
        clients,
    )

    def work(seen: Seen) -> Made:
        del seen
        return Made({"made": b"it"})

    bench.serve({"work": work}, credentials=credentials)


def test_a_farm_whose_certificate_the_authority_signed(bench: Bench, authority: Issuer) -> None:
    serve(bench, authority)
    made = bench.run(bench.engine(tls=Tls(authority.path)), action("work"))
    assert bench.content(made) == {"made": b"it"}


def test_a_farm_that_wants_to_know_who_asks(bench: Bench, authority: Issuer) -> None:
    serve(bench, authority, clients=True)
    certificate, key = authority.issue("me", "me")
    made = bench.run(bench.engine(tls=Tls(authority.path, certificate, key)), action("work"))
    assert bench.content(made) == {"made": b"it"}
    with pytest.raises(InfrastructureError) as refused:
        bench.engine(tls=Tls(authority.path)).meet()
    assert "[tls]" in (refused.value.remedy or "")


def test_a_client_that_the_farm_does_not_know(bench: Bench, authority: Issuer) -> None:
    serve(bench, authority, clients=True)
    other = Issuer.new(authority.folder, "other")
    with pytest.raises(InfrastructureError):
        bench.engine(tls=Tls(authority.path, *other.issue("me", "me"))).meet()
    assert bench.farm.calls.total() == 0


@pytest.mark.parametrize("who", ["another authority", "another host"])
def test_a_farm_that_is_not_whom_it_claims_to_be(bench: Bench, authority: Issuer, who: str) -> None:
    host = _HOST if who == "another authority" else "elsewhere.example.org"
    serve(bench, authority, host=host)
    believed = Issuer.new(authority.folder, "other") if host == _HOST else authority
    with pytest.raises(InfrastructureError) as refused:
        bench.engine(tls=Tls(believed.path)).meet()
    assert "certificate" in str(refused.value.diagnostics()).lower()
    assert "authority" in (refused.value.remedy or "")
    assert bench.farm.calls.total() == 0


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of a machine's own list of whom it believes, and the folder of such, both empty."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    bundle, folder = tmp_path / "machine.pem", tmp_path / "machine"
    paths = ssl.get_default_verify_paths()._replace(
        openssl_cafile=str(tmp_path / "none"), openssl_capath=str(folder)
    )
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(authorities, "_BUNDLES", (str(tmp_path / "neither"), str(bundle)))
    return bundle


def hashed(issuer: Issuer) -> Path:
    """A folder with a certificate as OpenSSL looks for it, and something else in it."""
    folder = issuer.folder / "machine"
    folder.mkdir()
    shutil.copyfile(issuer.path, folder / "0a1b2c3d.0")
    (folder / "README").write_text("no certificate")
    return folder


@pytest.mark.parametrize("where", ["file", "folders", "bundle", "folder"])
def test_whom_the_machine_believes_where_no_authority_is_named(
    bench: Bench,
    authority: Issuer,
    machine: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    serve(bench, authority)
    if where == "file":
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    elif where == "folders":
        monkeypatch.setenv("SSL_CERT_DIR", f"{machine.parent / 'no folder'}:{hashed(authority)}")
    elif where == "bundle":
        other = Issuer.new(authority.folder, "other")
        machine.write_bytes(other.path.read_bytes() + authority.path.read_bytes())
    else:
        hashed(authority)
    made = bench.run(bench.engine(tls=Tls()), action("work"))
    assert bench.content(made) == {"made": b"it"}


def test_nobody_but_whom_a_variable_names_is_believed(
    bench: Bench, authority: Issuer, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(bench, authority)
    shutil.copyfile(authority.path, machine)
    monkeypatch.setenv("SSL_CERT_FILE", str(Issuer.new(authority.folder, "other").path))
    with pytest.raises(InfrastructureError) as refused:
        bench.engine(tls=Tls()).meet()
    assert "SSL_CERT_FILE" in (refused.value.remedy or "")
    assert bench.farm.calls.total() == 0


def test_the_list_of_grpc_itself_is_never_used(
    authority: Issuer, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[bytes | None] = []
    monkeypatch.setattr(
        grpc,
        "ssl_channel_credentials",
        lambda root_certificates, **_: given.append(root_certificates),
    )
    shutil.copyfile(authority.path, machine)
    channel._credentials(Tls())
    channel._credentials(Tls(authority.path))
    assert given == [authority.path.read_bytes()] * 2


def test_a_machine_that_believes_nobody(machine: Path) -> None:
    with pytest.raises(InfrastructureError, match="there is none") as refused:
        channel._credentials(Tls())
    assert "ca-certificates" in (refused.value.remedy or "")
    assert "authority" in (refused.value.remedy or "")
    # Somebody who emptied it means it.
    for content in (b"", b"no PEM"):
        machine.write_bytes(content)
        with pytest.raises(InfrastructureError, match="no certificate in PEM form") as refused:
            channel._credentials(Tls())
        assert str(machine) in str(refused.value.diagnostics())


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_a_variable_that_names_what_is_not_there(
    authority: Issuer, machine: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    shutil.copyfile(authority.path, machine)
    monkeypatch.setenv(variable, str(machine.parent / "elsewhere"))
    with pytest.raises(InputError, match=r"there is none|No such file") as refused:
        channel._credentials(Tls())
    assert variable in str(refused.value.diagnostics())


def test_as_many_authorities_as_a_distribution_has(authority: Issuer) -> None:
    many = authority.path.read_bytes() * (400 * 1024 // authority.path.stat().st_size)
    authority.path.write_bytes(many)
    channel._credentials(Tls(authority.path))
    authority.path.write_bytes(many * 11)
    with pytest.raises(InputError, match="it has more than"):
        channel._credentials(Tls(authority.path))


def test_tls_with_a_farm_that_has_none(bench: Bench, authority: Issuer) -> None:
    bench.serve({})
    with pytest.raises(InfrastructureError) as refused:
        bench.engine(tls=Tls(authority.path)).meet()
    assert "grpc://" in (refused.value.remedy or "")


def test_no_tls_with_a_farm_that_has_it(bench: Bench, authority: Issuer) -> None:
    serve(bench, authority)
    with pytest.raises(InfrastructureError) as refused:
        bench.engine().meet()
    assert "grpcs://" in (refused.value.remedy or "")


@pytest.mark.parametrize("which", ["authority", "certificate", "key"])
def test_files_that_cannot_be_read_or_hold_something_else(
    bench: Bench, authority: Issuer, which: str
) -> None:
    certificate, key = authority.issue("me", "me")
    files = {"authority": authority.path, "certificate": certificate, "key": key}
    for content in (None, b"no PEM"):
        kept = files[which].with_suffix(".kept")
        shutil.copyfile(files[which], kept)
        files[which].unlink()
        if content is not None:
            files[which].write_bytes(content)
        with pytest.raises(InputError) as refused:
            bench.engine(tls=Tls(**files)).meet()
        assert str(files[which]) in str(refused.value.diagnostics())
        kept.replace(files[which])


def test_a_key_of_another_certificate(bench: Bench, authority: Issuer) -> None:
    certificate, _ = authority.issue("me", "me")
    _, key = authority.issue("another", "me")
    with pytest.raises(InputError, match="is not that of the certificate"):
        bench.engine(tls=Tls(authority.path, certificate, key)).meet()


@pytest.mark.parametrize("which", ["certificate", "key"])
def test_a_key_of_a_kind_that_is_not_known(bench: Bench, authority: Issuer, which: str) -> None:
    files = dict(zip(("certificate", "key"), authority.issue("me", "me"), strict=True))
    # id-ecPublicKey
    strange = of_unknown_kind(files[which].read_bytes(), "06072a8648ce3d0201")
    files[which].write_bytes(strange)
    with pytest.raises(InputError) as refused:
        bench.engine(tls=Tls(authority.path, **files)).meet()
    assert str(files[which]) in str(refused.value.diagnostics())
