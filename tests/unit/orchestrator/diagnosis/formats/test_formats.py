"""The parsers of single formats: what they read of what others wrote, and what they refuse."""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest
import zstandard

from orchestrator.diagnosis import evidence, files
from orchestrator.diagnosis.formats import (
    ar,
    compressed,
    cpio,
    elf,
    golang,
    members,
    seed,
    text,
)
from orchestrator.diagnosis.model import UNKNOWN, Cause, Collector, Finding, Limits, Sureness
from orchestrator.diagnosis.source import Memory, Pair
from reproducibility.errors import InputError
from tests.unit.orchestrator.diagnosis import samples
from tests.unit.orchestrator.diagnosis.samples import MEMBERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.diagnosis.source import Source


def told(first: bytes, second: bytes, limits: Limits | None = None) -> Collector:
    to = Collector(limits or Limits())
    files.explain(Pair("f", Memory(first), Memory(second)), to)
    return to


def found(first: bytes, second: bytes) -> list[Finding]:
    return told(first, second).findings


# -- ELF -------------------------------------------------------------------------------------------


def test_an_elf_file_is_read_by_its_sections() -> None:
    data = samples.elf({".text": b"c" * 10, ".data": b"d" * 6})
    one = elf.parse(data)
    assert [section.name for section in one.sections] == ["", ".text", ".data", ".shstrtab"]
    assert one.at(64) == "section .text, byte 0 of it"
    assert one.at(75) == "section .data, byte 1 of it"
    assert one.at(3) == "the ELF header"
    assert one.at(len(data) - 1) == "the header of section 3"


@pytest.mark.parametrize("cut", [5, 40, 63, 100, 280])
def test_a_damaged_elf_file_is_refused_and_still_explained(cut: int) -> None:
    data = samples.elf({".text": b"c" * 10})
    with pytest.raises(InputError, match="not a whole ELF file"):
        elf.parse(data[:cut])
    to = told(data, data[:cut])
    assert to.findings
    assert any("not a whole ELF file" in note for note in to.diagnosis().notes)


def test_sections_in_another_order_and_others() -> None:
    sections = {".a": b"1" * 8, ".b": b"2" * 8}
    [one, *_] = found(samples.elf(sections), samples.elf(dict(reversed(sections.items()))))
    assert (one.cause, one.where) == (Cause.ORDER, "the list of sections")
    [one, *_] = found(samples.elf(sections), samples.elf({**sections, ".c": b"3"}))
    assert (one.cause, one.first, one.second) == (Cause.INPUT, "nothing", ".c")


def test_compressed_sections_are_unpacked() -> None:
    def debug(path: bytes) -> bytes:
        content = path + bytes(100)
        packed = struct.pack("<IIQQ", 1, 0, len(content), 1) + zlib.compress(content)
        data = bytearray(samples.elf({".debug_line": packed}))
        at = data.index(struct.pack("<Q", 64), 64)  # the section's place, in its header
        struct.pack_into("<Q", data, at - 16, 0x800)
        return bytes(data)

    [one, *_] = found(debug(b"/home/a/main.go\0"), debug(b"/build/xx/main.go\0"))
    assert (one.cause, one.first) == (Cause.PATH, "/home/a/main.go")


def test_instructions_follow_from_a_path() -> None:
    one = samples.elf({".text": b"c" * 10, ".rodata": b"\0/work/x.go\0"})
    other = samples.elf({".text": b"C" * 10, ".rodata": b"\0/home/x.go\0"})
    causes = {finding.path: (finding.cause, finding.follows) for finding in found(one, other)}
    assert causes["f > section .text"] == (Cause.CODE, True)
    assert causes["f > section .rodata"] == (Cause.PATH, False)


# -- Go --------------------------------------------------------------------------------------------


def test_what_could_be_a_time_follows_from_what_is_surely_otherwise() -> None:
    times = [samples.EPOCH.to_bytes(8, "little"), (samples.EPOCH + 99).to_bytes(8, "little")]
    sections: list[dict[str, bytes]] = [
        {".data": times[0], ".rodata": b"\0/work/x.go\0"},
        {".data": times[1], ".rodata": b"\0/home/x.go\0"},
    ]
    to = told(samples.elf(sections[0]), samples.elf(sections[1]))
    assert {(one.cause.value, one.follows) for one in to.findings} == {
        ("time", True),
        ("path", False),
    }
    # So from other instructions.
    coded = [samples.elf({**one, ".text": one[".rodata"]}) for one in sections]
    to = told(coded[0], coded[1])
    assert [one.cause.value for one in to.findings if not one.follows] == ["path"]
    to = told(
        samples.elf({".data": times[0], ".text": b"c" * 10}),
        samples.elf({".data": times[1], ".text": b"C" * 10}),
    )
    main = to.diagnosis().main
    assert main is not None
    assert (main.cause.value, main.sure.value) == ("code", "likely")
    # Alone it is what is known.
    [one] = found(samples.elf({".data": times[0]}), samples.elf({".data": times[1]}))
    assert (one.cause.value, one.sure.value, one.follows) == ("time", "possible", False)


