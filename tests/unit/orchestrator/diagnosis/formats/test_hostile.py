"""Files that are made to take memory or time, or to end the program: a difference and a note."""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest

from orchestrator.diagnosis import files, source, trees
from orchestrator.diagnosis.formats import elf_inflating, tar_headers, zip_archive
from orchestrator.diagnosis.formats.stream import refusing
from orchestrator.diagnosis.model import Collector, Limits
from orchestrator.diagnosis.source import Memory
from reproducibility.errors import InfrastructureError, InputError, Stopped
from tests.unit.orchestrator.diagnosis import samples
from tests.unit.orchestrator.diagnosis.formats.test_formats import told

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orchestrator.diagnosis.model import Diagnosis


def notes(to: Collector) -> str:
    return "\n".join(to.diagnosis().notes)


# -- any format ------------------------------------------------------------------------------------


def failing(error: BaseException) -> object:
    def explain(*_: object) -> None:
        raise error

    return explain


def of_ar(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(files, "FORMATS", (("an ar archive", lambda _: True, failing(error)),))


@pytest.mark.parametrize("error", [OverflowError("much"), MemoryError(), KeyError("x"), OSError()])
def test_an_error_of_one_format_leaves_the_answer(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_ar(monkeypatch, error)
    to = told(b"host: alpha\n", b"host: gamma\n")
    assert [one.cause.value for one in to.findings] == ["user"]
    assert files.MISTAKE in notes(to)
    assert "an ar archive" in notes(to)


@pytest.mark.parametrize(
    "error", [Stopped("stopped"), KeyboardInterrupt(), InfrastructureError("x"), OSError(5, "x")]
)
def test_what_is_no_error_of_a_format_ends_the_comparison(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_ar(monkeypatch, error)
    with pytest.raises(type(error)):
        told(b"one", b"two")


def test_a_claim_beyond_the_memory_is_damage() -> None:
    with pytest.raises(InputError, match="damaged: MemoryError"), refusing("damaged"):
        raise MemoryError


def explained(folder: Path, first: Mapping[str, bytes], second: Mapping[str, bytes]) -> Diagnosis:
    to = Collector(Limits())
    for name in first:
        for side, content in (("1", first[name]), ("2", second[name])):
            (folder / side).write_bytes(content)
        trees.collect_files(name, folder / "1", folder / "2", to)
    return to.diagnosis()


# -- tar -------------------------------------------------------------------------------------------


def pax(
    member: Mapping[str, str], content: bytes = b"x", every: Mapping[str, str] | None = None
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers=dict(every or {})
    ) as archive:
        info = tarfile.TarInfo("a")
        info.size, info.pax_headers = len(content), dict(member)
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e400", "9e307", "word", "", "9" * 9000])
def test_a_time_of_tar_that_is_none(value: str, tmp_path: Path) -> None:
    one, other = pax({"mtime": "1.0"}), pax({"mtime": value})
    found = explained(tmp_path, {"a": one, "b": b"cpus: 1\n"}, {"a": other, "b": b"cpus: 2\n"})
    assert {(one.path, one.cause.value) for one in found.findings} >= {
        ("a", "time"),
        ("b", "parallelism"),
    }
    assert files.MISTAKE not in "".join(found.notes)
    assert told(other, pax({"mtime": value}, b"y")).findings[0].path == "f > a"


def claiming(kind: bytes, size: int, name: bytes = b"p") -> bytes:
    header = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
    header[:1] = name
    header[156:157] = kind
    header[124:136] = b"\x80" + size.to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(2048)


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g", b"X", b"0"])
@pytest.mark.parametrize("size", [1 << 80, 1 << 50, 2 << 20, 2049])
def test_a_header_of_tar_that_claims_much(kind: bytes, size: int) -> None:
    to = told(claiming(kind, size), claiming(kind, size, b"q"))
    assert to.findings
    assert "was not read as a tar archive" in notes(to)
    assert files.MISTAKE not in notes(to)


def test_a_global_header_of_tar_is_not_kept_with_each_member() -> None:
    every = {f"key{number}": "v" * 50 for number in range(300)}
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers=every
    ) as archive:
        for number in range(50):
            archive.addfile(tarfile.TarInfo(str(number)))
    found = list(tar_headers.members(Memory(out.getvalue())))
    assert [one.name for one in found] == [str(number) for number in range(50)]
    assert not any("v" * 50 in repr(one) for one in found)
    assert all(not one.extended for one in found)


@pytest.mark.parametrize(
    ("name", "value"),
    [("MOST_BYTES", 300), ("MOST_RECORDS", 3), ("LARGEST_HEADER", 100), ("MOST_MEMBERS", 0)],
)
def test_bounds_of_extended_headers(name: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {f"key{number}": "v" * 50 for number in range(9)}
    data = pax(keys)
    assert len(list(tar_headers.members(Memory(data)))) == 1
    monkeypatch.setattr(tar_headers, name, value)
    with pytest.raises(InputError, match=r"looked at|more than"):
        list(tar_headers.members(Memory(data)))


@pytest.mark.parametrize("content", [b"5", b"1" * 600, b"9 key=value\n", b"0 =\n", b"99 a=b\n"])
def test_an_extended_header_that_is_none(content: bytes) -> None:
    header = claiming(b"x", len(content))[:512]
    data = header + content.ljust(-(-len(content) // 512) * 512, b"\0") + samples.tar({"a": b""})
    with pytest.raises(InputError, match="extended header"):
        list(tar_headers.members(Memory(data)))


def test_headers_of_tar_without_a_member_are_bounded() -> None:
    with pytest.raises(InputError, match="before a member"):
        list(tar_headers.members(Memory(claiming(b"g", 0)[:512] * 20)))


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_members_of_tar_are_those_of_the_library(form: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for number, name in enumerate(["short", "l" * 90 + "/" + "n" * 90, "folder/", "ümlaut"]):
            info = tarfile.TarInfo(name)
            info.mtime = 1_790_000_000 + number
            info.uid, info.uname, info.gname = 70_000 + number, f"user{number}", "group"
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
                continue
            info.size = 700 * number
            archive.addfile(info, io.BytesIO(bytes(info.size)))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "t" * (90 if form == 0 else 200)
        archive.addfile(link)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        wanted = archive.getmembers()
    found = list(tar_headers.members(Memory(out.getvalue())))
    assert len(found) == 5
    for one, other in zip(found, wanted, strict=True):
        assert one.name == other.name
        fields = [getattr(other, field) for _, field, _ in tar_headers.FIELDS]
        assert list(one.values) == fields
        assert (one.place, one.data, one.size) == (other.offset, other.offset_data, other.size)
        assert one.header == other.offset_data - 512


# -- zip -------------------------------------------------------------------------------------------


def method(kind: int, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as archive:
        archive.writestr(zipfile.ZipInfo("m"), content, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_of_zip_that_the_library_unpacks_without_a_bound_are_not_unpacked(
    kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (method(kind, bytes(3 << 20) + end) for end in (b"1", b"2"))

    def unpacked(*_: object) -> None:
        raise AssertionError("unpacked")

    monkeypatch.setattr(zipfile, "LZMADecompressor", unpacked)
    monkeypatch.setattr(bz2, "BZ2Decompressor", unpacked)
    monkeypatch.setattr(lzma, "LZMADecompressor", unpacked)
    to = told(first, second, Limits(unpacked=1 << 20))
    assert [one.where for one in to.findings] == ["the content of m"]
    assert f"of method {kind}" in notes(to)


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_of_zip_are_unpacked_up_to_the_limit(kind: int) -> None:
    first, second = (method(kind, b"\n" * (1 << 19) + end) for end in (b"cpus: 1", b"cpus: 2"))
    assert told(first, second, Limits(unpacked=1 << 19)).findings[0].where == "the content of m"
    [one] = told(first, second).findings
    assert (one.path, one.cause.value) == ("f > m", "parallelism")


def test_a_directory_of_zip_whose_size_stands_in_a_second_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zip_archive, "_LARGEST_DIRECTORY", 1000)
    data = b"PK\3\4" + bytes(2000)
    # zip64: a record of the end, and where it lies.
    wide = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, 1500, 0)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(data), 1)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, 50, 0, 0)
    to = told(data + wide + locator + end, data[:-1] + b"1" + wide + locator + end)
    assert to.findings
    assert "a larger directory than is looked at" in notes(to)


# -- ELF -------------------------------------------------------------------------------------------


def compressed(fill: bytes, size: int, count: int) -> bytes:
    content = fill * size
    packed = struct.pack("<IIQQ", 1, 0, size, 1) + zlib.compress(content)
    data = bytearray(samples.elf({f".debug_{number:04}": packed for number in range(count)}))
    [table] = struct.unpack_from("<Q", data, 40)
    for number in range(1, count + 1):
        struct.pack_into("<Q", data, table + 64 * number + 8, 0x800)
    return bytes(data)


def test_compressed_sections_have_one_bound_for_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    size, count = 1 << 20, 40
    inflated: list[int] = []

    class Counting:
        def __init__(self) -> None:
            self._real = zlib.decompressobj()

        def decompress(self, data: bytes, most: int) -> bytes:
            found = self._real.decompress(data, most)
            inflated.append(len(found))
            return found

        @property
        def eof(self) -> bool:
            return self._real.eof

    first, second = (compressed(fill, size, count) for fill in (b"a", b"b"))

    class Library:
        error = zlib.error

        @staticmethod
        def decompressobj() -> Counting:
            return Counting()

    monkeypatch.setattr(elf_inflating, "zlib", Library)
    to = told(first, second)
    assert 0 < sum(inflated) <= 2 * max(4 << 20, 100 * len(first))
    assert len({one.path.split(" > ")[1] for one in to.findings}) == count
    assert "unpacks to more than is looked at" in notes(to)
    assert len(to.diagnosis().notes) <= 2 * Limits().each


def test_a_compressed_section_has_no_byte_of_the_file() -> None:
    [one] = told(compressed(b"a", 5000, 1), compressed(b"b", 5000, 1)).findings
    assert (one.path, one.offset) == ("f > section .debug_0000 > unpacked", 0)
    assert "byte" not in one.where.removeprefix("bytes")


def test_a_compressed_section_that_unpacks_to_the_same() -> None:
    content = bytes(range(256)) * 30
    head = struct.pack("<IIQQ", 1, 0, len(content), 1)
    sections = []
    for level in (1, 9):
        packed = (head + zlib.compress(content, level)).ljust(1200, b"\0")
        data = bytearray(samples.elf({".debug_info": packed}))
        [table] = struct.unpack_from("<Q", data, 40)
        struct.pack_into("<Q", data, table + 64 + 8, 0x800)
        sections.append(bytes(data))
    one, *_ = told(sections[0], sections[1]).findings
    assert (one.path, one.where) == ("f > section .debug_info", "the compressed bytes")
    assert "unpacks to is the same" in one.reason


@pytest.mark.parametrize("size", [0, 29, 31, 1 << 62])
def test_a_compressed_section_that_says_another_size(size: int) -> None:
    sections = []
    for fill in (b"a", b"b"):
        data = bytearray(compressed(fill, 30, 1))
        struct.pack_into("<Q", data, 64 + 8, size)
        sections.append(bytes(data))
    to = told(sections[0], sections[1])
    assert {one.path for one in to.findings} == {"f > section .debug_0000"}
    assert "compared as it is compressed" in notes(to)


class Pieces(bytes):
    """Bytes that nobody may go through one by one."""

    def __iter__(self) -> None:  # type: ignore[override]
        raise AssertionError("byte by byte")

    def __getitem__(self, at: object) -> object:  # type: ignore[override]
        found = super().__getitem__(at)  # type: ignore[call-overload]
        return Pieces(found) if isinstance(found, bytes) else found


def test_places_are_found_without_going_through_bytes() -> None:
    one, other = Pieces(b"a" * 200_000), Pieces(b"b" * 200_000)
    assert source.runs(one, other, most=9) == [(0, 200_000)]


@pytest.mark.parametrize("places", [
    [], [0], [0, 7], [0, 8], [0, 9], [65_535, 65_536], [65_530, 65_540], [65_528, 65_536],
    [65_527, 65_536], list(range(0, 9000, 9)), [4095, 4104, 199_999], list(range(65_000, 66_000)),
])  # fmt: skip
def test_places_that_differ(places: list[int]) -> None:
    other = bytearray(200_000)
    for at in places:
        other[at] = 1
    wanted: list[tuple[int, int]] = []
    for at in places:
        if wanted and at - wanted[-1][1] < 8:
            wanted[-1] = wanted[-1][0], at + 1
        elif len(wanted) == 5:
            break
        else:
            wanted.append((at, at + 1))
    assert source.runs(bytes(200_000), bytes(other), most=5) == wanted


# -- what no finding may hide ----------------------------------------------------------------------

TIMES = b"built 2026-01-01 00:00:00\0", b"built 2026-01-01 00:01:07\0"


def planted(at: int, size: int = 1, value: int = 7) -> Collector:
    """A time in a section, and bytes elsewhere. `at`: from the table of sections."""
    first, second = (
        bytearray(samples.elf({".data": b"x" * 64, ".comment": time})) for time in TIMES
    )
    [table] = struct.unpack_from("<Q", second, 40)
    for number in range(size):
        second[table + at + number] = value
    to = told(bytes(first), bytes(second))
    main = to.diagnosis().main
    assert main is not None
    assert main.cause.value == "time"
    return to


@pytest.mark.parametrize(("at", "name"), [(4, "type"), (8, "flags"), (56, "size of an entry")])
def test_a_changed_header_of_a_section_is_said_beside_a_clear_cause(at: int, name: str) -> None:
    to = planted(64 + at)
    [one] = [one for one in to.findings if name in one.where]
    assert one.where == f"the header of section .data, {name}"
    assert not one.follows
    assert one.offset == 64 + 64 + len(TIMES[0]) + len(b"\0.data\0.comment\0.shstrtab\0") + 64 + at


def test_bytes_of_no_section_are_counted_beside_a_clear_cause() -> None:
    # The address of .data, which no content tells.
    to = planted(64 + 16, 3)
    [one] = [one for one in to.findings if "3 bytes differ" in one.reason]
    assert (one.where, one.follows) == ("the header of section 1", False)


@pytest.mark.parametrize(("at", "name"), [(18, "machine"), (48, "flags"), (7, "identity")])
def test_a_changed_elf_header_is_said_beside_a_clear_cause(at: int, name: str) -> None:
    first, second = (
        bytearray(samples.elf({".data": b"x" * 64, ".comment": time})) for time in TIMES
    )
    second[at] ^= 1
    to = told(bytes(first), bytes(second))
    [one] = [one for one in to.findings if one.where == f"the ELF header, {name}"]
    assert not one.follows


@pytest.mark.parametrize(("at", "name"), [(0, "type"), (4, "flags")])
def test_a_changed_program_header_is_said_beside_a_clear_cause(at: int, name: str) -> None:
    files_of = []
    for time in TIMES:
        data = bytearray(samples.elf({".data": b"x" * 64, ".comment": time}))
        struct.pack_into("<Q", data, 32, len(data))
        struct.pack_into("<HH", data, 54, 56, 2)
        files_of.append(data + struct.pack("<IIQQQQQQ", 1, 6, *[0] * 6) * 2)
    files_of[1][-56 + at] = 7
    to = told(bytes(files_of[0]), bytes(files_of[1]))
    [one] = [one for one in to.findings if "program header" in one.where]
    assert (one.where, one.first, one.second) == (
        f"program header 1, {name}", hex((1, 6)[at // 4]), "0x7",
    )  # fmt: skip
    assert (one.follows, one.offset) == (False, len(files_of[0]) - 56 + at)


# -- places ----------------------------------------------------------------------------------------


def test_places_in_what_is_packed_are_those_of_the_unpacked() -> None:
    first, second = (
        samples.zst(samples.cpio({"a": bytes(9000), "b": b""}, epoch=epoch))
        for epoch in (samples.EPOCH, samples.EPOCH + 61)
    )
    found = told(first, second).findings
    assert {one.path for one in found} == {"f > unpacked"}
    assert max(one.offset or 0 for one in found) > len(first)
    plain = samples.cpio({"a": b"", "b": b"1"}), samples.cpio({"b": b"1", "a": b""})
    assert {one.path for one in told(*plain).findings} == {"f"}


def test_places_in_headers_of_tar_behind_extended_ones() -> None:
    def made(time: float, owner: str) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            info = tarfile.TarInfo("a")
            info.mtime, info.uname = time, owner
            archive.addfile(info)
        return out.getvalue()

    first, second = made(samples.EPOCH + 0.5, "alice"), made(samples.EPOCH + 61.5, "bob")
    places = {one.where.partition(", ")[2]: one.offset for one in told(first, second).findings}
    # The time stands in the extended header, and the owner in the member's own.
    assert places == {"modification time": None, "owner's name": first.index(b"alice")}
