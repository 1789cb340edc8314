"""Reads a finished build: its `result.json`, its image, and its root as a folder.

The root comes out of the store where the store holds it; else the archive beside the result is
unpacked into the store first, and must be the tree that the result names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.artifacts import output_directory
from orchestrator.files.document import shaped
from orchestrator.image.cpio import reader as unpacking
from orchestrator.store import DamagedBlob
from reproducibility import canonical, digest, regular
from reproducibility.compare import Verdict
from reproducibility.digest import Digest
from reproducibility.errors import ComparisonError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.store import Store
    from reproducibility.manifest import Tree

_AGAIN = "build again: `orchestrate build`, or name another folder with --out"


_Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# A file beside the result: a name, so that it leads nowhere else.
_Name = Annotated[str, Field(pattern=r"^[^/.\x00-\x1f\x7f][^/\x00-\x1f\x7f]{0,254}$")]
_Tree = Annotated[str, Field(pattern=r"^blake3:[0-9a-f]{64}$")]
_MOST_VALUES = 1_000_000
_WANTED = frozenset({"schema", "verdict", "image", "cpio", "root"})


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)

    path: _Name


class _Image(_Part):
    blake3: _Hex


class _Archive(_Part):
    blake3: _Hex | None = None


class _Root(BaseModel):
    model_config = ConfigDict(strict=True)

    tree: _Tree | None = None
    commands: dict[str, int]
    boot_files: int = 0


class _Content(BaseModel):
    """Keys of `result.json` that readers rely on; there is much more in it."""

    model_config = ConfigDict(strict=True)

    schema_version: int = Field(alias="schema")
    verdict: str | int | None
    image: _Image
    cpio: _Archive
    root: _Root


class UnfinishedError(InputError):
    """A build began to put its files into a folder and did not come to its end."""


@dataclass(frozen=True)
class Finished:
    """An output directory with a result in it. `document`: the content of `result.json`."""

    out: Path
    document: dict[str, Any]

    @classmethod
    def load(cls, out: Path) -> Finished:
        """Read a result.

        Raises:
            UnfinishedError: a build was interrupted while it put its files there.
            InputError: there is none, or it is not one of a build.
        """
        path = out / output_directory.RESULT
        try:
            data = regular.read(path)
        except FileNotFoundError as error:
            raise _missing(out) from error
        except OSError as error:
            raise InputError(
                f"there is no result of a build: {error.strerror}",
                subject=str(path),
                remedy="`orchestrate build` first, or name its output directory with --out",
            ) from error
        document = canonical.loads(data, subject=str(path))
        if not isinstance(document, dict) or not document.keys() >= _WANTED:
            raise InputError("this is not the result of a build", subject=str(path), remedy=_AGAIN)
        shaped(
            _Content,
            document,
            lambda words: InputError(
                f"this is not the result of a build: {words}", subject=str(path), remedy=_AGAIN
            ),
            most=_MOST_VALUES,
        )
        return cls(out, document)

    @property
    def image(self) -> Path:
        """The disk image."""
        return self._part("image")

    @property
    def image_digest(self) -> Digest:
        """Digest that the image must have."""
        return Digest("blake3", str(self.document["image"]["blake3"]))

    @property
    def doubt(self) -> str:
        """Reason not to trust the image; empty where the build's checks held."""
        verdict = self.document["verdict"]
        if verdict in {Verdict.PASS.name, Verdict.SKIP.name}:
            return ""
        return f"the verdict of this build is {verdict}, so its image is not to be trusted"

    @property
    def made(self) -> tuple[Path, ...]:
        """The files that the build made."""
        return (self.image, self.archive, *(self.out / name for name in output_directory.BESIDE))

    @property
    def architectures(self) -> list[str]:
        """Architectures that the root has commands for, by their Go names."""
        return sorted(self.document["root"]["commands"])

    @property
    def archive(self) -> Path:
        """The root as a cpio archive."""
        return self._part("cpio")

    @property
    def archive_digest(self) -> Digest | None:
        """Digest that the archive must have; None where the result does not say."""
        said = self.document["cpio"].get("blake3")
        return None if said is None else Digest("blake3", str(said))

    def _part(self, name: str) -> Path:
        return self.out / str(self.document[name]["path"])

    def _said(self, part: str, name: str) -> str:
        """Return what not every result says."""
        said = self.document[part].get(name)
        if said is None:
            raise InputError(
                f"this is not the whole result of a build: it says no {part}.{name}",
                subject=str(self.out / output_directory.RESULT),
                remedy=_AGAIN,
            )
        return str(said)

    def root(self, store: Store) -> Path:
        """The root as a read-only folder in the store, every time its epoch.

        It was compared with the tree when it was made, and is not compared again: on the stick, and
        so here, a compile looks at the digest of whatever it takes from the seed.

        Raises:
            ComparisonError: the archive is not what the result says.
            InputError: the archive cannot be read.
        """
        try:
            epoch = unpacking.epoch(self.archive)
            wanted = Digest.parse(self._said("root", "tree"))
            try:
                there = store.existing(wanted, epoch)
                return there or store.checkout(store.load_tree(wanted), epoch)
            except DamagedBlob:
                return store.checkout(self._unpacked(store, wanted), epoch)
        except OSError as error:
            raise InputError(
                f"the root cannot be read: {error.strerror}",
                subject=str(error.filename or self.archive),
                remedy=_AGAIN,
            ) from error

    def _unpacked(self, store: Store, wanted: Digest) -> Tree:
        said = self._said("cpio", "blake3")
        if digest.of_file(self.archive).hex != said:
            raise ComparisonError(
                f"the archive is not the one that the result names: it should be blake3 {said}",
                subject=str(self.archive),
                remedy=_AGAIN,
            )
        with store.temporary() as scratch:
            folder = scratch / "root"
            folder.mkdir()
            unpacking.unpack(self.archive, folder)
            tree = store.put_tree(folder, move=True)
        if tree.digest != wanted:
            raise ComparisonError(
                f"the archive holds the tree {tree.digest}, and the result names {wanted}",
                subject=str(self.archive),
                remedy=_AGAIN,
            )
        return tree


def _missing(out: Path) -> InputError:
    subject = str(out / output_directory.RESULT)
    if output_directory.unfinished(out):
        return UnfinishedError(
            "the build in this folder is not finished: its result, which comes last, is missing",
            subject=subject,
            remedy=_AGAIN,
        )
    if any((out / name).exists() for name in output_directory.BESIDE):
        return InputError(
            "this is not a finished build: its result, which comes last, is missing",
            subject=subject,
            remedy=_AGAIN,
        )
    return InputError(
        "there is no result of a build: No such file or directory",
        subject=subject,
        remedy="`orchestrate build` first, or name its output directory with --out",
    )
