"""From the root's tree to the image and the archive, with everything that is checked of them.

The image is written from the store, and made again in another way, which is only hashed; what
`pyfatfs` reads back from it is compared with the tree. A second run with the same tree finds its
image in the old output directory, compares digests, and does nothing else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.boot import install
from orchestrator.image import backwards, cpio, fingerprint, layout, reader, writer
from orchestrator.image.disk import Disk
from orchestrator.image.volume import Volume
from orchestrator.store import durable
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.compare import Check, Verdict, trees
from reproducibility.digest import Digest
from reproducibility.errors import ComparisonError, InputError, Stopped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from threading import Event

    from orchestrator.boot.syslinux import Loader
    from orchestrator.scheduler import Observer
    from orchestrator.store import Store
    from reproducibility.manifest import Entry, Tree

IMAGE = "sourcery.img"
CPIO = "sourcery.cpio.zst"

# The version of the formats; part of the key under which an image is remembered.
FORMAT = 1

STAGES = [
    ("image", "image", "FAT32 disk image"),
    ("image/again", "image", "made backwards, only hashed"),
    ("image/read back", "image", "by pyfatfs"),
    ("cpio", "cpio", "archive of the same tree"),
]
TWICE = "image made twice"
READ_BACK = "read back by pyfatfs == root"
REMEMBERED = "image == remembered image"
EXPECTED = [(TWICE, IMAGE), (READ_BACK, IMAGE)]


@dataclass(frozen=True)
class Order:
    """What an image is made from.

    `identity`: digest of spec and lock; volume ID and disk signature come from it (the root's own
    digest would be circular once boot files in it name the volume). `epoch`: seconds.
    `free_space`: bytes. `loader`: what boots it on a PC with a BIOS; its one file that must know
    where it lies is finished here.
    """

    tree: Tree
    label: str
    identity: Digest
    epoch: int
    free_space: int
    loader: Loader | None = None

    @property
    def key(self) -> Digest:
        """BLAKE3 of everything that decides the image's bits."""
        return digests.of_bytes(
            canonical.dumps(
                {
                    "format": FORMAT,
                    "compression": cpio.COMPRESSION,
                    "tree": str(self.tree.digest),
                    "label": self.label,
                    "identity": str(self.identity),
                    "epoch": self.epoch,
                    "free_space": self.free_space,
                    **({"loader": _parts(self.loader)} if self.loader else {}),
                }
            )
        )

    @property
    def volume_id(self) -> int:
        """32 bits of the identity."""
        return volume_id(self.identity)

    @property
    def signature(self) -> int:
        """Another 32 bits of it."""
        return int(self.identity.hex[8:16], 16)


def _parts(loader: Loader) -> list[str]:
    parts = (loader.master, loader.sector, loader.system, loader.module)
    return [str(digests.of_bytes(part)) for part in parts]


def volume_id(identity: Digest) -> int:
    """The volume ID of an identity's image, which the boot files name before there is an image."""
    return int(identity.hex[:8], 16)


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
    order: Order,
    store: Store,
    fresh: Path,
    old: Path,
    observer: Observer,
    *,
    again: bool,
    stop: Event,
) -> Image:
    """Make both files in the folder `fresh`, or take them over from the output directory `old`.

    `again`: make them whatever is remembered, and compare. `stop`: looked at between the stages.

    Raises:
        InputError: the tree cannot lie on VFAT; names the paths.
        InfrastructureError: the disk is full, or a blob is damaged.
        Stopped: `stop` was set.
    """
    remembered = _recall(order, store)
    if remembered and not again and _taken_over(remembered, fresh, old):
        for name, _, _ in STAGES:
            observer.finished(name, cached=True, seconds=0)
        return remembered
    wanted, disk = order, _disk(order, store)
    if order.loader is not None:
        tree, disk = install.installed(
            order.tree, disk.layout, order.signature, order.loader, store.put_bytes
        )
        order = replace(order, tree=tree)
    _refuse_if(stop)
    with ThreadPoolExecutor(4) as pool:
        archive = pool.submit(_cpio, order, store, fresh, observer)
        with _stage("image", observer):
            writer.write(disk, store.path, fresh / IMAGE)
            _refuse_if(stop)
            # It must be on the disk before it is put in place: the disk works meanwhile.
            kept = pool.submit(durable.sync, fresh / IMAGE)
            second = pool.submit(_again, disk, store, observer)
            read = pool.submit(_read_back, order, store, fresh, observer)
            image = _artefact(fresh, IMAGE)
        kept.result()
        checks = (_twice(image.blake3, second.result()), read.result())
        made = Image(image, archive.result(), order.tree.digest, checks)
    _refuse_if(stop)
    if remembered:
        # What was remembered stays the base of comparison, whatever this run gave.
        return replace(made, checks=(*made.checks, _against(remembered, made)))
    if all(check.verdict is Verdict.PASS for check in made.checks):
        store.save_tree(order.tree)
        _remember(wanted, store, made)
    return made


