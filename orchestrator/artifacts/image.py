"""From the root's tree to the image and the archive, with everything that is checked of them.

The image is written from the store, and made again in another process, which only hashes it. What
`pyfatfs` reads back from it is compared with the tree; a witness compares every other byte; and the
archive is read back too. A second run with the same tree finds its image in the old output
directory, compares digests, and does nothing else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from containers.host import durable
from orchestrator.artifacts import fingerprint, remaking
from orchestrator.artifacts.recipe import (
    FORMAT,
    Recipe,
    laid_out,
    volume_id,
)
from orchestrator.boot import syslinux
from orchestrator.execution.rebuilding import Bases
from orchestrator.image.cpio import witness as archive
from orchestrator.image.cpio import writer as cpio
from orchestrator.image.fat import reader, witness, writer
from reproducibility import digest as digests
from reproducibility.compare import Check, Verdict, trees
from reproducibility.digest import Digest
from reproducibility.errors import ComparisonError, InputError, Stopped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from threading import Event

    from orchestrator.artifacts.remaking import Remaking
    from orchestrator.execution.step import Observer
    from orchestrator.store import Store
    from reproducibility.manifest import Entry

__all__ = ["FORMAT", "Image", "Recipe", "make", "volume_id"]

IMAGE = "sourcery.img"
CPIO = "sourcery.cpio.zst"

STAGES = [
    ("image", "image", "FAT32 disk image"),
    ("image/again", "image", "made again in another process, only hashed"),
    ("image/read back", "image", "by pyfatfs"),
    ("image/witness", "image", "every byte beside the files' content"),
    ("cpio", "cpio", "archive of the same tree"),
    ("cpio/read back", "cpio", "by another program"),
]
TWICE = "image made twice"
READ_BACK = "read back by pyfatfs == root"
WITNESSED = "every other byte == as the root and the parameters say"
ARCHIVE = "archive read back == root"
REMEMBERED = "image == remembered image"
EXPECTED = [(TWICE, IMAGE), (READ_BACK, IMAGE), (WITNESSED, IMAGE), (ARCHIVE, CPIO)]


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file of the output directory; `size`: bytes."""

    path: str
    size: int
    blake3: Digest
    sha256: Digest

    def document(self) -> dict[str, Any]:
        """As a JSON object; the digests without their algorithm's name."""
        return {
            "path": self.path,
            "size": self.size,
            "blake3": self.blake3.hex,
            "sha256": self.sha256.hex,
        }

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Artefact:
        """Read the JSON object back.

        Raises:
            InputError: not such an object.
        """
        try:
            return cls(
                str(document["path"]),
                int(document["size"]),
                Digest("blake3", document["blake3"]),
                Digest("sha256", document["sha256"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a description of a file: {error}") from error


@dataclass(frozen=True)
class Image:
    """The image, the archive, the digest of the tree in both, and what was checked of them."""

    image: Artefact
    cpio: Artefact
    tree: Digest
    checks: tuple[Check, ...]


def make(  # noqa: PLR0913 - what it is made from, where it goes, who is told
    recipe: Recipe,
    store: Store,
    fresh: Path,
    old: Path,
    observer: Observer,
    *,
    again: bool,
    bases: Bases | None = None,
    stop: Event,
) -> Image:
    """Make both files in the folder `fresh`, or take them over from the output directory `old`.

    `again`: make them whatever is remembered, and compare, with `bases` as far as they are known.
    `stop`: looked at between the stages.

    Raises:
        InputError: the tree cannot lie on VFAT; names the paths.
        InfrastructureError: the disk is full, or a blob is damaged.
        Stopped: `stop` was set.
    """
    known = bases if again and bases is not None else Bases()
    remembered, lost = known.of(recipe.key, lambda: _recall(recipe, store))
    if remembered and not again and _taken_over(remembered, fresh, old):
        for name, _, _ in STAGES:
            observer.finished(name, cached=True, seconds=0)
        return remembered
    tree, disk = laid_out(recipe, store.put_bytes, lambda entry: _head(store, entry))
    # What came of it; the recipe stays what the other process is given.
    final = replace(recipe, tree=tree)
    _refuse_if(stop)
    with remaking.started(recipe, store) as other, _pool(other) as pool:
        second = pool.submit(_again, other, recipe, observer, stop)
        packed = pool.submit(_cpio, final, store, fresh, observer)
        with _stage("image", observer):
            writer.write(disk, store.path, fresh / IMAGE)
            _refuse_if(stop)
            # It must be on the disk before it is put in place: the disk works meanwhile.
            kept = pool.submit(durable.sync, fresh / IMAGE)
            read = pool.submit(_read_back, final, store, fresh, observer)
            seen = pool.submit(_witnessed, final, store, fresh, observer)
            image = _artefact(fresh, IMAGE)
        kept.result()
        checks = [_twice(image.blake3, tree.digest, second.result()), read.result()]
        archived, check = packed.result()
        checks += [seen.result(), check]
        made = Image(image, archived, tree.digest, tuple(checks))
    _refuse_if(stop)
    passed = all(check.verdict is Verdict.PASS for check in made.checks)
    if passed and not remembered:
        store.save_tree(tree)
        _remember(recipe, store, made)
    if remembered or again:
        # What was remembered stays the base of comparison, whatever this run gave.
        return replace(made, checks=(*made.checks, _against(remembered, made, lost)))
    return made


@contextlib.contextmanager
def _pool(other: Remaking) -> Iterator[ThreadPoolExecutor]:
    """Threads for the stages. An error in the block does not wait for the other process."""
    with ThreadPoolExecutor(5) as pool:
        try:
            yield pool
        except BaseException:
            other.abandon()
            raise


def _refuse_if(stop: Event) -> None:
    if stop.is_set():
        raise Stopped("stopped")


def _artefact(fresh: Path, name: str) -> Artefact:
    found = fingerprint.of_file(fresh / name)
    return Artefact(name, found.size, found.blake3, found.sha256)


def _again(other: Remaking, recipe: Recipe, observer: Observer, stop: Event) -> remaking.Remade:
    with _stage("image/again", observer):
        return other.result(recipe, stop)


def _twice(written: Digest, tree: Digest, again: remaking.Remade) -> Check:
    how = "from the tree's manifest, in another process, backwards and piece by piece"
    if again.alike:
        reason = f"the process that made it again had the same {', '.join(again.alike)}"
        return Check(TWICE, IMAGE, Verdict.FAIL, reason)
    if (written, tree) == (again.image, again.tree):
        reason = f"written in the order of the clusters, and made again {how}: {written} both times"
        return Check(TWICE, IMAGE, Verdict.PASS, reason)
    reason = f"written in the order of the clusters {written}, made again {how} {again.image}"
    if tree != again.tree:
        reason += f"; the trees are {tree} and {again.tree}"
    return Check(TWICE, IMAGE, Verdict.FAIL, reason)


def _witnessed(recipe: Recipe, store: Store, fresh: Path, observer: Observer) -> Check:
    with _stage("image/witness", observer):
        packages = None
        if recipe.loader is not None:
            files = {entry.path: entry.content for entry in recipe.loader.packages.files()}
            packages = witness.Packages(
                store.read(files[syslinux.MASTER]), store.read(files[syslinux.INSTALLER])
            )
        found = witness.findings(
            fresh / IMAGE,
            witness.Expected(
                tree=recipe.tree,
                label=recipe.label,
                volume_id=recipe.volume_id,
                signature=recipe.signature,
                epoch=recipe.epoch,
                free_space=recipe.free_space,
                packages=packages,
            ),
        )
    right = "boot code, tables, directories with every field, slack and free space: byte by byte"
    return _judged(WITNESSED, IMAGE, found, right)


def _judged(name: str, subject: str, found: Sequence[str], right: str) -> Check:
    if found:
        return Check(name, subject, Verdict.FAIL, "; ".join(found))
    return Check(name, subject, Verdict.PASS, right)


def _read_back(recipe: Recipe, store: Store, fresh: Path, observer: Observer) -> Check:
    with _stage("image/read back", observer):
        try:
            seen = reader.read(fresh / IMAGE)
        except ComparisonError as error:
            return Check(READ_BACK, IMAGE, Verdict.FAIL, error.summary)
    expected = reader.expected(recipe.tree)
    check = trees(READ_BACK, IMAGE, seen.tree, expected)
    if check.verdict is Verdict.FAIL:
        # A damaged blob would show here: that is healed, not reported as a defect of the image.
        store.look_again(expected.where(lambda entry: seen.tree.get(entry.path) != entry))
        return check
    found = (seen.label, seen.volume_id, seen.moments)
    wanted = (recipe.label, recipe.volume_id, frozenset({recipe.epoch}))
    if found != wanted:
        reason = f"label, volume ID and times are {found}, not {wanted}"
        return Check(READ_BACK, IMAGE, Verdict.FAIL, reason)
    return check


def _cpio(recipe: Recipe, store: Store, fresh: Path, observer: Observer) -> tuple[Artefact, Check]:
    with _stage("cpio", observer):
        cpio.write(recipe.tree, store.path, fresh / CPIO, epoch=recipe.epoch)
        artefact = _artefact(fresh, CPIO)
    with _stage("cpio/read back", observer):
        found = archive.findings(fresh / CPIO, recipe.tree, recipe.epoch)
    right = "names, modes, times, owners, content (BLAKE3), order and end, field by field"
    return artefact, _judged(ARCHIVE, CPIO, found, right)


def _recall(recipe: Recipe, store: Store) -> tuple[Image | None, str]:
    """What is remembered, or why there is nothing to compare with."""
    document = store.recall("image", recipe.key)
    if document is None:
        return None, "no earlier result"
    try:
        checks = tuple(
            Check(found["name"], found["subject"], Verdict[found["verdict"]], found["reason"])
            for found in document["checks"]
        )
        found = Image(
            Artefact.parse(document["image"]),
            Artefact.parse(document["cpio"]),
            Digest.parse(document["tree"]),
            checks,
        )
    except (AttributeError, KeyError, TypeError, ValueError, InputError) as error:
        return None, f"the earlier result cannot be read: {error!r}"
    return found, ""


def _remember(recipe: Recipe, store: Store, made: Image) -> None:
    store.remember(
        "image",
        recipe.key,
        {
            "tree": str(made.tree),
            "image": made.image.document(),
            "cpio": made.cpio.document(),
            "checks": [check.document() for check in made.checks],
        },
    )


def _taken_over(remembered: Image, fresh: Path, old: Path) -> bool:
    """Whether the old output directory has both files whole; they are then in the new one too."""
    for artefact in (remembered.image, remembered.cpio):
        source = old / artefact.path
        try:
            if source.stat().st_size != artefact.size:
                return False
            if digests.of_file(source) != artefact.blake3:
                return False
            _link(source, fresh / artefact.path)
        except OSError:
            return False
    return True


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _against(remembered: Image | None, made: Image, lost: str) -> Check:
    """How what was made compares with what is remembered; `lost`: why nothing is."""
    if remembered is None:
        return Check(REMEMBERED, IMAGE, Verdict.SKIP, lost)
    for before, now in ((remembered.image, made.image), (remembered.cpio, made.cpio)):
        if before != now:
            reason = f"{now.path} was {before.blake3}, is {now.blake3}"
            return Check(REMEMBERED, IMAGE, Verdict.FAIL, reason)
    return Check(REMEMBERED, IMAGE, Verdict.PASS, "made again with the same digests")


def _head(store: Store, entry: Entry) -> bytes:
    with store.path(entry).open("rb") as stream:
        return stream.read(256)


@contextlib.contextmanager
def _stage(name: str, observer: Observer) -> Iterator[None]:
    observer.started(name)
    started = time.monotonic()
    yield
    observer.finished(name, cached=False, seconds=time.monotonic() - started)