def test_debug_data_holds_no_time() -> None:
    times = [samples.EPOCH.to_bytes(8, "little"), (samples.EPOCH + 99).to_bytes(8, "little")]
    [one] = found(*(samples.elf({".debug_info": time}) for time in times))
    assert one.cause.value == "unknown"


# -- what is cut short -----------------------------------------------------------------------------


def cut(first: bytes, second: bytes) -> tuple[str, str]:
    main = told(first, second).diagnosis().main
    assert main is not None
    return main.reason, main.where


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)) * 40,
        samples.elf({".text": b"c" * 10, ".data": bytes(300)}),
        samples.zst(samples.cpio(samples.MEMBERS)),
        samples.cpio(samples.MEMBERS),
    ],
    ids=["bytes", "elf", "zstd", "cpio"],
)
def test_a_file_that_is_cut_short_is_said_to_be(data: bytes) -> None:
    half = len(data) // 2
    words = f"is the beginning of the {{}}, cut short after {half} of {len(data)} bytes"
    assert cut(data, data[:half]) == (
        f"the second {words.format('first')}",
        "the end of the second",
    )
    assert cut(data[:half], data)[0] == f"the first {words.format('second')}"
    assert cut(data, b"")[0] == "the second is empty"


def test_of_a_text_that_goes_on_a_telling_line_says_more() -> None:
    to = told(b"cpus: 1", b"cpus: 16")
    assert [one.cause.value for one in to.findings] == ["parallelism"]
    assert cut(b"one\n", b"one\ntwo\n")[0] == (
        "the first is the beginning of the second, cut short after 4 of 8 bytes"
    )
    assert told(b"one\n", b"one\ntwo\n").total == 1


def test_build_information() -> None:
    lines = [f"build\tkey{n}=value" for n in range(40)]
    read = golang.build_information(samples.build_information(lines))
    assert read == ("go1.25.4", [*lines, ""])
    assert golang.build_information(b"\xff Go buildinf:\x08\0" + bytes(40)) is None
    assert golang.build_information(b"") is None
    assert golang.build_information(b"\xff Go buildinf:\x08\x02" + bytes(16) + b"\xff" * 20)


def test_another_version_of_go_is_another_input() -> None:
    sections = [
        {".go.buildinfo": samples.build_information([], version)} for version in ("go1", "go2")
    ]
    [one] = found(samples.elf(sections[0]), samples.elf(sections[1]))
    assert (one.cause, one.where) == (Cause.INPUT, "Go's version")


def test_build_ids() -> None:
    alone = golang.judge_build_id(b"act/con", b"axt/con", alone=True)
    assert (alone.cause, alone.sure) == (Cause.INPUT, "possible")
    assert golang.judge_build_id(b"act/con", b"act/cox", alone=True).cause is Cause.UNKNOWN
    assert golang.judge_build_id(b"\1" * 20, b"\2" * 20, alone=True).cause is Cause.RANDOMNESS
    assert golang.judge_build_id(b"\1" * 20, b"\2" * 20, alone=False).cause is Cause.UNKNOWN


def test_a_go_archive_by_its_lines() -> None:
    one = samples.ar({"__.PKGDEF": samples.go_object(b"same", "a/b")})
    other = samples.ar({"__.PKGDEF": samples.go_object(b"same", "c/b")})
    [finding] = found(one, other)
    assert (finding.path, finding.where) == ("f > __.PKGDEF", "build ID")
    settings = one.replace(b"X:none", b"X:many")
    [finding] = found(one, settings)
    assert (finding.cause, finding.where) == (Cause.INPUT, "header, line 1")


# -- archives --------------------------------------------------------------------------------------


def test_frames_are_those_of_the_library() -> None:
    data = b"abc" * 90_000
    packed = b""
    for level, checksum, size in ((1, True, True), (19, False, True), (3, True, False)):
        packer = zstandard.ZstdCompressor(
            level=level, write_checksum=checksum, write_content_size=size
        )
        packed = packer.compress(data)
        [frame] = compressed.frames(Memory(packed))
        wanted = zstandard.get_frame_parameters(packed)
        assert (frame.size, frame.window, frame.checksum) == (
            len(packed), wanted.window_size, wanted.has_checksum,
        )  # fmt: skip
        assert frame.content == (len(data) if size else None)
    assert [one.size for one in compressed.frames(Memory(packed * 3))] == [len(packed)] * 3
    with pytest.raises(InputError, match="cut short"):
        list(compressed.frames(Memory(packed[:-5])))
    with pytest.raises(InputError, match="no zstd frame"):
        list(compressed.frames(Memory(packed + b"12345")))