def _disk(order: Order, store: Store) -> Disk:
    """The tree laid out, its boot loader not yet told where it lies."""
    fixed = install.FIXED if order.loader is not None else frozenset[str]()
    volume = Volume(order.volume_id, order.label, order.epoch, order.free_space, fixed=fixed)
    placed = layout.lay_out(order.tree, volume, lambda entry: _head(store, entry))
    return Disk(placed, order.signature)


def _refuse_if(stop: Event) -> None:
    if stop.is_set():
        raise Stopped("stopped")


def _artefact(fresh: Path, name: str) -> Artefact:
    found = fingerprint.of_file(fresh / name)
    return Artefact(name, found.size, found.blake3, found.sha256)


def _again(disk: Disk, store: Store, observer: Observer) -> Digest:
    with _stage("image/again", observer):
        return backwards.digest(disk, store.path)


def _twice(written: Digest, again: Digest) -> Check:
    if written == again:
        reason = "written in the order of the clusters, and made again backwards, piece by piece: "
        return Check(TWICE, IMAGE, Verdict.PASS, f"{reason}{written} both times")
    reason = f"written in the order of the clusters {written}, made again backwards {again}"
    return Check(TWICE, IMAGE, Verdict.FAIL, reason)


def _read_back(order: Order, store: Store, fresh: Path, observer: Observer) -> Check:
    with _stage("image/read back", observer):
        try:
            seen = reader.read(fresh / IMAGE)
        except ComparisonError as error:
            return Check(READ_BACK, IMAGE, Verdict.FAIL, error.summary)
    expected = reader.expected(order.tree)
    check = trees(READ_BACK, IMAGE, seen.tree, expected)
    if check.verdict is Verdict.FAIL:
        # A damaged blob would show here: that is healed, not reported as a defect of the image.
        for entry in expected.files():
            if seen.tree.get(entry.path) != entry:
                store.path(entry)
        return check
    found = (seen.label, seen.volume_id, seen.moments)
    wanted = (order.label, order.volume_id, frozenset({order.epoch}))
    if found != wanted:
        reason = f"label, volume ID and times are {found}, not {wanted}"
        return Check(READ_BACK, IMAGE, Verdict.FAIL, reason)
    return check


def _cpio(order: Order, store: Store, fresh: Path, observer: Observer) -> Artefact:
    with _stage("cpio", observer):
        cpio.write(order.tree, store.path, fresh / CPIO, epoch=order.epoch)
        return _artefact(fresh, CPIO)


def _recall(order: Order, store: Store) -> Image | None:
    document = store.recall("image", order.key)
    if document is None:
        return None
    try:
        checks = tuple(
            Check(found["name"], found["subject"], Verdict[found["verdict"]], found["reason"])
            for found in document["checks"]
        )
        return Image(
            Artefact.parse(document["image"]),
            Artefact.parse(document["cpio"]),
            Digest.parse(document["tree"]),
            checks,
        )
    except (KeyError, TypeError, InputError):
        return None


def _remember(order: Order, store: Store, made: Image) -> None:
    store.remember(
        "image",
        order.key,
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


def _against(remembered: Image, made: Image) -> Check:
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
