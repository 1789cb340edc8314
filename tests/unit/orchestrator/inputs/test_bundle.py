"""A bundle carries the inputs, the same bytes each time, and nothing else gets in by it."""

from __future__ import annotations

import errno
import io
import os
import re
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.inputs import bundle, bundle_header, ensure, resolve
from orchestrator.store import Store
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.errors import InfrastructureError, InputError
from tests.conftest import examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.lock.file import Lock
    from orchestrator.spec.model import Spec
    from tests.unit.orchestrator.inputs.world import World

Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture(name="lock")
def _lock(world: World, spec: Spec, store: Store) -> Lock:
    lock = resolve.lock(spec, None, store, clients=world.clients())
    ensure(lock, store, folder=spec.folder, artifacts=True, clients=world.clients())
    return lock


@pytest.fixture(name="path")
def _path(lock: Lock, store: Store, tmp_path: Path) -> Path:
    path = tmp_path / "inputs.tar.zst"
    assert bundle.write(lock, store, path, "amd64") == path.stat().st_size
    return path


@pytest.fixture(name="empty")
def _empty(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "empty")
    yield store
    store.close()


def opened(path: Path) -> Members:
    data = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(m, stream.read() if (stream := tar.extractfile(m)) else b"") for m in tar]


def closed(path: Path, members: Members) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    path.write_bytes(zstandard.ZstdCompressor().compress(out.getvalue()))


def test_a_bundle_stands_for_the_network(  # noqa: PLR0913 - fixtures
    world: World, spec: Spec, store: Store, lock: Lock, path: Path, empty: Store
) -> None:
    world.asked.clear()
    bundle.read(path, lock, empty, "amd64")
    offline = world.clients(offline=True)
    assert ensure(lock, empty, folder=spec.folder, clients=offline) == ensure(
        lock, store, folder=spec.folder, clients=offline
    )
    assert world.asked == []


def test_a_bundle_is_the_same_bytes_from_every_store(  # noqa: PLR0913 - fixtures
    world: World, spec: Spec, lock: Lock, path: Path, empty: Store, tmp_path: Path
) -> None:
    ensure(lock, empty, folder=spec.folder, artifacts=True, clients=world.clients())
    again = tmp_path / "again"
    bundle.write(lock, empty, again, "amd64")
    assert again.read_bytes() == path.read_bytes()
    members = opened(path)
    assert members[0][0].name == "bundle.json"
    assert {(m.mtime, m.uid, m.gid, m.mode, m.uname) for m, _ in members} == {(0, 0, 0, 0o644, "")}


def test_a_store_without_the_inputs_makes_no_bundle(
    lock: Lock, empty: Store, tmp_path: Path
) -> None:
    with pytest.raises(InfrastructureError, match="is not in the store"):
        bundle.write(lock, empty, tmp_path / "none", "amd64")
    with pytest.raises(InfrastructureError, match="cannot write the bundle") as refused:
        bundle.write(lock, empty, tmp_path / "no" / "folder", "amd64")
    assert "a folder that is there" in refused.value.remedy
    assert not list(tmp_path.glob("*none*"))


