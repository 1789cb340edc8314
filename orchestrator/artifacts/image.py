"""Makes image and archive from the root's tree, with everything that is checked of them.

The image is written from the store, and made again in another process, which only hashes it. What
`pyfatfs` reads back from it is compared with the tree; a witness compares every other byte; and the
archive is read back too. All of that is one step of the build, whose files lie in the output
directory and not in the store: a second run with the same recipe finds them in the old one,
compares digests, and does nothing else.
"""

from __future__ import annotations

import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from containers.host import durable
from orchestrator.artifacts import fingerprint, model, remaking
from orchestrator.artifacts.names import IMAGE_STEP
from orchestrator.artifacts.recipe import (
    FORMAT,
    Recipe,
    identity,
    laid_out,
    volume_id,
)
from orchestrator.boot import syslinux
from orchestrator.execution.step import Computation, Computed, Handle, Step
from orchestrator.image.cpio import witness as archive
from orchestrator.image.cpio import writer as cpio
from orchestrator.image.fat import reader, witness, writer
from orchestrator.store import DamagedBlob, Store
from reproducibility import canonical, codes
from reproducibility.compare import Check, Difference, Verdict, trees
from reproducibility.digest import Digest
from reproducibility.errors import ComparisonError, InputError, Stopped
from reproducibility.manifest import Tree, file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path
    from threading import Event

    from orchestrator.artifacts.earlier_files import EarlierFiles
    from orchestrator.artifacts.remaking import Remaking
    from orchestrator.execution.step import Observer, Result, Results
    from reproducibility.compare import CheckKind
    from reproducibility.manifest import Entry

    _Fields = tuple[str, int, AbstractSet[int]]

__all__ = ["FORMAT", "Image", "Recipe", "identity", "of_result", "step", "volume_id"]

IMAGE = "sourcery.img"
CPIO = "sourcery.cpio.zst"
FILES = (IMAGE, CPIO)

STEP = Handle(IMAGE_STEP)
PARTS = (
    ("image", "image", "FAT32 disk image"),
    ("image/again", "image", "made again in another process, only hashed"),
    ("image/read back", "image", "by pyfatfs"),
    ("image/witness", "image", "every byte beside the files' content"),
    ("cpio", "cpio", "archive of the same tree"),
    ("cpio/read back", "cpio", "by another program"),
)
EXPECTED = [
    (codes.IMAGE_AGAIN, IMAGE),
    (codes.IMAGE_READ_BACK, IMAGE),
    (codes.IMAGE_BYTES, IMAGE),
    (codes.ARCHIVE_READ_BACK, CPIO),
]


@dataclass(frozen=True, slots=True)
class Artifact:
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
    def parse(cls, document: dict[str, Any]) -> Artifact:
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

    image: Artifact
    cpio: Artifact
    tree: Digest
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Place:
    """Place that an image is made in, and the observer who is told.

    `fresh`: gives the folder that both files go to. `earlier`: those of the output directory, taken
    over where nothing changed.
    """

    store: Store
    fresh: Callable[[], Path]
    earlier: EarlierFiles
    observer: Observer


def step(recipe_of: Callable[[Results], Recipe], needs: Sequence[str], place: Place) -> Step:
    """The step that makes both files.

    The step raises InputError where the tree cannot lie on VFAT (names the paths),
    InfrastructureError where the disk is full, and DamagedBlob.
    """

    def make(results: Results) -> Computation:
        recipe = recipe_of(results)
        return Computation(
            STEP,
            recipe.document,
            lambda stop: _computed(_made(recipe, place, stop)),
            at_hand=lambda remembered: _taken_over(remembered, place),
        )

    return Step(STEP, STEP, IMAGE, tuple(needs), make, parts=PARTS, in_process=True)


def of_result(result: Result, store: Store) -> Image:
    """The image that a result of the step describes.

    Raises:
        InputError: it describes none.
        DamagedBlob: what it says is missing or damaged.
    """
    try:
        document = json.loads(store.read(result.stdout))
        checks = tuple(model.Check.model_validate(found).value() for found in document["checks"])
        return Image(
            Artifact.parse(document["image"]),
            Artifact.parse(document["cpio"]),
            Digest.parse(document["tree"]),
            checks,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"not a description of an image: {error!r}") from error


def _computed(made: Image) -> Computed:
    says = {
        "tree": str(made.tree),
        "image": made.image.document(),
        "cpio": made.cpio.document(),
        "checks": [check.document() for check in made.checks],
    }
    sound = all(check.verdict is Verdict.PASS for check in made.checks)
    files = [file(part.path, part.blake3, part.size) for part in (made.image, made.cpio)]
    # What `orchestrate run` makes a folder of is the root, whose files lie in the store.
    return Computed(Tree(files), canonical.dumps(says), sound, refers=(made.tree,))


def _made(recipe: Recipe, place: Place, stop: Event) -> Image:
    store, fresh, observer = place.store, place.fresh(), place.observer
    for name in FILES:  # a link to the old one, where taking over failed half-way
        (fresh / name).unlink(missing_ok=True)
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
            image = _artifact(fresh, IMAGE)
        kept.result()
        checks = [_twice(image.blake3, tree.digest, second.result()), read.result()]
        archived, check = packed.result()
        checks += [seen.result(), check]
    _refuse_if(stop)
    # Its files are in the store; what needs them is the result.
    store.save_tree(tree)
    return Image(image, archived, tree.digest, tuple(checks))


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


