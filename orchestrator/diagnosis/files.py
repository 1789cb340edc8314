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
from orchestrator.diagnosis.source import first_difference
from reproducibility.errors import ComparisonError, InputError

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

# What holds other files, each of which is a file that differs itself.
_CONTAINERS = (image.is_image, compressed.is_compressed, cpio.is_plain)


def explain(pair: Pair, to: Collector, depth: int = 0) -> None:
    """Add why two files differ; nothing where they are the same.

    Raises:
        OSError: one cannot be read.
    """
    if first_difference(pair.first, pair.second) is None:
        return
    mark = to.mark()
    if to.on_file is not None and not any(holds(pair.first) for holds in _CONTAINERS):
        to.on_file(pair)

    def inner(within: Pair) -> None:
        explain(within, to, depth + 1)

    if depth < to.limits.depth:
        for name, is_one, how in FORMATS:
            if not (is_one(pair.first) and is_one(pair.second)):
                continue
            try:
                how(pair, to, inner)
            except (InputError, ComparisonError) as error:
                to.note(f"{pair.path or 'this'} was not read as {name}: {error.summary}")
            if to.since(mark):
                return
    text.explain(pair, to)
    if not to.since(mark):
        blob.explain(pair, to)
