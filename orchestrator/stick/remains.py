"""Places behind the image where signatures of the old disk lie (GPT, RAID, file systems).

Pure. Tables, file systems and RAID members are known by marks at fixed places, counted from the
beginning or the end of a disk or a partition. Sources: libblkid of util-linux (what `wipefs` and
`blkid -p` look at: within 4 MiB and 4 KiB of the beginning, and within 2 MiB of the end); UEFI
2.10, section 5.3 (the copy of a GPT); btrfs, "On-disk Format" (copies of the superblock); Linux,
Documentation/filesystems/ext4 (copies of the superblock); ZFS On-Disk Specification, 1.2.1 (two
labels at the end).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.stick.contents import Contents

# Overwritten at the beginning and the end of the disk and of each partition.
EDGE: Final = 8 << 20
# Overwritten at a place that a program gave: a mark is never longer.
_MARK = 64 << 10
_BLOCK = 4096
_BTRFS = (64 << 20, 256 << 30)
_EXT = "ext"
_EXT_BLOCKS = (1024, 2048, 4096)


def places(image: int, size: int, holds: Contents, marks: Iterable[int] = ()) -> tuple[range, ...]:
    """The bytes to overwrite on a disk of `size` bytes behind an image of `image` bytes.

    `marks`: where something else was found. Sorted, apart from one another, none in the image.
    """
    found = [range(image, image + EDGE), *_marks(0, size, "")]
    for part in holds.parts:
        found += _marks(part.start, part.size, part.kind)
    found += [range(at - EDGE, at + EDGE) for at in holds.copies]
    found += [range(at - at % _BLOCK, at + _MARK) for at in marks]
    clipped = (range(max(image, one.start), min(size, one.stop)) for one in found)
    return tuple(_merged(sorted((one for one in clipped if one), key=lambda one: one.start)))


def _marks(start: int, size: int, kind: str) -> Iterator[range]:
    """Return where a disk or a partition has its signatures."""
    end = start + size
    yield range(start, start + min(EDGE, size))
    yield range(max(start, end - EDGE), end)
    for at in _BTRFS:
        if at < size:
            yield range(start + at, start + at + _MARK)
    if kind.startswith(_EXT):
        for at in _ext_copies(size):
            yield range(start + at, start + at + 2 * _BLOCK)


def _ext_copies(size: int) -> Iterator[int]:
    """Return where ext2, ext3 and ext4 keep copies: in groups 1 and the powers of 3, 5 and 7."""
    for block in _EXT_BLOCKS:
        group = 8 * block * block
        numbers = {1} | {base**n for base in (3, 5, 7) for n in range(1, 40)}
        yield from (number * group for number in sorted(numbers) if number * group < size)


def _merged(found: Iterable[range]) -> Iterator[range]:
    """Ranges, sorted by their beginnings, with those joined that touch."""
    last: range | None = None
    for one in found:
        if last is not None and one.start <= last.stop:
            last = range(last.start, max(last.stop, one.stop))
            continue
        if last is not None:
            yield last
        last = one
    if last is not None:
        yield last
