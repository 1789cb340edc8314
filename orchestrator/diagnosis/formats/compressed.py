"""Compressed files: gzip and zstd with their headers, xz and bzip2; then what they unpack to.

Sources: RFC 1952 (gzip), RFC 8878 (zstd: frames and blocks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.diagnosis import evidence, moments
from orchestrator.diagnosis.formats import cpio
from orchestrator.diagnosis.formats.stream import TIMES, opened, refusing
from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness
from orchestrator.diagnosis.source import Memory, first_difference
from orchestrator.files import decompression
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.diagnosis.model import Collector
    from orchestrator.diagnosis.source import Pair, Source

    Inner = Callable[[Pair], None]

_KINDS = ((b"\x1f\x8b\x08", ".gz"), (b"\x28\xb5\x2f\xfd", ".zst"), (b"\xfd7zXZ\0", ".xz"),
          (b"BZh", ".bz2"))  # fmt: skip
_MOST_FRAMES = 1_000_000
_MOST_BLOCKS = 4_000_000
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
_FRAME = 0xFD2FB528
_LONGEST_NAME = 1024
_GZIP_HEADER = 10


def is_compressed(source: Source) -> bool:
    """Tell whether bytes begin as a compressed file does."""
    return packing(source) != ""


def packing(source: Source) -> str:
    """Return how bytes are compressed: `.gz`, `.zst`, `.xz`, `.bz2`, or empty for not."""
    start = source.read(0, 6)
    return next((name for magic, name in _KINDS if start.startswith(magic)), "")


def explain(pair: Pair, to: Collector, inner: Inner) -> None:
    """Add how two compressed files differ: the headers, then what they unpack to.

    Raises:
        InputError: one is damaged, or unpacks to more than is looked at.
    """
    kind = packing(pair.first)
    if kind != packing(pair.second):
        judged = Judgement(Cause.INPUT, Sureness.LIKELY, "compressed by other programs")
        to.say(pair.path, "how it is compressed", judged, (kind, packing(pair.second)), offset=0)
    elif kind == ".gz":
        _gzip(pair, to)
    if cpio.is_archive(pair, opening):
        # Both are unpacked as they are read: places are those in what they unpack to.
        within = pair.within("unpacked", pair.first, pair.second)
        same = cpio.explain_streams(within, to, inner, opening)
    else:
        first, second = (unpacked(side, to, pair.path) for side in (pair.first, pair.second))
        same = first == second
        if not same:
            inner(pair.within("unpacked", Memory(first), Memory(second)))
    if same:
        _same_content(pair, to, kind)


def opening(source: Source, limit: int) -> object:
    """The unpacked bytes as a stream of at most `limit`; errors: `stream.refusing`."""
    return decompression.reader(opened(source), packing(source), limit)


def unpacked(source: Source, to: Collector, subject: str) -> bytes:
    """Return what a compressed source holds.

    Raises:
        InputError: it is damaged, or more than is looked at.
    """
    limit = decompression.limit(source.size, to.limits.unpacked, TIMES)
    with refusing("cannot unpack it", subject):
        return decompression.reader(opened(source), packing(source), limit).read()


def _same_content(pair: Pair, to: Collector, kind: str) -> None:
    at = first_difference(pair.first, pair.second)
    where = "the compressed bytes"
    judged = Judgement(
        Cause.UNKNOWN, Sureness.POSSIBLE,
        "what they unpack to is the same: another compressor, version, level, or number of threads",
    )  # fmt: skip
    values = f"{pair.first.size} bytes", f"{pair.second.size} bytes"
    if kind == ".zst":
        sides = [list(frames(side)) for side in (pair.first, pair.second)]
        number = next((n for n, (a, b) in enumerate(zip(*sides, strict=False)) if a != b), 0)
        where = f"frame {number + 1} of {len(sides[0])}"
        values = _summed(sides[0]), _summed(sides[1])
        judged = _frames_judged(*sides) or judged
    for name, (one, other) in to.known.items():
        if evidence.condition(name) is Cause.PARALLELISM and one != other:
            reason = f"what they unpack to is the same, and the sides had another {name}"
            judged = Judgement(Cause.PARALLELISM, Sureness.POSSIBLE, reason)
    follows = any(one.path == pair.path for one in to.findings)
    to.say(pair.path, where, judged, values, offset=at, follows=follows)


def _frames_judged(first: list[Frame], second: list[Frame]) -> Judgement | None:
    if len(first) != len(second):
        return Judgement(
            Cause.PARALLELISM, Sureness.POSSIBLE,
            "the same content in another number of frames, as compressors with threads make them",
        )  # fmt: skip
    settings = [{(one.window, one.checksum, one.dictionary) for one in side}
                for side in (first, second)]  # fmt: skip
    if settings[0] != settings[1]:
        return Judgement(
            Cause.INPUT, Sureness.LIKELY,
            "the same content under another window or checksum: another level or other options",
        )  # fmt: skip
    return None


def _summed(found: list[Frame]) -> str:
    windows = sorted({one.window for one in found})
    return (
        f"{len(found)} frames, {sum(one.blocks for one in found)} blocks, windows of "
        f"{', '.join(map(str, windows[:3]))} bytes, {sum(one.size for one in found)} bytes in all"
    )


# -- gzip ------------------------------------------------------------------------------------------


def _gzip(pair: Pair, to: Collector) -> None:
    one, other = pair.first.read(0, 10), pair.second.read(0, 10)
    if min(len(one), len(other)) < _GZIP_HEADER:
        raise InputError("the gzip header is cut short", subject=pair.path)
    if one[4:8] != other[4:8]:
        numbers = [int.from_bytes(head[4:8], "little") for head in (one, other)]
        words = " and ".join(moments.unix(number) or str(number) for number in numbers)
        judged = moments.gap(
            abs(numbers[0] - numbers[1]), words, sure=Sureness.CERTAIN, local=False
        )
        at = next(n for n in range(4, 8) if one[n] != other[n])
        to.say(pair.path, "gzip header, modification time", judged, tuple(numbers), offset=at)  # type: ignore[arg-type]
    for at, name in ((8, "extra flags (level)"), (9, "operating system"), (3, "flags")):
        if one[at : at + 1] != other[at : at + 1]:
            judged = Judgement(
                Cause.INPUT, Sureness.LIKELY, "another program or level compressed it"
            )
            to.say(pair.path, f"gzip header, {name}", judged, (one[at], other[at]), offset=at)
    names = [_gzip_name(side) for side in (pair.first, pair.second)]
    if names[0] != names[1]:
        judged = evidence.judge(names[0], names[1], to.known) if all(names) else UNKNOWN
        to.say(pair.path, "gzip header, file name", judged, (names[0], names[1]), offset=10)


def _gzip_name(source: Source) -> str:
    start = source.read(0, _LONGEST_NAME)
    at = 10
    if start[3] & 4:
        at += 2 + int.from_bytes(start[10:12], "little")
    return start[at:].split(b"\0")[0].decode("latin-1") if start[3] & 8 else ""


# -- zstd ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frame:
    """A zstd frame. `size`: bytes; `content`: bytes it unpacks to, where it says so."""

    size: int
    content: int | None
    window: int
    dictionary: int
    checksum: bool
    blocks: int


def frames(source: Source) -> Iterator[Frame]:
    """Yield the frames of a zstd file, by their headers and those of their blocks.

    Raises:
        InputError: it is damaged.
    """
    at = blocks = 0
    for _ in range(_MOST_FRAMES):
        if at >= source.size:
            return
        magic = int.from_bytes(source.read(at, 4), "little")
        if magic in _SKIPPABLE:
            at += 8 + int.from_bytes(source.read(at + 4, 4), "little")
            continue
        if magic != _FRAME:
            raise InputError(f"no zstd frame at byte {at}")
        frame = _frame(source, at, _MOST_BLOCKS - blocks)
        blocks += frame.blocks
        at += frame.size
        yield frame


def _frame(source: Source, start: int, most: int) -> Frame:
    head = source.read(start + 4, 14).ljust(14, b"\0")
    descriptor = head[0]
    single, checksum = bool(descriptor & 0x20), bool(descriptor & 4)
    at = 1
    window = 0
    if not single:
        exponent, mantissa = head[1] >> 3, head[1] & 7
        window = (1 << 10 + exponent) // 8 * (8 + mantissa)
        at = 2
    length = (0, 1, 2, 4)[descriptor & 3]
    dictionary = int.from_bytes(head[at : at + length], "little")
    at += length
    length = (int(single), 2, 4, 8)[descriptor >> 6]
    content = int.from_bytes(head[at : at + length], "little") if length else None
    if length == 2 and content is not None:  # noqa: PLR2004 - RFC 8878: two bytes start at 256
        content += 256
    place = start + 4 + at + length
    for count in range(1, most + 1):
        header = source.read(place, 3)
        if len(header) < 3:  # noqa: PLR2004 - a block's header
            break
        value = int.from_bytes(header, "little")
        place += 3 + (1 if value >> 1 & 3 == 1 else value >> 3)
        if value & 1:
            size = place + 4 * checksum - start
            if start + size > source.size:
                break
            return Frame(size, content, window or content or 0, dictionary, checksum, count)
    raise InputError(f"the zstd frame at byte {start} is cut short")
