"""Trees go into tar streams and come out the same; what leads outside is refused."""

from __future__ import annotations

import errno
import io
import tarfile
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.docker import archive
from containers.outputs import Allowance, ExceededError
from reproducibility import digest, manifest
from reproducibility.errors import ActionError, InfrastructureError, Stopped
from reproducibility.manifest import Entry, Tree, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1).filter(
    lambda name: not manifest.complaint(name)
)
CLEAN = NAMES.filter(
    lambda name: (
        name not in {".", ".."} and len(name.encode()) < 200 and not manifest.complaint(name)
    )
)
FILES = st.dictionaries(
    st.lists(CLEAN, min_size=1, max_size=3).map("/".join),
    st.tuples(st.binary(max_size=2000), st.booleans()),
    max_size=8,
)


def stored(
    files: dict[str, tuple[bytes, bool]], folder: Path
) -> tuple[Tree, Callable[[Entry], Path]]:
    """A tree of the files that have no other file for a folder, and where its bytes lie."""
    places: dict[str, Path] = {}
    entries = []
    for path, (data, executable) in sorted(files.items()):
        if any(path.startswith(other + "/") for other in files):
            continue
        content = digest.of_bytes(data)
        places[content.hex] = folder / content.hex
        places[content.hex].write_bytes(data)
        entries.append(manifest.file(path, content, len(data), executable=executable))
    return Tree(entries), lambda entry: places[entry.digest]


def allowance(size: int = 1 << 20, files: int = 1000) -> Allowance:
    """What an archive may hold."""
    return Allowance(size, files, threading.Event())


