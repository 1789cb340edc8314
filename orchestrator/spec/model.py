"""Models of the spec (`sourcery.toml`), parsed once and frozen.

A mistake is an InputError with the line, the key's path, what was expected and the nearest valid
key; all mistakes of a spec are said at once. Only `load` reads a file.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationError,
    model_validator,
)

from containers import policy
from orchestrator.architecture import ARCHITECTURES, Architecture
from orchestrator.files import text_file
from orchestrator.spec import boot as boot_section
from orchestrator.spec.boot import Boot
from orchestrator.spec.diagnostics import (
    TABLE,
    TEXT,
    Mistake,
    from_pydantic,
    refusal,
    tables,
)
from orchestrator.spec.second_root import Roots
from orchestrator.spec.workers import Workers
from reproducibility import canonical, regular, visible
from reproducibility import digest as digests
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reproducibility.digest import Digest


# FAT stores the years 1980 to 2107, in steps of two seconds (Microsoft FAT specification, 6).
_EPOCHS = range(315_532_800, 4_354_819_200)
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(r"(0|[1-9][0-9]{0,11}) ?(B|KiB|MiB|GiB)")
_GO = r"^1\.[1-9][0-9]?\.(?:0|[1-9][0-9]?)$"
# GOCACHEPROG, by which the stick reads its compile seed, is on from this minor version
# (go.dev/doc/go1.24#go-command).
_OLDEST_GO = 24
# What the build fills or the stick mounts something over, by first part; compared without case.
RESERVED = frozenset(
    {"bin", "boot", "dev", "efi", "extlinux", "go", "loader", "proc", "run", "src", "sys",
     "syslinux", "tmp"}
)  # fmt: skip
_RESERVED_START = "linux_"
_BAD_ON_FAT = re.compile(rf'["*:<>?|\\{visible.CONTROLS}]|[. ](?:/|$)')
_CONTROL = re.compile(f"[{visible.CONTROLS}]")
# What `orchestrate lock --update` takes for every input, and so the name of none.
EVERY = "all"
_FIXED_INPUTS = frozenset({"go", "bootstrap", "uname", "root.gcc", "workers", EVERY})

_LIMITS = policy.Limits()
_LEAST = 64 << 20
_BYTES_HELP = 'bytes, at least 64 MiB, as a number or as in "6 GiB"'


def _epoch(value: object) -> object:
    """Seconds since 1970-01-01 UTC from an integer, a TOML date-time or RFC 3339 text."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        if value.utcoffset() != timedelta(0) or value.microsecond:
            raise ValueError("not whole seconds in UTC")
        value = int((value - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    if isinstance(value, int) and (value not in _EPOCHS or value % 2):
        raise ValueError("not even, or not from 1980 to 2107")
    return value


def _size(value: object) -> object:
    """Bytes from an integer or from text such as `512 MiB`."""
    if isinstance(value, str):
        found = _SIZE.fullmatch(value)
        if not found:
            raise ValueError("not a size")
        return int(found[1]) * _UNITS[found[2]]
    return value


def _folder_pattern(value: object) -> object:
    parts = value.removeprefix("./").split("/") if isinstance(value, str) else ["."]
    if any(part in {"", "..", "."} for part in parts) and value != ".":
        raise ValueError("not a relative folder pattern")
    return value


def _path_pattern(value: object) -> object:
    if not isinstance(value, str):
        return value  # a table, which says of a command what is wrong with it
    parts = value.removeprefix("./").rstrip("/").split("/")
    if any(part in {"", "..", "."} for part in parts):
        raise ValueError("not a relative path pattern")
    return value


def _relative(value: object) -> object:
    if isinstance(value, str) and (not value or value.startswith("/") or _CONTROL.search(value)):
        raise ValueError("not a relative path")
    return value


_PATTERN_HELP = "a folder in the module; * matches within one part, a last /... all below"
_PATH_HELP = (
    "a path in the folder, or a name anywhere in it; * matches within one part, and a folder goes "
    "with all in it"
)
Epoch = Annotated[int, BeforeValidator(_epoch)]
Bytes = Annotated[int, BeforeValidator(_size), Field(ge=0, le=1 << 50)]
FolderPattern = Annotated[str, BeforeValidator(_folder_pattern)]
Replacement = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._~/-]+@v[0-9]+\.[0-9]+\.[0-9]+[A-Za-z0-9.+-]*$")
]
PathPattern = Annotated[str, BeforeValidator(_path_pattern)]
RelativePath = Annotated[str, BeforeValidator(_relative)]
_ARCHITECTURES_HELP = "a list of " + ", ".join(f'"{name}"' for name in ARCHITECTURES)
Architectures = Annotated[tuple[Architecture, ...], Field(strict=False)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Image(_Model):
    """`[image]`: the disk image as a whole; `epoch` is the time of every file on it."""

    label: str = Field(
        default="SOURCERY",
        pattern=r"^[A-Z0-9][A-Z0-9_-]{0,10}$",
        description="a FAT label of 1 to 11 characters: A-Z, 0-9, - and _",
    )
    epoch: Epoch = Field(
        description="an even number of seconds since 1970-01-01 UTC, or 2026-01-01T00:00:00Z, "
        "from 1980 to 2107 (FAT stores no other times)"
    )
    architectures: Architectures = Field(
        min_length=1, description=f"{_ARCHITECTURES_HELP}, at least one"
    )
    free_space: Bytes = Field(
        default=64 << 20, description='bytes left free on the stick, as a number or as in "64 MiB"'
    )


class Go(_Model):
    """`[go]`: the Go release on the stick, and the one that starts the chain of builds."""

    version: str = Field(pattern=_GO, description='a released Go version such as "1.27.3"')
    bootstrap: str = Field(pattern=_GO, description='a released Go version such as "1.26.6"')


class Exclusion(_Model):
    """A command that a source's patterns select but that stays off; `()` means everywhere."""

    command: FolderPattern = Field(description=_PATTERN_HELP)
    reason: str = Field(min_length=1, description="why it is left out, as a sentence")
    architectures: Architectures = Field(
        default=(), description=f"{_ARCHITECTURES_HELP}; left out, it means all"
    )


def _kind_of_exclusion(value: object) -> str:
    return TEXT if isinstance(value, str) else TABLE


# The tags stand in the places that pydantic names; `diagnostics` takes them out.
_Excluded = Annotated[
    Annotated[Exclusion, Tag(TABLE)] | Annotated[PathPattern, Tag(TEXT)],
    Discriminator(_kind_of_exclusion),
]


class Source(_Model):
    """`[[source]]`: a Go module, published (`version`) or local (`path`), and its commands.

    `name`: what `orchestrate lock --update` calls it; by default the module path's last part.
    `replace`: dependencies that are taken in another version than the module itself asks for.
    """

    module: str = Field(
        pattern=r"^[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*$",
        description='a module path such as "github.com/u-root/u-root"',
    )
    version: str | None = Field(
        default=None,
        pattern=r"^v[0-9]+\.[0-9]+\.[0-9]+[A-Za-z0-9.+-]*$",
        description='a published version such as "v0.16.0"',
    )
    path: RelativePath | None = Field(
        default=None, description="the module's local folder, relative to the spec"
    )
    commands: Annotated[tuple[FolderPattern, ...], Field(strict=False)] = Field(
        min_length=1, description=f"a list of patterns: {_PATTERN_HELP}"
    )
    exclude: Annotated[tuple[_Excluded, ...], Field(strict=False)] = Field(
        default=(),
        description="a list of { command, reason, architectures } for commands, and of "
        f'text such as "testdata" for what of a local folder is no content: {_PATH_HELP}',
    )
    replace: Annotated[tuple[Replacement, ...], Field(strict=False)] = Field(
        default=(), description='a list of versions of dependencies: "golang.org/x/sys@v0.30.0"'
    )
    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]*$", description="lower-case letters, digits, . _ and -"
    )

    @property
    def exclusions(self) -> tuple[Exclusion, ...]:
        """The commands that stay off."""
        return tuple(one for one in self.exclude if isinstance(one, Exclusion))

    @property
    def left_out(self) -> tuple[str, ...]:
        """Patterns of what of the local folder is no content."""
        return tuple(one for one in self.exclude if isinstance(one, str))

    @model_validator(mode="before")
    @classmethod
    def _name_by_default(cls, data: Any) -> Any:  # noqa: ANN401 - what the person wrote
        if isinstance(data, dict) and "name" not in data and isinstance(data.get("module"), str):
            parts = [part for part in data["module"].split("/") if not re.fullmatch(r"v\d+", part)]
            last = re.sub(r"[^a-z0-9._-]", "-", (parts or [""])[-1].lower()).lstrip("._-")
            return {**data, "name": last or "source"}
        return data


