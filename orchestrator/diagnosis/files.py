"""Explains how two files differ, by what they are: the table of formats, and what comes last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.diagnosis import blob
from orchestrator.diagnosis.formats import (
    ar,
    compressed,
    cpio,
    elf,
    image,
    seed,
    tar,
    text,
    zip_archive,
)
from orchestrator.diagnosis.model import Cause, Judgement, Sureness
from orchestrator.diagnosis.source import first_difference
from reproducibility.errors import ComparisonError, InputError, SourceryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.diagnosis.model import Collector
    from orchestrator.diagnosis.source import Pair, Source

    Inner = Callable[[Pair], None]
    Explain = Callable[[Pair, Collector, Inner], None]

FORMATS: tuple[tuple[str, Callable[[Source], bool], Explain], ...] = (
    ("a FAT32 image", image.is_image, image.explain),
    ("ELF", elf.is_elf, elf.explain),
    ("an ar archive", ar.is_archive, ar.explain),
    ("the index of a compile seed", seed.is_index, seed.explain),
    ("a compressed file", compressed.is_compressed, compressed.explain),
    ("a cpio archive", cpio.is_plain, cpio.explain),
    ("a zip archive", zip_archive.is_zip, zip_archive.explain),
    ("a tar archive", tar.is_tar, tar.explain),
)

# How a note of a format begins that failed by an error that is none of the file.
MISTAKE = "this is a mistake in orchestrate itself"

_SAMPLE = 4096
# Bytes that are shown of what one side has more.
_REST = 16

# What holds other files, each of which is a file that differs itself.
_CONTAINERS = (image.is_image, compressed.is_compressed, cpio.is_plain)


def explain(pair: Pair, to: Collector, depth: int = 0) -> None:
    """Add why two files differ; nothing where they are the same.

    Raises:
        OSError: one cannot be read.
    """
    at = first_difference(pair.first, pair.second)
    if at is None:
        return
    mark = to.mark()
    cut = cut_short(pair, at)
    if to.on_file is not None and not any(holds(pair.first) for holds in _CONTAINERS):
        to.on_file(pair)

    if depth < to.limits.depth:
        _structured(pair, to, depth)
    if cut is not None and not _are_texts(pair):
        # What the parts say follows from it, in the order of the file: it is at their end.
        to.follow(mark)
        _say(pair, to, at, cut)
    if to.since(mark):
        return
    text.explain(pair, to)
    if cut is not None and all(one.cause is Cause.UNKNOWN for one in to.since(mark)):
        to.drop(mark)
        _say(pair, to, at, cut)
    if not to.since(mark):
        blob.explain(pair, to)


def _structured(pair: Pair, to: Collector, depth: int) -> None:
    """Add what differs by the first format that both are of and that tells something.

    An error of one format is a note: of many files that differ, the others are explained.
    """
    mark = to.mark()

    def inner(within: Pair) -> None:
        explain(within, to, depth + 1)

    for name, is_one, how in FORMATS:
        if not (is_one(pair.first) and is_one(pair.second)):
            continue
        try:
            how(pair, to, inner)
        except (InputError, ComparisonError) as error:
            to.note(f"{pair.path or 'this'} was not read as {name}: {error.summary}")
        except SourceryError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            words = f"{type(error).__name__}: {error}"
            to.note(f"{pair.path or 'this'} was not read to its end as {name}; {MISTAKE}: {words}")
        if to.since(mark):
            return


def cut_short(pair: Pair, at: int) -> str | None:
    """Return in words that one side is the beginning of the other one; None where it is not.

    `at`: the first byte that differs, as `source.first_difference` gives it.
    """
    sizes = pair.first.size, pair.second.size
    if sizes[0] == sizes[1] or at != min(sizes):
        return None
    whole, part = ("first", "second") if sizes[0] > sizes[1] else ("second", "first")
    if not at:
        return f"the {part} is empty"
    return f"the {part} is the beginning of the {whole}, cut short after {at} of {max(sizes)} bytes"


def _are_texts(pair: Pair) -> bool:
    return all(text.is_text(side.read(0, _SAMPLE)) for side in (pair.first, pair.second))


def _say(pair: Pair, to: Collector, at: int, words: str) -> None:
    judged = Judgement(Cause.UNKNOWN, Sureness.POSSIBLE, words)
    end = "the end of the second" if pair.second.size == at else "the end of the first"
    rest = pair.first.read(at, _REST), pair.second.read(at, _REST)
    to.say(pair.path, end, judged, (rest[0] or None, rest[1] or None), offset=at)
