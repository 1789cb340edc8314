"""The known-bad set, bytes: a cause is planted, found, located, and its class told right."""

from __future__ import annotations

import random
import shutil
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.diagnosis.model import Cause
from orchestrator.diagnosis.trees import explain, explain_files
from orchestrator.image.fat import records, regions, writer
from reproducibility import manifest
from tests.unit.orchestrator.diagnosis import samples
from tests.unit.orchestrator.diagnosis.samples import EPOCH, MEMBERS, TURNED
from tests.unit.orchestrator.diagnosis.test_image import FIRST, Planted, item, map_of
from tests.unit.orchestrator.image.fat.test_witness import Written
from tests.unit.orchestrator.image.samples import VOLUME, Blobs, disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.diagnosis.model import Diagnosis
    from orchestrator.image.fat.regions import Item, Map


@dataclass(frozen=True)
class Case:
    """Two files. `where`: words of the main finding's place; `path`: the end of its path."""

    first: bytes
    second: bytes
    cause: Cause
    where: str
    path: str = "file"
    offset: int | None = None
    known: tuple[tuple[str, str, str], ...] = ()


TEXT = b"// generated\nversion 1\n"
LONG = random.Random(3).randbytes(300_000)  # noqa: S311 - any bytes do
GO = samples.GO_LINES