class File(_Model):
    """`[[file]]`: a person's own file, or a folder with all in it, on the stick."""

    source: RelativePath = Field(description="a file or folder, relative to the spec")
    destination: str = Field(
        pattern=r"^/[^/]", description='an absolute path on the stick such as "/notes/a.txt"'
    )
    exclude: Annotated[tuple[PathPattern, ...], Field(strict=False)] = Field(
        default=(), description=f'a list of text such as "drafts/*.tmp": {_PATH_HELP}'
    )


class Seed(_Model):
    """`[seed]`: packages compiled ahead, so that a first compile on the stick only has to link."""

    enabled: bool = Field(default=True, description="true or false")


class Debian(_Model):
    """`[debian]`: the distribution that `uname`, kernels and boot loaders come from."""

    suite: str = Field(
        default="trixie",
        pattern=r"^[a-z][a-z0-9-]*$",
        description='a Debian suite such as "trixie"',
    )


class Limits(_Model):
    """`[limits]`: bounds on one build action, as in `containers.policy.Limits`."""

    memory: Bytes = Field(default=_LIMITS.memory, ge=_LEAST, description=_BYTES_HELP)
    tmp: Bytes = Field(default=_LIMITS.tmp, ge=_LEAST, description=_BYTES_HELP)
    work: Bytes = Field(default=_LIMITS.work, ge=_LEAST, description=_BYTES_HELP)
    files: int = Field(default=_LIMITS.files, ge=1024, description="a number, 1024 or more")
    processes: int = Field(default=_LIMITS.processes, ge=64, description="a number, 64 or more")
    cpus: int = Field(default=_LIMITS.cpus, ge=0, description="a number of processors, 0 for all")
    seconds: int = Field(default=_LIMITS.seconds, ge=1, description="seconds of wall-clock time")
    log: Bytes = Field(default=_LIMITS.log, ge=1 << 16, description="bytes, 64 KiB or more")

    def policy(self) -> policy.Limits:
        """The limits as the engines take them."""
        return policy.Limits(**self.model_dump())