@pytest.mark.parametrize("pack", [samples.gz, samples.zst, bz2.compress, lzma.compress])
def test_what_is_compressed_is_looked_into(pack: object) -> None:
    assert callable(pack)
    [one] = found(pack(b"host: alpha\n"), pack(b"host: gamma\n"))
    assert (one.path, one.cause) == ("f > unpacked", Cause.USER)


def test_a_damaged_stream_is_refused_and_still_explained() -> None:
    data = samples.zst(b"abc" * 1000)
    to = told(data, data[:-4])
    assert to.findings
    assert to.diagnosis().notes


def test_what_unpacks_to_too_much_is_said() -> None:
    large = [samples.gz(bytes(9 << 20) + one) for one in (b"a", b"b")]
    to = told(large[0], large[1], Limits(unpacked=1 << 20))
    assert any("unpacks to more than" in note for note in to.diagnosis().notes)
    assert to.findings


def test_a_gzip_header_s_name_and_system() -> None:
    head = b"\x1f\x8b\x08\x08" + bytes(5)
    body = samples.gz(b"x")[10:]
    [one] = found(
        head + b"\x03/tmp/go-build81/a\0" + body, head + b"\x03/tmp/go-build22/a\0" + body
    )[:1]
    assert one.where == "gzip header, file name"
    [one, *_] = found(head + b"\x03x\0" + body, head + b"\x0bx\0" + body)
    assert (one.where, one.cause) == ("gzip header, operating system", Cause.INPUT)


def test_members_of_cpio_by_content_and_what_fills_them_up() -> None:
    one = samples.zst(samples.cpio({**MEMBERS, "four": b"host: alpha\n"}))
    other = samples.zst(samples.cpio({**MEMBERS, "four": b"host: gamma\n"}))
    [finding] = found(one, other)
    assert (finding.path, finding.cause) == ("f > unpacked > four", Cause.USER)
    plain = samples.cpio(MEMBERS)
    [finding] = found(samples.zst(plain), samples.zst(plain + bytes(512)))
    assert finding.where == "bytes between the members"


@pytest.mark.parametrize("data", [b"070701", b"070701" + b"0" * 104 + b"x", b"junk", b"070701zz"])
def test_no_archive_of_cpio(data: bytes) -> None:
    if data.endswith(b"x"):
        assert len(list(cpio.opened_members(io.BytesIO(data[:-1])))) == 1
        data += b"y" * 110
    with pytest.raises(InputError):
        list(cpio.opened_members(io.BytesIO(data)))


def test_zeros_without_end_are_refused() -> None:
    with pytest.raises(InputError, match="zeros"):
        list(cpio.opened_members(io.BytesIO(bytes(2 << 20))))


def test_members_of_zip_tar_and_ar_by_content() -> None:
    changed = {**MEMBERS, "two": b"host: gamma\n"}
    first = {**MEMBERS, "two": b"host: alpha\n"}
    for make in (samples.zipped, samples.tar, samples.ar):
        one = found(make(first), make(changed))[0]
        assert (one.path, one.cause) == ("f > two", Cause.USER)


@pytest.mark.parametrize("make", [samples.zipped, samples.tar])
def test_few_members_of_an_archive_are_looked_into(
    make: Callable[[dict[str, bytes]], bytes],
) -> None:
    names = [f"m{number:02}" for number in range(30)]
    first, second = (make(dict.fromkeys(names, b"1 " + end)) for end in (b"a", b"b"))
    to = told(first, second)
    assert len({one.path for one in to.findings if " > " in one.path}) == members.LOOKED_INTO
    assert "f: 30 members differ; 8 were looked into" in to.diagnosis().notes
    # Those that are the same do not count.
    second = make({name: b"1 " + (b"b" if name == "m29" else b"a") for name in names})
    to = told(first, second)
    assert {one.path for one in to.findings if " > " in one.path} == {"f > m29"}
    assert not to.diagnosis().notes


def test_comments_and_extra_fields_of_a_zip_archive() -> None:
    def made(comment: bytes, extra: bytes) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            info = zipfile.ZipInfo("x")
            info.extra = extra
            archive.writestr(info, b"content")
            archive.comment = comment
        return out.getvalue()

    times = [b"UT\x05\0\1" + struct.pack("<I", moment) for moment in (1, 2)]
    owners = [b"ux\x0b\0\1\4" + struct.pack("<IBI", user, 4, user) for user in (1, 2)]
    for pair, cause in ((times, Cause.TIME), (owners, Cause.USER)):
        [one] = found(made(b"", pair[0]), made(b"", pair[1]))
        assert (one.where, one.cause) == ("zip header of x, extra fields", cause)
    [one] = found(made(b"a", b""), made(b"b", b""))
    assert one.where == "the archive's comment"


