"""Differences that a person may tolerate, each a named function; none is tolerated by default."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from blake3 import blake3

from orchestrator.diagnosis.formats import compressed
from orchestrator.diagnosis.formats.stream import opened, refusing
from orchestrator.files import decompression
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orchestrator.diagnosis.model import Limits
    from orchestrator.diagnosis.source import Pair, Source

    Tolerance = Callable[[Pair, Limits], bool]

_PIECE = 1 << 20
# The fixed part of a gzip header (RFC 1952, 2.3): what lies before the time, and between the time
# and the system what the compressor says of its level; and the bytes of all of it.
_BEFORE_THE_TIME, _LEVEL, _HEADER = slice(0, 4), slice(8, 9), 10


def archive_compression(pair: Pair, limits: Limits) -> bool:
    """Tolerate compressed files whose unpacked content is the same.

    Two files compressed by gzip, zstd, xz or bzip2 are taken for the same where what they unpack to
    is, byte for byte: another version or level of the compressor, or another number of its threads,
    does not count. What is lost: the file's own digest no longer says what it holds.
    """
    kinds = compressed.packing(pair.first), compressed.packing(pair.second)
    if not all(kinds):
        return False
    first, second = (_unpacked(side, limits) for side in (pair.first, pair.second))
    return first is not None and first == second


def gzip_header(pair: Pair, _: Limits) -> bool:
    """Tolerate gzip files that differ in the header's time and system only.

    gzip writes the time of what it packed, and the system that it ran on, into ten bytes at the
    start. They are taken for the same where everything else is, the compressed bytes too. What is
    lost: two such files have two digests.
    """
    if pair.first.size != pair.second.size or compressed.packing(pair.first) != ".gz":
        return False
    heads = [side.read(0, _HEADER) for side in (pair.first, pair.second)]
    if any(heads[0][part] != heads[1][part] for part in (_BEFORE_THE_TIME, _LEVEL)):
        return False
    return all(
        pair.first.read(at, _PIECE) == pair.second.read(at, _PIECE)
        for at in range(_HEADER, pair.first.size, _PIECE)
    )


ALL: dict[str, Tolerance] = {
    "archive-compression": archive_compression,
    "gzip-header": gzip_header,
}


def chosen(names: Iterable[str]) -> dict[str, Tolerance]:
    """The tolerances of these names.

    Raises:
        InputError: there is none of a name.
    """
    found = {}
    for name in names:
        if name not in ALL:
            raise InputError(
                f"no difference that can be tolerated is named {name!r}",
                subject="--tolerate",
                remedy=f"choose from: {', '.join(ALL)}",
            )
        found[name] = ALL[name]
    return found


def explained(name: str) -> str:
    """The paragraph that says what a tolerance means, in one line."""
    paragraphs = inspect.cleandoc(ALL[name].__doc__ or "").split("\n\n")
    return " ".join(paragraphs[1].split())


def of(pair: Pair, tolerances: dict[str, Tolerance], limits: Limits) -> str:
    """The name of the tolerance that covers all of a difference; empty where none does."""
    return next((name for name, holds in tolerances.items() if holds(pair, limits)), "")


def _unpacked(source: Source, limits: Limits) -> bytes | None:
    """BLAKE3 of what a file unpacks to; None where it is damaged or too large."""
    hasher = blake3()
    try:
        with refusing("cannot unpack it"):
            packing = compressed.packing(source)
            stream = decompression.reader(opened(source), packing, limits.streamed)
            while piece := stream.read(_PIECE):
                hasher.update(piece)
    except InputError:
        return None
    return hasher.digest()