class Spec(_Model):
    """The whole spec. Made by `parse` only, which checks what a single field cannot show."""

    image: Image = Field(description="the table [image]")
    go: Go = Field(description="the table [go]")
    sources: Annotated[tuple[Source, ...], Field(strict=False)] = Field(
        default=(), alias="source", description="tables [[source]]"
    )
    files: Annotated[tuple[File, ...], Field(strict=False)] = Field(
        default=(), alias="file", description="tables [[file]]"
    )
    seed: Seed = Field(default=Seed(), description="the table [seed]")
    debian: Debian = Field(default=Debian(), description="the table [debian]")
    limits: Limits = Field(default=Limits(), description="the table [limits]")
    boot: Boot | None = Field(default=None, description="the table [boot]")
    root: Roots = Field(default=Roots(), description="the table [root]")
    workers: Workers = Field(default=Workers(), description="the table [workers]")
    _folder: Path = PrivateAttr(Path())

    @property
    def folder(self) -> Path:
        """The folder that relative paths in the spec start from."""
        return self._folder

    @property
    def digest(self) -> Digest:
        """BLAKE3 of everything that can change a bit of the image.

        All but the limits, the roots that only audits begin with, and a farm's workers.
        """
        excluded = {"limits", "root", "workers", *(() if self.boot else ("boot",))}
        return digests.of_bytes(canonical.dumps(self.model_dump(mode="json", exclude=excluded)))


def load(path: Path) -> Spec:
    """Read a spec; raises as `read` and `parse`."""
    return parse(text_file.decoded(read(path), "the spec", str(path)), path)


