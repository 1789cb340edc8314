"""Formats in which differences are explained: both sides are anybody's bytes."""

from __future__ import annotations

import functools
import io
import os
import struct
import tarfile
from typing import TYPE_CHECKING

from orchestrator.diagnosis import evidence, files
from orchestrator.diagnosis.formats import ar, compressed, cpio, elf, golang, seed
from orchestrator.diagnosis.model import Collector, Limits
from orchestrator.diagnosis.source import Memory, OpenFile, Pair
from orchestrator.diagnosis.tolerance import ALL
from orchestrator.image.fat import regions
from reproducibility import visible
from reproducibility.errors import InputError
from tests.fuzz import bombs, media
from tests.fuzz.target import Target
from tests.unit.orchestrator.diagnosis import samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from orchestrator.diagnosis.model import Diagnosis
    from orchestrator.diagnosis.source import Source

_LIMITS = Limits(unpacked=16 << 20, streamed=32 << 20, findings=50)


def _told(first: Source, second: Source) -> Diagnosis:
    """Explain, and see that what is said is whole and can be printed."""
    to = Collector(_LIMITS, {"host name": ("alpha", "gamma"), "CPU count": ("2", "4")})
    files.explain(Pair("x", first, second), to)
    found = to.diagnosis()
    for line in found.lines():
        if visible.line(line) != line:
            raise AssertionError(repr(line))
    found.document()
    for note in found.notes:
        if files.MISTAKE in note:
            raise AssertionError(note)
    return found


def _against(*others: bytes) -> Callable[[bytes], None]:
    """A target: bytes against such that are right, and those against the bytes."""

    def run(data: bytes) -> None:
        for other in others:
            one = _told(Memory(data), Memory(other))
            if (data != other) != bool(one.total):
                raise AssertionError("a difference without a finding, or a finding without one")
            _told(Memory(other), Memory(data))

    return run


def _parsers(data: bytes) -> None:
    """The parsers themselves, whatever the bytes begin with."""
    source = Memory(data)
    for parse in (elf.parse, golang.build_information, lambda one: seed.renamed(one, one)):
        _refusing(parse, data)
    for read in (ar.members, lambda one: list(compressed.frames(one))):
        _refusing(read, source)
    _refusing(lambda one: list(cpio.opened_members(_Stream(one))), data)
    for name in ALL.values():
        name(Pair("x", source, Memory(data + b"x")), _LIMITS)


def _refusing(parse: Callable[..., object], data: object) -> None:
    try:
        parse(data)
    except InputError:
        return


class _Stream:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read(self, size: int, /) -> bytes:
        found = self._data[self._at : self._at + size]
        self._at += len(found)
        return found


def _texts(data: bytes) -> None:
    first, _, second = data.decode("latin-1").partition("\n")
    evidence.judge(first, second, {"user": ("alice", "bob")})
    evidence.judge(second, first)


def _patched(data: bytes) -> None:
    """An image against one that is patched; the map of it, at every patch and beyond."""
    with media._patched(data) as image:
        descriptor = os.open(image.path, os.O_RDONLY)
        try:
            source = OpenFile(descriptor, image.path.stat().st_size)
            found = regions.read(source.read, source.size)
            for region in image.regions:
                str(found.at(region.start))
            for at in (0, found.data, found.size - 1):
                str(found.at(at))
            if len(data) % 8 == 0:
                _told(source, Memory(b"no image"))
        finally:
            os.close(descriptor)


def _raw(data: bytes) -> None:
    source = Memory(data)
    if regions.looks_like(source.read, source.size):
        found = regions.read(source.read, source.size)
        for at in range(0, len(data), 331):
            str(found.at(at))
        _told(source, Memory(data[:-1] + b"?"))


@functools.cache
def _archives() -> tuple[bytes, ...]:
    members = {**samples.MEMBERS, "inner.zip": samples.zipped(samples.MEMBERS)}
    return (
        samples.cpio(members), samples.zst(samples.cpio(members)), samples.gz(b"text\n" * 40, 7),
        samples.zipped(members), samples.tar(members), samples.ar(members),
    )  # fmt: skip


def _programs() -> Sequence[bytes]:
    table = samples.elf({".symtab": bytes(240), ".rodata": b"text in here\0" * 20}, size=24)
    return [
        samples.go_program(), table, samples.index({b"a": b"b", b"c": b"d"}),
        samples.ar({"__.PKGDEF": samples.go_object(b"x"), "_go_.o": samples.go_object(b"y" * 99)}),
    ]  # fmt: skip


def _bombs() -> Sequence[bytes]:
    """What unpacks to much, and what claims much."""
    claims = bytearray(samples.zst(b"x"))
    claims[4:6] = b"\xc0\xff"
    claimed = b"070701" + b"%08X" % 0 * 6 + b"%08X" % 0xFFFFFFFF + b"%08X" % 0 * 6
    overlaid = struct.pack("<IIQQQQIIQQ", 0, 1, 0, 0, 0, 64 * 9000, *[0] * 4) * 9000
    head = struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, 64, 0, 64, 0, 0, 64, 9000, 0)
    start = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + head
    archive = samples.cpio({"x": b""})[:120]
    return [bombs.xz(), bombs.gz(), bombs.zst(), bombs.zst(archive), bytes(claims), claimed,
            start + overlaid, *_tars()]  # fmt: skip


def _tars() -> Iterator[bytes]:
    """Archives of tar with a long name of 2**50 bytes, and with times that are none."""
    header = bytearray(tarfile.TarInfo("one").tobuf(tarfile.GNU_FORMAT))
    header[124:157] = b"\x80" + (1 << 50).to_bytes(11, "big") + header[136:148] + b" " * 8 + b"L"
    header[148:156] = b"%06o\0 " % sum(header)
    yield bytes(header) + bytes(1024)
    for time in ("inf", "nan"):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            info = tarfile.TarInfo("one")
            info.pax_headers = {"mtime": time}
            archive.addfile(info)
        yield out.getvalue()


TARGETS = (
    Target("differing-archives", _against(*_archives()[:3]), _archives, (), _bombs, examples=20),
    Target("differing-packed", _against(*_archives()[3:]), _archives, (), _bombs, examples=20),
    Target("differing-programs", _against(*_programs()), _programs, (), _bombs, examples=20),
    Target("differing-parsers", _parsers, lambda: [*_archives(), *_programs()], (), _bombs),
    Target("differing-texts", _texts, lambda: [b"at 2026-11-28 12:00\nat 2026-11-28 13:00",
                                               b"0x7ffd3a5c2e10 /work/x a@b\n0x7ffe91 /y c@d"],
           ()),
    Target("image-regions", _patched, media._patches, examples=12),
    Target("volume-regions", _raw, media._boot_sector, nasty=media._large_tables, examples=20),
)  # fmt: skip
