"""Models of a lock's inputs, one a kind, and of the public log's records of modules.

The names, versions and digests of inputs as values; how one is fetched is in `orchestrator.inputs`.
"""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from orchestrator.architecture import Architecture
from reproducibility import transparency
from reproducibility.digest import Digest
from reproducibility.errors import InputError


def _digest(algorithm: str) -> BeforeValidator:
    def read(value: object) -> Digest:
        try:
            found = Digest.parse(value) if isinstance(value, str) else value
        except InputError as error:
            raise ValueError(error.summary) from error
        if not isinstance(found, Digest) or found.algorithm != algorithm:
            raise ValueError(f"expected {algorithm}: and 64 lower-case hexadecimal digits")
        return found

    return BeforeValidator(read)


Blake3 = Annotated[Digest, _digest("blake3"), PlainSerializer(str)]
Sha256 = Annotated[Digest, _digest("sha256"), PlainSerializer(str)]
ModuleHash = Annotated[str, Field(pattern=r"^h1:[A-Za-z0-9+/]{43}=$")]
Text = Annotated[str, Field(min_length=1)]
Where = Annotated[str, Field(pattern=r"^[^/\s][^\s]*$")]
Lines = Annotated[tuple[str, ...], Field(strict=False)]
# The second root of the chain of toolchains, among the lock's further roots.
GCC: Literal["gcc"] = "gcc"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Recorded(_Model):
    """Public log's record of a module version, with its inclusion proof.

    `number`: the record's place in the log. `record`: its lines. `tree_head`: the log's signed
    note, as lines. `proof`: hashes in base64, from the leaf up.
    """

    state: Literal["recorded"] = "recorded"
    number: int = Field(ge=0)
    record: Lines
    tree_head: Lines
    proof: Lines

    def as_record(self) -> transparency.Record:
        """The record as the checks take it."""
        return transparency.parse_record(self.number, "\n".join([*self.record, ""]))

    def h1(self, module: str, version: str) -> str:
        """The module's hash according to the log, signature and inclusion proof checked.

        Raises:
            InputError: something is malformed, or the record is about another module.
            ComparisonError: signature or proof do not hold.
        """
        try:
            proof = [base64.b64decode(step, validate=True) for step in self.proof]
        except ValueError as error:
            raise InputError("a hash of an inclusion proof is not base64") from error
        verifier = transparency.Verifier.parse(transparency.GO_SUM_DATABASE)
        record = self.as_record()
        transparency.check(record, "\n".join([*self.tree_head, ""]), proof, verifier)
        return record.h1(module, version)


class Absent(_Model):
    """The public log has no record of a module version, or was not to be asked; and why."""

    state: Literal["absent"] = "absent"
    reason: Text


LogEntry = Annotated[Recorded | Absent, Field(discriminator="state")]


class _Input(_Model):
    """An input. `where`: the artifact's place below whatever mirror it comes from.

    `host`: the architecture of the machine that needs it; None where every machine does. `tree`:
    digest of the tree that the artifact holds. `size`: bytes, and `blake3`: of the artifact.
    """

    name: Text
    host: Architecture | None = None
    version: Text
    where: Where
    size: int = Field(ge=0)
    blake3: Blake3
    tree: Blake3

    @property
    def label(self) -> str:
        """The input for people: name, version, and host where it has one."""
        return f"{self.name} {self.version}" + (f" for {self.host}" if self.host else "")


class PythonWheel(_Input):
    """A wheel from a Python package index, such as the bootstrap Go. `package`: its name there."""

    kind: Literal["python-wheel"] = "python-wheel"
    package: Text
    sha256: Sha256


class GoModule(_Input):
    """A module from a Go module proxy.

    For a `[[source]]` only: `vendored`, digest of the tree with all its dependencies in `vendor/`,
    `replace`, those of them that the spec wants in another version (`module@version`), and
    `log`, the public log's record of it. Those of toolchains are in `Toolchain.log`.
    """

    kind: Literal["go-module"] = "go-module"
    module: Text
    h1: ModuleHash
    vendored: Blake3 | None = None
    replace: Annotated[tuple[Text, ...], Field(strict=False)] | None = None
    log: LogEntry | None = None


class DebianPackage(_Input):
    """A package from a Debian mirror."""

    kind: Literal["debian-package"] = "debian-package"
    package: Text
    suite: Text
    sha256: Sha256


class LocalPath(_Input):
    """A file or folder of the person's own; `blake3` is that of the tree's manifest.

    `module`, `vendored` and `replace`: for a `[[source]]`; `destination`: for a `[[file]]`.
    `single`: a file, its tree has one entry. `exclude`: patterns of what is left out of a folder.
    `nested`: folders of a module that hold others, which its go.mod puts in the place of published
    ones; pinned with it, and then in its `vendor/`.
    """

    kind: Literal["local-path"] = "local-path"
    version: Literal["local"] = "local"
    where: Text
    module: str | None = None
    vendored: Blake3 | None = None
    replace: Annotated[tuple[Text, ...], Field(strict=False)] | None = None
    destination: str | None = None
    single: bool = False
    exclude: Lines | None = None
    nested: Lines | None = None


Input = Annotated[PythonWheel | GoModule | DebianPackage | LocalPath, Field(discriminator="kind")]


class Toolchain(_Model):
    """The published toolchain: its programs, and the log's word on each architecture's module.

    `log` is for the architectures of the image and those of the machines that the lock is for.
    """

    version: Text
    bin: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    tool: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    log: dict[Architecture, LogEntry]


class RootPackage(_Model):
    """A Debian package of a second root: one of those that its packages depend on, or itself.

    `package`: its name. `where`: its place on the mirror. `size`: bytes. `suite`: as in the spec.
    """

    package: Text
    version: Text
    suite: Text
    where: Where
    size: int = Field(ge=0)
    sha256: Sha256
    blake3: Blake3

    @property
    def label(self) -> str:
        """The package for people."""
        return f"{self.package} {self.version}"


class SecondRoot(_Model):
    """A second root for one host: what `orchestrate audit --root gcc` begins with there.

    `packages`: sorted, everything that the compiler needs. `tree`: digest of the tree that they
    make together, without C headers and documentation. `releases`: the published toolchains of the
    versions on the way, from the first on, each with its log record; their `name` is `go1.21.13`.
    """

    state: Literal["pinned"] = "pinned"
    packages: Annotated[tuple[RootPackage, ...], Field(strict=False, min_length=1)]
    tree: Blake3
    releases: Annotated[tuple[GoModule, ...], Field(strict=False, min_length=1)]

    @property
    def digests(self) -> frozenset[Digest]:
        """Return the digests of all that is pinned."""
        parts = [(one.blake3,) for one in self.packages]
        modules = [(one.blake3, one.tree) for one in self.releases]
        return frozenset({self.tree}.union(*parts, *modules))


class WorkerTools(_Model):
    """What isolates on a farm's workers of one architecture: bubblewrap, and what that needs.

    `packages`: sorted. `tree`: digest of the program and its libraries.
    """

    state: Literal["pinned"] = "pinned"
    packages: Annotated[tuple[RootPackage, ...], Field(strict=False, min_length=1)]
    tree: Blake3

    @property
    def digests(self) -> frozenset[Digest]:
        """Return the digests of all that is pinned."""
        return frozenset({self.tree, *(one.blake3 for one in self.packages)})


WorkerEntry = Annotated[WorkerTools | Absent, Field(discriminator="state")]
RootEntry = Annotated[SecondRoot | Absent, Field(discriminator="state")]
