"""Upkeep of a store's folder: how large it is, whether its blobs are whole, what nobody needs.

Works on the folder alone; who may do what when is the store's matter.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from orchestrator.store import durable
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.digest import Digest
from reproducibility.errors import InputError
from reproducibility.manifest import MAGIC, Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PARTS = ("blobs", "results", "checkouts", "damaged", "failures", "scratch")
_NAME = re.compile(r"[0-9a-f]{64}")
_BLOCK = 512


def size(root: Path) -> dict[str, int]:
    """Bytes on the disk by part; hard links counted once, for the blobs."""
    seen: set[int] = set()
    sizes = {}
    for part in PARTS:
        total = 0
        for _, status in durable.files(root / part):
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                total += status.st_blocks * _BLOCK
        sizes[part] = total
    return sizes


def verify(blobs: Path, move_aside: Callable[[Path], None]) -> tuple[int, list[Digest]]:
    """Compare every blob with its name, and move aside those that differ.

    Returns: how many were read, and the digests of the damaged ones, sorted.
    """
    damaged = []
    count = 0
    for path, _ in durable.files(blobs):
        if not _NAME.fullmatch(path.name):
            continue
        try:
            found = digests.of_file(path).hex
        except FileNotFoundError:
            continue
        except OSError:
            found = ""
        count += 1
        if found != path.name:
            move_aside(path)
            damaged.append(Digest("blake3", path.name))
    return count, sorted(damaged)


def collect(root: Path, *, unused_since: float) -> tuple[int, int]:
    """Remove results not used since a time, and everything that the others do not refer to.

    `unused_since`: seconds since 1970-01-01 UTC.

    Returns: how many results, blobs and logs went, and how many bytes that freed, checkouts (which
    are made again when needed) included.
    """
    before = sum(size(root).values())
    gone = 0
    for part in ("results", "failures"):
        for path, status in durable.files(root / part):
            if status.st_mtime < unused_since:
                path.unlink()
                gone += 1
    kept = _referenced(root)
    for path, _ in durable.files(root / "blobs"):
        if path.name not in kept:
            path.unlink()
            gone += 1
    for path in [*(root / "checkouts").iterdir(), *(root / "damaged").iterdir()]:
        if path.is_dir() and not path.is_symlink():
            durable.remove_folder(path)
        else:
            path.unlink()
            gone += 1
    return gone, before - sum(size(root).values())


def _referenced(root: Path) -> set[str]:
    """Names of the blobs that results mention, and of those in the trees among them."""
    kept: set[str] = set()
    for path, _ in durable.files(root / "results"):
        with contextlib.suppress(InputError):
            kept.update(_mentioned(canonical.loads(path.read_bytes())))
    for name in list(kept):
        place = root / "blobs" / name[:2] / name[2:4] / name
        with contextlib.suppress(InputError, OSError):
            with place.open("rb") as stream:
                if stream.read(len(MAGIC)) != MAGIC:
                    continue
            kept.update(entry.digest for entry in Tree.parse(place.read_bytes()).files())
    return kept


def _mentioned(value: object) -> Iterator[str]:
    """The digits of every BLAKE3 digest that a JSON document mentions."""
    if isinstance(value, str):
        if value.startswith("blake3:") and _NAME.fullmatch(value, len("blake3:")):
            yield value.removeprefix("blake3:")
    elif isinstance(value, dict):
        for item in value.values():
            yield from _mentioned(item)
    elif isinstance(value, list):
        for item in value:
            yield from _mentioned(item)
