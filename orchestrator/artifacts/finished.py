"""Reads a finished build: its `result.json`, its image, and its root as a folder.

The root comes out of the store where the store holds it; else the archive beside the result is
unpacked into the store first, and must be the tree that the result names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.artifacts import model, output_directory
from orchestrator.image.cpio import reader as unpacking
from orchestrator.store import DamagedBlob
from reproducibility import digest, regular
from reproducibility.digest import Digest
from reproducibility.errors import ComparisonError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.store import Store
    from reproducibility.manifest import Tree


class UnfinishedError(InputError):
    """A build began to put its files into a folder and did not come to its end."""


@dataclass(frozen=True)
class Finished:
    """An output directory with a result in it.

    `result`: the content of `result.json`. `result_digest`: of the bytes that it was read from;
    another build may have put another file there since.
    """

    out: Path
    result: model.BuildResult
    result_digest: Digest

    @classmethod
    def load(cls, out: Path) -> Finished:
        """Read a result.

        Raises:
            UnfinishedError: a build was interrupted while it put its files there.
            InputError: there is none, or it is not one of a build, or one of another version.
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
                remedy="`orchestrate build` first, or name the output directory of a build",
            ) from error
        return cls(out, model.parse(data, str(path)), digest.of_bytes(data))

    @property
    def image(self) -> Path:
        """The disk image."""
        return self.out / self.result.image.path

    @property
    def image_digest(self) -> Digest:
        """Digest that the image must have."""
        return Digest("blake3", self.result.image.blake3)

    @property
    def doubt(self) -> str:
        """Why the image is not to be trusted, in words; empty where the build's checks held."""
        verdict = self.result.verdict
        if verdict != "FAIL":
            return ""
        return f"the verdict of this build is {verdict}, so its image is not to be trusted"

    @property
    def made(self) -> tuple[Path, ...]:
        """The files that the build made."""
        return (self.image, self.archive, *(self.out / name for name in output_directory.BESIDE))

    @property
    def architectures(self) -> list[str]:
        """Those that the root has commands for, by their Go names."""
        return sorted(self.result.root.commands)

    @property
    def archive(self) -> Path:
        """The root as a cpio archive."""
        return self.out / self.result.cpio.path

    @property
    def archive_digest(self) -> Digest:
        """Digest that the archive must have."""
        return Digest("blake3", self.result.cpio.blake3)

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
            wanted = self.result.root.tree
            try:
                there = store.existing(wanted, epoch)
                return there or store.checkout(store.load_tree(wanted), epoch)
            except DamagedBlob:
                return store.checkout(self._unpacked(store, wanted), epoch)
        except OSError as error:
            raise InputError(
                f"the root cannot be read: {error.strerror}",
                subject=str(error.filename or self.archive),
                remedy=model.REMEDY,
            ) from error

    def _unpacked(self, store: Store, wanted: Digest) -> Tree:
        said = self.archive_digest
        if digest.of_file(self.archive) != said:
            raise ComparisonError(
                f"the archive is not the one that the result names: it should be blake3 {said.hex}",
                subject=str(self.archive),
                remedy=model.REMEDY,
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
                remedy=model.REMEDY,
            )
        return tree


def _missing(out: Path) -> InputError:
    subject = str(out / output_directory.RESULT)
    if output_directory.unfinished(out):
        return UnfinishedError(
            "the build in this folder is not finished: its result, which comes last, is missing",
            subject=subject,
            remedy=model.REMEDY,
        )
    if any((out / name).exists() for name in output_directory.BESIDE):
        return InputError(
            "this is not a finished build: its result, which comes last, is missing",
            subject=subject,
            remedy=model.REMEDY,
        )
    return InputError(
        "there is no result of a build: No such file or directory",
        subject=subject,
        remedy="`orchestrate build` first, or name the output directory of a build",
    )