def read(path: Path) -> bytes:
    """The bytes of a spec's file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return regular.read(path)
    except OSError as error:
        why = f"cannot read the spec: {error.strerror}"
        raise InputError(why, subject=str(path), remedy="give its place with --spec") from error


def parse(text: str, origin: Path = Path("sourcery.toml")) -> Spec:
    """A spec from its text; `origin` is the file it came from.

    Raises:
        InputError: it holds mistakes; names each with its line.
    """
    data = tables(text, origin)
    spec: Spec | None = None
    try:
        spec = Spec.model_validate(data)
    except ValidationError as error:
        mistakes = from_pydantic(error, Spec, choices=ARCHITECTURES)
    else:
        mistakes = list(_cross_checks(spec))
    if spec is None or mistakes:
        raise refusal(mistakes, text, origin)
    spec._folder = origin.parent  # noqa: SLF001 - the model's own module
    return spec


def _cross_checks(spec: Spec) -> Iterator[Mistake]:
    """Return what is wrong between keys that are each well-formed."""
    for found, count in Counter(spec.image.architectures).items():
        if count > 1:
            yield Mistake(("image", "architectures"), f"{found!r} appears twice", "name it once")
    minor = int(spec.go.version.split(".")[1])
    if minor < _OLDEST_GO:
        yield Mistake(
            ("go", "version"),
            f"Go {spec.go.version} is too old",
            f"expected 1.{_OLDEST_GO}.0 or later, which can read the compile seed (GOCACHEPROG)",
        )
    # Go 1.N is built by 1.M, M being N-2 rounded down to an even number: go.dev/doc/install/source
    needed = (minor - 2) // 2 * 2
    if int(spec.go.bootstrap.split(".")[1]) < needed:
        yield Mistake(
            ("go", "bootstrap"),
            f"Go {spec.go.bootstrap} cannot build Go {spec.go.version}",
            f"expected 1.{needed}.0 or later",
        )
    yield from _sources(spec)
    yield from _destinations(spec.files)
    if spec.boot is not None:
        yield from spec.boot.mistakes(spec.image.architectures)
    if spec.root.gcc is not None:
        yield from spec.root.gcc.mistakes(spec.go.version)
    yield from spec.workers.mistakes()


def _sources(spec: Spec) -> Iterator[Mistake]:
    names: dict[str, int] = {}
    modules: dict[str, int] = {}
    for index, source in enumerate(spec.sources):
        if (source.version is None) == (source.path is None):
            yield Mistake(
                ("source", index, "version"),
                "needs one of version and path" if source.path is None else "has version and path",
                "expected version (a published module) or path (a local folder), one of the two",
            )
        taken = spec.boot is not None and boot_section.is_input(source.name)
        if taken or source.name in _FIXED_INPUTS or source.name in names:
            yield Mistake(
                ("source", index, "name"),
                f"the name {source.name!r} is taken",
                "give this source another name",
            )
        if source.module in modules:
            yield Mistake(
                ("source", index, "module"),
                f"the module is already source[{modules[source.module]}]",
                "put all its commands into one [[source]]",
            )
        if source.left_out and source.version is not None:
            yield Mistake(
                ("source", index, "exclude"),
                f"{source.left_out[0]!r} is to be left out of a published module",
                "expected tables { command, reason } only: a published module is taken whole",
            )
        names.setdefault(source.name, index)
        modules.setdefault(source.module, index)


def _destinations(files: Sequence[File]) -> Iterator[Mistake]:
    taken: dict[str, int] = {}
    for index, file in enumerate(files):
        key = ("file", index, "destination")
        folded = file.destination.casefold()
        parts = folded.split("/")[1:]
        if any(part in {"", ".", ".."} for part in parts) or _BAD_ON_FAT.search(folded):
            yield Mistake(
                key,
                f"{file.destination!r} is not a clean path that FAT can hold",
                'expected no ., .., // or " * : < > ? | \\, and no part that ends in . or a space',
            )
        if parts[0] in RESERVED or parts[0].startswith(_RESERVED_START):
            yield Mistake(
                key,
                f"/{parts[0]} is the build's own folder, or mounted over on the stick",
                "choose another folder, such as /files",
            )
        for other, first in taken.items():
            if folded == other or folded.startswith(other + "/") or other.startswith(folded + "/"):
                yield Mistake(
                    key,
                    f"{file.destination!r} collides with {files[first].destination!r} "
                    f"of file[{first}] (FAT knows no case)",
                    "give one of them another destination",
                )
        taken.setdefault(folded, index)