def test_a_bundle_is_on_the_medium_before_it_is_reported(
    lock: Lock, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file whole before it has its name, then the name."""
    path = tmp_path / "out" / "inputs.tar.zst"
    path.parent.mkdir()
    synced: list[tuple[str, int, bool]] = []

    def noted(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        synced.append((name, os.fstat(descriptor).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", noted)
    size = bundle.write(lock, store, path, "amd64")
    (first, written, was_there), (second, _, is_there) = synced
    assert first.startswith(".inputs.tar.zst.")
    assert (written, was_there) == (size, False)
    assert (second, is_there) == ("out", True)


def test_a_disk_that_cannot_keep_a_bundle_leaves_none(
    lock: Lock, store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InfrastructureError, match="cannot write the bundle: No space"):
        bundle.write(lock, store, path, "amd64")
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.glob("*inputs*")] == [path.name]


def other_lock(members: Members) -> Members:
    return header(members, lock="blake3:" + "0" * 64)


def other_host(members: Members) -> Members:
    return header(members, host="arm64")


def other_schema(members: Members) -> Members:
    return header(members, schema=2)


def header(members: Members, **changes: object) -> Members:
    content = canonical.pretty({**canonical.loads(members[0][1]), **changes})
    members[0][0].size = len(content)
    return [(members[0][0], content), *members[1:]]


def header_last(members: Members) -> Members:
    return [*members[1:], members[0]]


def header_is_no_json(members: Members) -> Members:
    members[0][0].size = 3
    return [(members[0][0], b"{,}"), *members[1:]]


def nothing_in_it(_: Members) -> Members:
    return []


def one_less(members: Members) -> Members:
    return members[:-1]


def no_artifact(members: Members) -> Members:
    return [members[0], *members[2:]]


def no_manifest(members: Members) -> Members:
    return [one for one in members if not one[1].startswith(b"sourcery-tree")]


def one_bit(members: Members) -> Members:
    member, content = members[1]
    return [members[0], (member, bytes([content[0] ^ 1]) + content[1:]), *members[2:]]


def swapped(members: Members) -> Members:
    members[1][0].name, members[2][0].name = members[2][0].name, members[1][0].name
    return members


def one_more(members: Members) -> Members:
    member = tarfile.TarInfo(f"blobs/{digests.of_bytes(b'x').hex}")
    member.size = 1
    return [*members, (member, b"x")]


def too_long(members: Members) -> Members:
    members[1][0].size += 1
    return [members[0], (members[1][0], members[1][1] + b"x"), *members[2:]]


def named(name: str) -> Callable[[Members], Members]:
    def change(members: Members) -> Members:
        members[1][0].name = name
        return members

    change.__name__ = f"named {name}"
    return change


def link(members: Members) -> Members:
    member = tarfile.TarInfo(members[1][0].name)
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return [members[0], (member, b""), *members[2:]]


BAD = [
    (other_lock, "made for another lock: expected blake3:[0-9a-f]{64}, found blake3:0{64}"),
    (other_host, "made for another host: expected amd64, found arm64"),
    (other_schema, "another version"),
    (header_last, "does not start with bundle.json"),
    (header_is_no_json, "not valid JSON"),
    (nothing_in_it, "does not start with bundle.json"),
    (one_less, "incomplete: it lacks 1 files of the sources"),
    (no_artifact, "incomplete: it lacks (bootstrap|go|tools|uname)"),
    (no_manifest, "something that the lock does not pin"),
    (one_bit, "damaged: expected blake3:[0-9a-f]{64}, found blake3:[0-9a-f]{64}"),
    (swapped, "damaged: expected blake3|bytes, expected"),
    (one_more, "something that the lock does not pin"),
    (too_long, r"has \d+ bytes, expected \d+"),
    (named("../../etc/passwd"), "not that of a blob"),
    (named("/etc/passwd"), "not that of a blob"),
    (named("blobs/../x"), "not that of a blob"),
    (named("blobs/" + "A" * 64), "not that of a blob"),
    (named("blobs/" + "0" * 64), "something that the lock does not pin"),
    (link, "not that of a blob"),
]


@pytest.mark.once
@pytest.mark.parametrize(
    ("change", "words"), [pytest.param(*case, id=case[0].__name__) for case in BAD]
)
def test_a_bad_bundle_is_refused(
    change: Callable[[Members], Members], words: str, lock: Lock, path: Path, empty: Store
) -> None:
    closed(path, change(opened(path)))
    with pytest.raises(InputError) as refused:
        bundle.read(path, lock, empty, "amd64")
    assert refused.value.status == 2
    assert str(path) in refused.value.subject
    assert re.search(words, refused.value.summary), refused.value


@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.9, 0.999])
def test_a_bundle_that_is_cut_short_is_refused(
    part: float, lock: Lock, path: Path, empty: Store
) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(InputError, match=r"cut short|not a bundle"):
        bundle.read(path, lock, empty, "amd64")


def test_a_file_that_is_no_bundle_or_not_there_is_refused(
    lock: Lock, empty: Store, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("hello " * 1000)
    with pytest.raises(InputError, match="damaged or cut short"):
        bundle.read(tmp_path / "text", lock, empty, "amd64")
    with pytest.raises(InputError, match=r"cannot read the bundle: No such file") as refused:
        bundle.read(tmp_path / "none", lock, empty, "amd64")
    assert "`orchestrate fetch --bundle`" in refused.value.remedy


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(40))
@given(st.data())
def test_any_damage_is_noticed(lock: Lock, path: Path, empty: Store, data: st.DataObject) -> None:
    good = path.read_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    damaged = path.with_name("damaged")
    damaged.write_bytes(
        good[:at] + bytes([good[at] ^ data.draw(st.integers(1, 255))]) + good[at + 1 :]
    )
    try:
        bundle.read(damaged, lock, empty, "amd64")
    except InputError as error:
        assert error.status == 2
    else:
        assert opened(damaged) is not None


@pytest.mark.parametrize("size", [-1, -2, -(1 << 40), 1 << 40])
def test_a_file_whose_first_member_has_a_size_that_cannot_be_is_no_bundle(size: int) -> None:
    member = tarfile.TarInfo(bundle_header.NAME)
    member.size = size
    text = canonical.dumps(dict.fromkeys(bundle_header.KEYS, 0))
    data = zstandard.compress(member.tobuf(tarfile.GNU_FORMAT) + text)
    assert not bundle_header.is_bundle(io.BytesIO(data))