@given(FILES, st.integers(0, 3))
def test_a_tree_comes_out_as_it_went_in(
    files: dict[str, tuple[bytes, bool]], order_seed: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree, path_of = stored(files, folder)
        form = archive.Form(epoch=1000, order_seed=order_seed)
        into = folder / "into"
        into.mkdir()
        allowed = allowance()
        archive.unpack(archive.pack([("top", tree)], form, path_of), into, allowed)
        total = (1 << 20) - allowed.size
        assert total == tree.size
        assert scan(into) == (tree.at("top") if len(tree) else Tree([manifest.directory("top")]))


def test_headers_say_what_the_form_says(tmp_path: Path) -> None:
    tree, path_of = stored({"a/b": (b"x", False), "c": (b"y", True)}, tmp_path)
    form = archive.Form(epoch=86400, user=1, group=2, writable=True)
    found = {
        member.name: (member.mode, member.mtime, member.uid, member.gid)
        for member, _ in archive.members(archive.pack([("", tree)], form, path_of))
    }
    assert found == {
        "a": (0o755, 86400, 1, 2),
        "a/b": (0o644, 86400, 1, 2),
        "c": (0o755, 86400, 1, 2),
    }
    plain = archive.members(archive.pack([("", tree)], archive.Form(0), path_of))
    assert {member.name: member.mode for member, _ in plain} == {
        "a": 0o755,
        "a/b": 0o444,
        "c": 0o555,
    }


def test_the_order_follows_the_seed_and_folders_come_first(tmp_path: Path) -> None:
    files = {f"{folder}/{name}": (b"", False) for folder in "abcd" for name in "efgh"}
    tree, path_of = stored(files, tmp_path)

    def order(seed: int) -> list[str]:
        pieces = archive.pack([("", tree)], archive.Form(0, order_seed=seed), path_of)
        return [member.name for member, _ in archive.members(pieces)]

    assert order(0)[:4] == ["a", "b", "c", "d"]
    assert order(7) == order(7)
    assert order(7) != order(0)
    assert order(7) != order(8)
    assert sorted(order(7)) == sorted(order(0))
    for names in (order(0), order(7)):
        for name in files:
            assert names.index(name.partition("/")[0]) < names.index(name)


def test_a_file_that_changed_its_size_is_noticed(tmp_path: Path) -> None:
    tree, path_of = stored({"a": (b"content", False)}, tmp_path)
    path_of(next(iter(tree))).write_bytes(b"short")
    with pytest.raises(InfrastructureError, match="5 bytes instead of 7"):
        list(archive.pack([("", tree)], archive.Form(0), path_of))


def tar(*members: tuple[str, bytes, str]) -> Iterator[bytes]:
    """A tar stream in small pieces: name, kind, and what it links to or holds."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as made:
        for name, kind, more in members:
            header = tarfile.TarInfo(name)
            header.type = kind
            if kind == tarfile.REGTYPE:
                header.size = len(more)
                made.addfile(header, io.BytesIO(more.encode()))
            else:
                header.linkname = more
                made.addfile(header)
    data = sink.getvalue()
    return (data[place : place + 100] for place in range(0, len(data), 100))


@pytest.mark.parametrize(
    "members",
    [
        [("../evil", tarfile.REGTYPE, "x")],
        [("/evil", tarfile.REGTYPE, "x")],
        [("a", tarfile.DIRTYPE, ""), ("a/../../evil", tarfile.REGTYPE, "x")],
        [("link", tarfile.SYMTYPE, "/tmp"), ("link/evil", tarfile.REGTYPE, "x")],  # noqa: S108
        [("absent/evil", tarfile.REGTYPE, "x")],
    ],
)
def test_names_that_lead_outside_are_refused(
    tmp_path: Path, members: list[tuple[str, bytes, str]]
) -> None:
    with pytest.raises(InfrastructureError, match="outside of its place"):
        archive.unpack(tar(*members), tmp_path, allowance())
    assert not list(tmp_path.parent.glob("evil"))


@pytest.mark.parametrize(
    "members",
    [
        [("a", tarfile.REGTYPE, ""), ("a", tarfile.REGTYPE, "")],
        [("a", tarfile.REGTYPE, ""), ("a", tarfile.DIRTYPE, "")],
        [("a", tarfile.DIRTYPE, ""), ("a", tarfile.SYMTYPE, "b")],
        [("a", tarfile.SYMTYPE, "b"), ("a", tarfile.FIFOTYPE, "")],
        [(".", tarfile.REGTYPE, "")],
    ],
)
def test_names_that_come_twice_are_refused(
    tmp_path: Path, members: list[tuple[str, bytes, str]]
) -> None:
    with pytest.raises(InfrastructureError, match="a path twice"):
        archive.unpack(tar(*members), tmp_path, allowance())


def test_links_and_special_files_are_kept_as_such(tmp_path: Path) -> None:
    archive.unpack(
        tar(
            ("out", tarfile.DIRTYPE, ""),
            ("out/file", tarfile.REGTYPE, "content"),
            ("out/again", tarfile.LNKTYPE, "out/file"),
            ("out/link", tarfile.SYMTYPE, "/etc/passwd"),
            ("out/hard", tarfile.LNKTYPE, "/etc/passwd"),
            ("out/device", tarfile.CHRTYPE, ""),
        ),
        tmp_path,
        allowance(),
    )
    assert (tmp_path / "out" / "again").read_text() == "content"
    assert (tmp_path / "out" / "link").is_symlink()
    assert (tmp_path / "out" / "hard").is_fifo()
    assert (tmp_path / "out" / "device").is_fifo()


def test_too_much_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(ExceededError) as exceeded:
        archive.unpack(tar(("a", tarfile.REGTYPE, "x" * 600)), tmp_path, allowance(599))
    assert exceeded.value.limit == "work"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.REGTYPE])
def test_too_many_members_are_refused(tmp_path: Path, kind: bytes) -> None:
    text = "x" if kind == tarfile.SYMTYPE else ""
    members = [(str(number), kind, text) for number in range(11)]
    with pytest.raises(ExceededError) as exceeded:
        archive.unpack(tar(*members), tmp_path, allowance(files=10))
    assert exceeded.value.limit == "files"
    assert len(list(tmp_path.iterdir())) == 10


def test_each_name_of_a_file_counts_with_its_size(tmp_path: Path) -> None:
    members = [("a", tarfile.REGTYPE, "x" * 600), *((n, tarfile.LNKTYPE, "a") for n in "bcd")]
    with pytest.raises(ExceededError):
        archive.unpack(tar(*members), tmp_path, allowance(2399))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("folders", "words"), [(["d"] * 202, "nested more than 200"), (["d" * 250] * 9, "2048 bytes")]
)
def test_a_path_that_is_too_deep_or_too_long_is_the_actions_fault(
    tmp_path: Path, folders: list[str], words: str
) -> None:
    members = [
        ("/".join(folders[:depth]), tarfile.DIRTYPE, "") for depth in range(1, len(folders) + 1)
    ]
    with pytest.raises(ActionError, match=words):
        archive.unpack(tar(*members), tmp_path, allowance())


def test_a_wish_to_stop_is_heeded_within_a_file(tmp_path: Path) -> None:
    stop = threading.Event()

    def pieces() -> Iterator[bytes]:
        for number, piece in enumerate(tar(("a", tarfile.REGTYPE, "x" * (8 << 20)))):
            if number == 1000:
                stop.set()
            yield piece

    with pytest.raises(Stopped):
        archive.unpack(pieces(), tmp_path, Allowance(1 << 30, 10, stop))
    assert (tmp_path / "a").stat().st_size < 4 << 20


@pytest.mark.parametrize("data", [b"no archive" * 100, b"\0" * 10])
def test_what_is_no_archive_is_said(data: bytes) -> None:
    with pytest.raises(InfrastructureError, match="bad archive"):
        list(archive.members([data]))


def test_an_archive_that_ends_too_early_is_said(tmp_path: Path) -> None:
    data = b"".join(tar(("a", tarfile.REGTYPE, "x" * 2000)))
    with pytest.raises(InfrastructureError, match="unexpected end of data"):
        archive.unpack([data[:1024]], tmp_path, allowance())


@pytest.mark.parametrize("cut", [512, 1024, 2048, 2148, 2560, 3584, 4096])
def test_an_archive_without_its_end_is_not_taken_as_whole(tmp_path: Path, cut: int) -> None:
    members = [(name, tarfile.REGTYPE, "x" * 700) for name in ("out/a", "out/b")]
    data = b"".join(tar(("out", tarfile.DIRTYPE, ""), *members))
    # Between members, in a header, in content, and behind the first of the two blocks of the end.
    with pytest.raises(InfrastructureError, match="bad archive") as told:
        archive.unpack([data[:cut]], tmp_path, allowance())
    assert told.value.remedy


def test_a_header_that_is_none_is_not_the_end(tmp_path: Path) -> None:
    data = b"".join(tar(*((name, tarfile.REGTYPE, "x" * 512) for name in "ab")))
    with pytest.raises(InfrastructureError, match="bad archive: it does not come to its end"):
        archive.unpack([data[:1024], b"?" * 512, data[1536:]], tmp_path, allowance())


@pytest.mark.parametrize("size", [1, 512, 1024, 1 << 16])
def test_the_end_is_seen_in_whatever_pieces_it_comes(size: int) -> None:
    data = b"".join(tar(("a", tarfile.REGTYPE, "\0" * 5000))) + bytes(9000)
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    assert [member.name for member, _ in archive.members(pieces)] == ["a"]


def test_one_file_goes_in_front(tmp_path: Path) -> None:
    tree, path_of = stored({"a": (b"x", False)}, tmp_path)
    stream = archive.joined(
        archive.file_entry("first", b"data", 5),
        archive.pack([("", tree)], archive.Form(5), path_of),
    )
    found = [
        (member.name, content and content.read()) for member, content in archive.members(stream)
    ]
    assert found == [("first", b"data"), ("a", b"x")]


def test_a_disk_that_is_full_is_told_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Iterator[bytes]:
        raise OSError(errno.ENOSPC, "No space left on device")

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as sink:
        sink.addfile(tarfile.TarInfo("out"))
    monkeypatch.setattr(archive, "chunks", full)
    with pytest.raises(OSError, match="No space left") as told:
        archive.unpack([stream.getvalue()], tmp_path, Allowance(1, 1, threading.Event()))
    assert told.value.filename == str(tmp_path / "out")