def _artifact(fresh: Path, name: str) -> Artifact:
    found = fingerprint.of_file(fresh / name)
    return Artifact(name, found.size, found.blake3, found.sha256)


def _again(other: Remaking, recipe: Recipe, observer: Observer, stop: Event) -> remaking.Remade:
    with _stage("image/again", observer):
        return other.result(recipe, stop)


def _twice(written: Digest, tree: Digest, again: remaking.Remade) -> Check:
    how = "from the tree's manifest, in another process, backwards and piece by piece"
    if again.alike:
        reason = f"the process that made it again had the same {', '.join(again.alike)}"
        return Check(codes.IMAGE_AGAIN["same-surroundings"], IMAGE, reason)
    if (written, tree) == (again.image, again.tree):
        reason = f"written in the order of the clusters, and made again {how}: {written} both times"
        return Check(codes.IMAGE_AGAIN["same"], IMAGE, reason)
    reason = f"written in the order of the clusters {written}, made again {how} {again.image}"
    if tree != again.tree:
        reason += f"; the trees are {tree} and {again.tree}"
    pairs = (("blake3", written, again.image), ("tree", tree, again.tree))
    found = [Difference(IMAGE, name, one.hex, other.hex) for name, one, other in pairs]
    differing = tuple(one for one in found if one.first != one.second)
    return Check(codes.IMAGE_AGAIN["differs"], IMAGE, reason, differing)


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
    return _judged(codes.IMAGE_BYTES, IMAGE, found, right)


def _judged(kind: CheckKind, subject: str, found: Sequence[str], right: str) -> Check:
    if found:
        return Check(kind["differs"], subject, "; ".join(found))
    return Check(kind["same"], subject, right)


def _read_back(recipe: Recipe, store: Store, fresh: Path, observer: Observer) -> Check:
    with _stage("image/read back", observer):
        try:
            seen = reader.read(fresh / IMAGE)
        except ComparisonError as error:
            return Check(codes.IMAGE_READ_BACK["unreadable"], IMAGE, error.summary)
    expected = reader.expected(recipe.tree)
    check = trees(codes.IMAGE_READ_BACK, IMAGE, seen.tree, expected)
    if check.verdict is Verdict.FAIL:
        # A damaged blob would show here: that is healed, not reported as a defect of the image.
        store.look_again(expected.where(lambda entry: seen.tree.get(entry.path) != entry))
        return check
    found = (seen.label, seen.volume_id, seen.moments)
    wanted = (recipe.label, recipe.volume_id, frozenset({recipe.epoch}))
    if found != wanted:
        reason = f"label, volume ID and times are {found}, not {wanted}"
        return Check(codes.IMAGE_READ_BACK["other-fields"], IMAGE, reason, _fields(found, wanted))
    return check


def _fields(found: _Fields, wanted: _Fields) -> tuple[Difference, ...]:
    """In what label, volume ID and times (seconds) of an image differ from what they should be."""
    pairs: list[tuple[str, str | int, str | int]] = [
        ("label", found[0], wanted[0]),
        ("volume_id", found[1], wanted[1]),
        ("times", _listed(found[2]), _listed(wanted[2])),
    ]
    return tuple(Difference(IMAGE, name, one, other) for name, one, other in pairs if one != other)


def _listed(moments: Iterable[int]) -> str:
    return " ".join(map(str, sorted(moments)))


def _cpio(recipe: Recipe, store: Store, fresh: Path, observer: Observer) -> tuple[Artifact, Check]:
    with _stage("cpio", observer):
        cpio.write(recipe.tree, store.path, fresh / CPIO, epoch=recipe.epoch)
        artifact = _artifact(fresh, CPIO)
    with _stage("cpio/read back", observer):
        found = archive.findings(fresh / CPIO, recipe.tree, recipe.epoch)
    right = "names, modes, times, owners, content (BLAKE3), order and end, field by field"
    return artifact, _judged(codes.ARCHIVE_READ_BACK, CPIO, found, right)


def _taken_over(remembered: Result, place: Place) -> bool:
    """Take both files over where the old output directory has them whole; else return False."""
    try:
        of_result(remembered, place.store)
    except (InputError, DamagedBlob):
        return False
    earlier = place.earlier
    try:
        # All of them first: what is linked is the old file itself, which nothing may write to.
        for entry in remembered.tree.files():
            if (
                earlier.size(entry.path) != entry.size
                or earlier.digest(entry.path) != entry.content
            ):
                return False
        for entry in remembered.tree.files():
            earlier.link(entry.path, place.fresh() / entry.path)
    except OSError:
        return False
    for name, _, _ in PARTS:
        place.observer.finished(name, cached=True, seconds=0)
    return True


def _head(store: Store, entry: Entry) -> bytes:
    with store.path(entry).open("rb") as stream:
        return stream.read(256)


@contextlib.contextmanager
def _stage(name: str, observer: Observer) -> Iterator[None]:
    observer.started(name)
    started = time.monotonic()
    yield
    observer.finished(name, cached=False, seconds=time.monotonic() - started)