CASES = {
    "archive inode numbers": Case(
        samples.cpio(MEMBERS, inode=1), samples.cpio(MEMBERS, inode=3001),
        Cause.ALLOCATION, "cpio header of one, inode", offset=6,
    ),
    "archive mtime": Case(
        samples.cpio(MEMBERS, epoch=EPOCH), samples.cpio(MEMBERS, epoch=EPOCH + 77),
        Cause.TIME, "cpio header of one, modification time", offset=6 + 40,
    ),
    "archive order": Case(
        samples.cpio(MEMBERS), samples.cpio(TURNED), Cause.ORDER, "cpio member 1", offset=0,
    ),
    "archive mtime, compressed": Case(
        samples.zst(samples.cpio(MEMBERS, epoch=EPOCH)),
        samples.zst(samples.cpio(MEMBERS, epoch=EPOCH + 77)),
        Cause.TIME, "cpio header of one, modification time", "file > unpacked", offset=6 + 40,
    ),
    "compression threads": Case(
        samples.zst(LONG), samples.zst(LONG, frames=4), Cause.PARALLELISM, "frame 1 of 1",
    ),
    "compression level": Case(
        samples.zst(LONG * 3, 1), samples.zst(LONG * 3, 19), Cause.INPUT, "frame 1 of 1",
    ),
    "gzip header time": Case(
        samples.gz(TEXT, EPOCH), samples.gz(TEXT, EPOCH + 3), Cause.TIME,
        "gzip header, modification time", offset=4,
    ),
    "zip order": Case(
        samples.zipped(MEMBERS), samples.zipped(TURNED), Cause.ORDER, "zip member 1", offset=0,
    ),
    "zip times": Case(
        samples.zipped(MEMBERS, (2026, 11, 28, 12, 0, 2)),
        samples.zipped(MEMBERS, (2026, 11, 28, 12, 7, 44)),
        Cause.TIME, "zip header of one, modification time", offset=10,
    ),
    "zip permissions": Case(
        samples.zipped(MEMBERS, mode=0o644), samples.zipped(MEMBERS, mode=0o664),
        Cause.USER, "zip header of one, permissions",
    ),
    "tar owner names": Case(
        samples.tar(MEMBERS, owner="alice"), samples.tar(MEMBERS, owner="bob"),
        Cause.USER, "tar header of one, owner's name", offset=265,
    ),
    "tar order": Case(samples.tar(MEMBERS), samples.tar(TURNED), Cause.ORDER, "tar member 1"),
    "tar times": Case(
        samples.tar(MEMBERS, time=EPOCH), samples.tar(MEMBERS, time=EPOCH + 100),
        Cause.TIME, "tar header of one, modification time", offset=136,
    ),
    "ar time": Case(
        samples.ar(MEMBERS, EPOCH), samples.ar(MEMBERS, EPOCH + 5), Cause.TIME,
        "header of one, time", offset=8 + 16,
    ),
    "ar owner": Case(
        samples.ar(MEMBERS, owner=0), samples.ar(MEMBERS, owner=1000), Cause.USER,
        "header of one, user ID",
    ),
    "unsorted readdir": Case(
        b"list:\nc.go\na.go\nd.go\nb.go\n", b"list:\na.go\nd.go\nb.go\nc.go\n", Cause.ORDER,
        "line 2", offset=6,
    ),
    "locale sort": Case(
        b"Makefile\nREADME\nalpha\nbeta\n", b"alpha\nbeta\nMakefile\nREADME\n", Cause.LOCALE,
        "line 1",
    ),
    "map order": Case(
        b'{"a": 1, "b": 2, "c": [1, 2]}', b'{"c": [1, 2], "a": 1, "b": 2}', Cause.ORDER, "line 1",
    ),
    "map order, printed": Case(
        b"map[a:1 b:2 c:3]\n", b"map[c:3 a:1 b:2]\n", Cause.ORDER, "line 1",
    ),
    "zone in a text": Case(
        TEXT + b"at 2026-11-28 12:00:00 +0000\n", TEXT + b"at 2026-11-28 13:00:00 +0100\n",
        Cause.LOCALE, "line 3",
    ),
    "name of the zone": Case(
        TEXT + b"zone: UTC\n", TEXT + b"zone: Asia/Kolkata\n", Cause.LOCALE, "line 3",
    ),
    "name of the locale": Case(
        TEXT + b"lang=C.UTF-8\n", TEXT + b"lang=de_DE.UTF-8\n", Cause.LOCALE, "line 3",
    ),
    "time stamp in a generated text": Case(
        b"// generated Sat Nov 28 12:00:00 2026\n" + TEXT,
        b"// generated Sat Nov 28 12:03:10 2026\n" + TEXT, Cause.TIME, "line 1",
    ),
    "unix time in a text": Case(
        TEXT + b"build=1790000000\n", TEXT + b"build=1790000391\n", Cause.TIME, "line 3",
    ),
    "time in a binary": Case(
        b"\0" * 512 + struct.pack("<Q", EPOCH) + b"\0" * 100,
        b"\0" * 512 + struct.pack("<Q", EPOCH + 4711) + b"\0" * 100, Cause.TIME, "bytes",
        offset=512,
    ),
    "random build ID": Case(
        samples.elf({".text": b"x" * 90, ".note.gnu.build-id": samples.note(b"\x81" * 20)}),
        samples.elf({".text": b"x" * 90, ".note.gnu.build-id": samples.note(b"\x37" * 20)}),
        Cause.RANDOMNESS, "build ID", "section .note.gnu.build-id", 16,
    ),
    "path in a Go program": Case(
        samples.go_program(files=b"/work/tool/main.go\0runtime/proc.go\0", identifier=b"a/b/c/d"),
        samples.go_program(files=b"/tmp/x/tool/main.go\0runtime/proc.go\0", identifier=b"a/b/c/e",
                           code=b"\x90" * 63 + b"\xcc"),
        Cause.PATH, "byte", "section .gopclntab", 7,
    ),
    "time linked into a Go program": Case(
        samples.go_program(files=b"\0" + b"2026-11-28T12:00:00Z\0"),
        samples.go_program(files=b"\0" + b"2026-11-28T12:09:03Z\0"),
        Cause.TIME, "byte", "section .gopclntab",
    ),
    "flags in a Go program": Case(
        samples.go_program([*GO, "build\t-tags=one"]),
        samples.go_program([*GO, "build\t-tags=two"]),
        Cause.INPUT, "build information, build -tags", "section .go.buildinfo",
    ),
    "another commit": Case(
        samples.go_program([*GO, "build\tvcs.revision=" + "a" * 40]),
        samples.go_program([*GO, "build\tvcs.revision=" + "b" * 40]),
        Cause.INPUT, "vcs.revision", "section .go.buildinfo",
    ),
    "instructions": Case(
        samples.go_program(code=b"\x90" * 64), samples.go_program(code=b"\x90" * 40 + b"\xcc" * 24),
        Cause.CODE, "byte", "section .text", 40,
    ),
    "symbols in another order": Case(
        samples.elf({".symtab": b"".join(bytes([n]) * 24 for n in range(9))}, size=24),
        samples.elf({".symtab": b"".join(bytes([n]) * 24 for n in range(8, -1, -1))}, size=24),
        Cause.ORDER, "record 0", "section .symtab",
    ),
    "host name in a Go archive": Case(
        samples.ar({"_go_.o": samples.go_object(b"\0\1built on alpha7\0")}),
        samples.ar({"_go_.o": samples.go_object(b"\0\1built on gamma\0\0", "act/cona")}),
        Cause.USER, "byte", "compiled code and types",
    ),
    "ASLR pointer printed": Case(
        TEXT + b"object at 0x7ffd3a5c2e10\n", TEXT + b"object at 0x7ffe91b0ce10\n",
        Cause.RANDOMNESS, "line 3",
    ),
    "random identifier": Case(
        TEXT + b"id 0b6f2c0e-5a11-4c3e-9d0c-4f2f5a6c7d81\n",
        TEXT + b"id d1b7a9f4-90ce-4e0b-8a57-0c6b1e2f3a95\n", Cause.RANDOMNESS, "line 3",
    ),
    "temporary folder": Case(
        TEXT + b"in /tmp/go-build3817263545/b001\n", TEXT + b"in /tmp/go-build901827366/b001\n",
        Cause.RANDOMNESS, "line 3",
    ),
    "host name in a text": Case(
        TEXT + b"host: alpha\n", TEXT + b"host: gamma\n", Cause.USER, "line 3",
    ),
    "user name in a text": Case(
        TEXT + b"built by alice@alpha\n", TEXT + b"built by bob@gamma\n", Cause.USER, "line 3",
    ),
    "host name, known": Case(
        TEXT + b"on kestrel we stand\n", TEXT + b"on buzzard we stand\n", Cause.USER, "line 3",
        known=(("host name", "kestrel", "buzzard"),),
    ),
    "work directory, known": Case(
        b"\0\1\2\3/work\0" + b"z" * 50, b"\0\1\2\3/elsewhere\0" + b"z" * 50, Cause.PATH, "bytes",
        known=(("work directory", "/work", "/elsewhere"),),
    ),
    "kernel release, known": Case(
        TEXT + b"v 6.18.44-x\n", TEXT + b"v 2.6.78\n", Cause.USER, "line 3",
        known=(("kernel release", "6.18.44-x", "2.6.78"),),
    ),
    "CPU count in a file": Case(
        TEXT + b"cpus: 2\n", TEXT + b"cpus: 4\n", Cause.PARALLELISM, "line 3",
    ),
    "CPU count, known": Case(
        TEXT + b"n 2\n", TEXT + b"n 4\n", Cause.PARALLELISM, "line 3",
        known=(("CPU count", "2", "4"),),
    ),
    "memory, known": Case(
        TEXT + b"chunk 8388608\n", TEXT + b"chunk 4194304\n", Cause.PARALLELISM, "line 3",
        known=(("memory", "8388608", "4194304"),),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_planted_cause(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    places = tmp_path / "first", tmp_path / "second"
    for place, data in zip(places, (case.first, case.second), strict=True):
        place.write_bytes(data)
    known = {name: (one, other) for name, one, other in case.known}
    told = explain_files("file", *places, known=known)
    located(told, case.cause, case.where, case.path, case.offset)


def located(
    told: Diagnosis, cause: Cause, where: str, path: str = "file", offset: int | None = None
) -> None:
    main = told.main
    assert main is not None, told.lines()
    assert main.cause is cause, told.lines()
    assert where in main.where, told.lines()
    assert main.path.endswith(path), told.lines()
    if offset is not None:
        assert main.offset == offset, told.lines()
    assert told.notes == ()


# -- images by the real writer ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written.make(tmp_path_factory.mktemp("known-bad"))


SECOND = "a folder with a long name/second.txt"


def alias_order(planted: Planted, found: Map) -> None:
    """Two names of a folder get each other's alias."""
    one, other = (item(found, f"src/many/a file with the number {n}.go") for n in (3, 4))
    for mine, theirs in ((one, other), (other, one)):
        name = mine.path.rpartition("/")[2]
        again = records.long(name, theirs.raw[:11]) + theirs.raw[:11]
        planted.put(mine.record - len(mine.long), again)


def access_date(planted: Planted, found: Map) -> None:
    for one in found.items[1:]:
        [date] = struct.unpack_from("<H", one.raw, 18)
        planted.put(one.record + 18, struct.pack("<H", date ^ 3))


def slack(planted: Planted, found: Map) -> None:
    one = item(found, FIRST)
    planted.put(one.runs[0][0] + one.size, b"left over from before")


def cluster_order(planted: Planted, found: Map) -> None:
    """Two files of as many clusters lie in each other's place."""
    one = item(found, "src/many/a file with the number 5.go")
    other = item(found, "src/many/a file with the number 6.go")
    contents: dict[Item, bytes] = {}
    with planted.first.open("rb") as stream:
        for mine in (one, other):
            stream.seek(mine.runs[0][0])
            contents[mine] = stream.read(found.cluster)
    for mine, theirs in ((one, other), (other, one)):
        planted.put(mine.record + 20, theirs.raw[20:22])
        planted.put(mine.record + 26, theirs.raw[26:28])
        planted.put(theirs.runs[0][0], contents[mine])


def hint(planted: Planted, found: Map) -> None:
    planted.put(found.start + 512 + 492, b"\xff\xff\xff\xff")


def entry_order(planted: Planted, found: Map) -> None:
    """Two entries of a folder, long names and all, change places."""
    one, other = (item(found, f"src/many/a file with the number {n}.go") for n in (7, 8))
    assert len(one.long) == len(other.long)
    for mine, theirs in ((one, other), (other, one)):
        planted.put(mine.record - len(mine.long), theirs.long + theirs.raw)


IMAGES: dict[str, tuple[Callable[[Planted, Map], None], Cause, str]] = {
    "alias order": (alias_order, Cause.ORDER, "alias"),
    "access date": (access_date, Cause.TIME, "date accessed"),
    "uninitialised slack": (slack, Cause.ALLOCATION, f"slack of /{FIRST}"),
    "cluster order": (cluster_order, Cause.ALLOCATION, "first cluster"),
    "FSInfo hint": (hint, Cause.ALLOCATION, "FSInfo, hint of the next free cluster"),
    "order of entries": (entry_order, Cause.ORDER, "the order of the folder /src/many"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_a_planted_cause_in_an_image(name: str, written: Written) -> None:
    plant, cause, where = IMAGES[name]
    copy = written.path.with_name("other")
    shutil.copy(written.path, copy)
    planted = Planted(written.path, copy)
    plant(planted, map_of(written.path))
    located(planted.diagnosis(), cause, where, "image")
    planted.undo()


def image(folder: Path, content: dict[str, bytes], volume_id: int = 1, epoch: int = EPOCH) -> Path:
    blobs = Blobs(folder / "blobs")
    tree = blobs.tree(content)
    path = folder / "image"
    volume = replace(VOLUME, volume_id=volume_id, epoch=epoch)
    writer.write(disk(tree, volume), blobs.path, path)
    return path


CONTENT = {"go/a file.txt": TEXT, "go/other": b"x" * 3000, "z/last": b"y" * 700}


def test_volume_serial_from_the_clock(tmp_path: Path) -> None:
    first = image(tmp_path / "1", CONTENT, EPOCH)
    second = image(tmp_path / "2", CONTENT, EPOCH + 95)
    located(explain_files("file", first, second), Cause.TIME, "boot sector, volume ID")


def test_the_clock_in_every_entry(tmp_path: Path) -> None:
    first = image(tmp_path / "1", CONTENT)
    second = image(tmp_path / "2", CONTENT, epoch=EPOCH + 96)
    located(explain_files("file", first, second), Cause.TIME, "directory entry of")


def test_a_longer_file_is_named_and_what_moves_follows(tmp_path: Path) -> None:
    first = image(tmp_path / "1", CONTENT)
    second = image(tmp_path / "2", {**CONTENT, "go/a file.txt": TEXT + b"# host: alpha\n" * 90})
    told = explain_files("file", first, second)
    assert told.main is not None
    assert told.main.path == "file > go/a file.txt"
    moved = [one for one in told.findings if "first cluster" in one.where]
    assert moved
    assert all(one.follows for one in moved)


def test_a_file_in_an_image_by_its_own_format(tmp_path: Path) -> None:
    first = image(tmp_path / "1", {**CONTENT, "x.zip": samples.zipped(MEMBERS)})
    second = image(tmp_path / "2", {**CONTENT, "x.zip": samples.zipped(TURNED)})
    located(explain_files("file", first, second), Cause.ORDER, "zip member 1", "file > x.zip")


# -- trees -----------------------------------------------------------------------------------------


def test_umask_bits(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    first, second = (blobs.tree({"run": TEXT}, executable=one) for one in (True, False))
    told = explain(first, second, blobs.path, blobs.path, known={"umask": ("022", "077")})
    located(told, Cause.USER, "the executable bit", "run")


def test_a_time_in_a_name(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    first, second = (blobs.tree({f"log-{day}.txt": TEXT}) for day in ("20261127", "20261128"))
    told = explain(first, second, blobs.path, blobs.path)
    located(told, Cause.TIME, "its name", "log-20261127.txt")


def test_an_output_in_a_package_cache(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    texts = b"built on alpha\n", b"built on gamma\n"
    trees = []
    for text in texts:
        output = bytes.fromhex(blobs.put(text).hex)
        name = output.hex()
        trees.append(
            blobs.tree({"index": samples.index({b"act": output}), f"{name[:2]}/{name[2:]}": text})
        )
    told = explain(trees[0], trees[1], blobs.path, blobs.path)
    assert told.main is not None
    assert told.main.cause is Cause.USER, told.lines()
    assert any("the go command's action 616374" in one.where for one in told.findings)


# -- clean pairs -----------------------------------------------------------------------------------

CLEAN = {
    "text": TEXT, "cpio": samples.cpio(MEMBERS), "zstd": samples.zst(LONG),
    "gzip": samples.gz(TEXT, EPOCH), "zip": samples.zipped(MEMBERS), "tar": samples.tar(MEMBERS),
    "ar": samples.ar(MEMBERS), "ELF": samples.go_program(), "random": LONG, "empty": b"",
    "seed": samples.index({b"a": b"b"}), "time": b"2026-11-28 12:00:00 on alpha\n",
}  # fmt: skip


@pytest.mark.parametrize("name", CLEAN)
def test_equal_files_have_no_findings(name: str, tmp_path: Path) -> None:
    for side in ("first", "second"):
        (tmp_path / side).write_bytes(CLEAN[name])
    told = explain_files("file", tmp_path / "first", tmp_path / "second")
    assert (told.findings, told.total, told.notes) == ((), 0, ())


def test_equal_images_made_twice_have_no_findings(tmp_path: Path) -> None:
    told = explain_files("file", image(tmp_path / "1", CONTENT), image(tmp_path / "2", CONTENT))
    assert (told.findings, told.notes) == ((), ())


def test_equal_trees_have_no_findings(tmp_path: Path) -> None:
    tree = Blobs(tmp_path).tree(CLEAN)
    told = explain(tree, manifest.Tree(tree), lambda _: tmp_path, lambda _: tmp_path)
    assert (told.findings, told.notes) == ((), ())


UNCLEAR = {
    "a counter": (b"n 17\n", b"n 18\n"), "a word": (b"red\n", b"green\n"),
    "a digest": (b"a" * 64 + b"\n", b"b" * 64 + b"\n"), "bytes": (b"\0\1\2", b"\0\1\7"),
    "a version": (b"go1.25.4\n", b"go1.25.5\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_nothing_tells_is_unknown(name: str, tmp_path: Path) -> None:
    for side, data in zip(("first", "second"), UNCLEAR[name], strict=True):
        (tmp_path / side).write_bytes(data)
    main = explain_files("file", tmp_path / "first", tmp_path / "second").main
    assert main is not None
    assert main.cause is Cause.UNKNOWN


def test_a_map_of_regions_is_made_of_what_the_writer_wrote(tmp_path: Path) -> None:
    found = map_of(image(tmp_path, CONTENT))
    assert [one.path for one in found.items] == [
        "", "go", "z", "go/a file.txt", "go/other", "z/last",
    ]  # fmt: skip
    assert item(found, "go/a file.txt").alias == "AFILE~1.TXT"
    assert isinstance(found, regions.Map)