def test_archives_of_ar_that_are_none() -> None:
    data = samples.ar(MEMBERS)
    assert [one.name for one in ar.members(Memory(data))] == list(MEMBERS)
    for broken in (data[:-9], data.replace(b"`\n", b"``", 1), data + b"x"):
        with pytest.raises(InputError):
            ar.members(Memory(broken))


def test_a_seed_s_index() -> None:
    one, other = samples.index({b"a": b"x", b"b": b"y"}), samples.index({b"a": b"z", b"c": b"y"})
    wheres = [finding.where for finding in found(one, other)]
    assert [where.partition(" 6100")[0] for where in wheres] == [
        "the output of the go command's action", "an action", "an action",
    ]  # fmt: skip
    [(first, second)] = seed.renamed(one, other)
    assert (first[:4], second[:4]) == ("78/0", "7a/0")


# -- text ------------------------------------------------------------------------------------------


def test_what_is_text() -> None:
    assert text.is_text("größe\n".encode())
    assert text.is_text("größe".encode()[:3])
    assert not text.is_text(b"a\0b")
    assert not text.is_text(b"\xff\xfe1")


def test_lines_that_were_put_in_are_paired() -> None:
    one = b"a\nhost: alpha\nb\nc\n"
    other = b"a\nb\nhost: gamma\nc\n"
    assert "line 2" in [finding.where for finding in found(one, other)]


def test_of_a_long_line_the_part_that_differs_is_shown() -> None:
    [finding] = found(b"x" * 999 + b" red\n", b"x" * 999 + b" green\n")
    assert finding.first.endswith("x red")
    assert finding.second.endswith("x green")
    assert len(finding.first) < 60


def test_strings_that_only_one_side_has_tell_of_what_is_long() -> None:
    one = b"\0\1" + bytes(90) + b"/work/x/main.go\0" + bytes(40)
    other = b"\0\2" + bytes(90) + b"/elsewhere/x/main.go\0" + bytes(40)
    [finding] = found(one, other)
    assert (finding.cause, finding.offset) == (Cause.PATH, 1)
    assert (finding.first, finding.second) == ("/work/x/main.go", "/elsewhere/x/main.go")


def test_of_many_lines_the_first_are_judged_and_the_rest_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged: list[str] = []

    def judge(first: str, *_: object) -> object:
        judged.append(first)
        return UNKNOWN

    monkeypatch.setattr(evidence, "judge", judge)
    count = 2500
    sides = ["".join(f"{side}{n}\n" for n in range(count)).encode() for side in ("a", "b")]
    to = told(sides[0], sides[1])
    assert judged == [f"a{n}" for n in range(2000)]
    assert to.diagnosis().notes == (
        f"f: of {count} lines that differ the first 2000 were looked into",
    )


def test_line_ends() -> None:
    [finding] = found(b"a\nb\n", b"a\r\nb\r\n")
    assert "line ends" in finding.reason


def test_lists_of_json_in_another_order() -> None:
    [finding] = found(b'[{"a": [2, 1]}]', b'[{"a": [1, 2]}]')
    assert finding.cause is Cause.ORDER


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a": 1}', b'{"a":  1}'),
        (b'{"a": 1}', b'{"a": true}'),
        (b'{"a": 1}', b'{"a": 1.0}'),
        (b'{"a": 1, "a": 2}', b'{"a": 3, "a": 2}'),
    ],
)
def test_other_json_is_no_matter_of_order(one: bytes, other: bytes) -> None:
    [finding] = found(one, other)
    assert finding.cause is not Cause.ORDER


def test_keys_of_json_in_another_order() -> None:
    [finding] = found(b'{"a": {"b": 1, "c": [2]}}', b'{"a": {"c": [2], "b": 1}}')
    assert (finding.cause, finding.sure) == (Cause.ORDER, Sureness.CERTAIN)


def test_files_within_files_have_a_depth() -> None:
    one, other = b"host: alpha\n", b"host: gamma\n"
    for _ in range(6):
        one, other = samples.zipped({"x": one}), samples.zipped({"x": other})
    to = told(one, other)
    assert to.findings[0].path.count(" > ") == Limits().depth


def test_a_source_reads_parts() -> None:
    from orchestrator.diagnosis.source import Parts

    under: Source = Memory(b"0123456789")
    parts = Parts(under, [(8, 2), (0, 3)], 4)
    assert parts.read(0, 9) == b"8901"
    assert parts.read(1, 2) == b"90"
    assert parts.read(3, 5) == b"1"
    assert parts.read(4, 5) == b""
