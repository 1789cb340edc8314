"""The image from a tree: made twice, read back, remembered, taken over, made again on request."""

from __future__ import annotations

import errno
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator import making
from orchestrator.image import backwards, cpio, reader
from orchestrator.store import BLOB_TIME, Store, durable
from reproducibility import digest as digests
from reproducibility.compare import Verdict, fold
from reproducibility.errors import InputError, Stopped
from reproducibility.manifest import Tree, directory, file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from orchestrator.image.disk import Disk
    from orchestrator.image.gather import Blob
    from reproducibility.digest import Digest

KINDS = {"image", "image/again", "image/read back", "cpio"}


class Watcher:
    """Remembers what was really done."""

    def __init__(self) -> None:
        self.done: set[str] = set()

    def planned(self, steps: Sequence[tuple[str, str, str]]) -> None: ...

    def started(self, name: str) -> None: ...

    def finished(self, name: str, *, cached: bool, seconds: float) -> None:
        assert seconds >= 0
        if not cached:
            self.done.add(name)

    def note(self, text: str) -> None: ...


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def order(store: Store) -> making.Order:
    contents = {"linux_amd64/bin/ls": b"#!/linux_amd64/bin/installcommand #!/src/ls\n"}
    contents |= {f"src/package/file {number}.go": bytes([number]) * number for number in range(50)}
    entries = [file(path, store.put_bytes(data), len(data)) for path, data in contents.items()]
    return making.Order(
        tree=Tree([*entries, directory("tmp")]),
        label="TEST",
        identity=digests.of_bytes(b"spec and lock"),
        epoch=BLOB_TIME,
        free_space=0,
    )


class Maker:
    """Makes images one after the other, each in a folder of its own."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._count = 0
        self.stop = threading.Event()
        self.out = folder / "none"
        self.watcher = Watcher()

    def make(self, order: making.Order, *, again: bool = False) -> making.Image:
        self._count += 1
        fresh = self._folder / str(self._count)
        fresh.mkdir()
        self.watcher = Watcher()
        made = making.make(
            order, self._store, fresh, self.out, self.watcher, again=again, stop=self.stop
        )
        self.out = fresh
        return made


@pytest.fixture
def maker(store: Store, tmp_path: Path) -> Maker:
    return Maker(store, tmp_path)


def test_made_and_checked(maker: Maker, order: making.Order) -> None:
    made = maker.make(order)
    assert {(c.name, c.subject) for c in made.checks} == set(making.EXPECTED)
    assert fold(made.checks) is Verdict.PASS
    assert maker.watcher.done == KINDS
    for artefact in (made.image, made.cpio):
        path = maker.out / artefact.path
        assert path.stat().st_size == artefact.size
        assert digests.of_file(path) == artefact.blake3
        assert digests.sha256_of_file(path) == artefact.sha256
    assert sorted(path.name for path in maker.out.iterdir()) == [making.CPIO, making.IMAGE]


def test_taken_over_where_nothing_changed(maker: Maker, order: making.Order) -> None:
    first = maker.make(order)
    inode = (maker.out / making.IMAGE).stat().st_ino
    assert maker.make(order) == first
    assert maker.watcher.done == set()
    assert (maker.out / making.IMAGE).stat().st_ino == inode


@pytest.mark.parametrize("name", [making.IMAGE, making.CPIO])
def test_a_changed_old_file_is_not_taken_over(maker: Maker, order: making.Order, name: str) -> None:
    first = maker.make(order)
    data = bytearray((maker.out / name).read_bytes())
    data[len(data) // 2] ^= 1
    (maker.out / name).write_bytes(data)
    second = maker.make(order)
    assert maker.watcher.done == KINDS
    assert (second.image, second.cpio) == (first.image, first.cpio)
    assert digests.of_file(maker.out / making.IMAGE) == first.image.blake3


def test_made_again_and_compared(maker: Maker, order: making.Order) -> None:
    first = maker.make(order)
    second = maker.make(order, again=True)
    assert maker.watcher.done == KINDS
    assert second.image == first.image
    check = next(c for c in second.checks if c.name == making.REMEMBERED)
    assert check.verdict is Verdict.PASS


def test_another_result_than_remembered_fails_and_stays_failed(
    maker: Maker, order: making.Order, store: Store
) -> None:
    made = maker.make(order)
    other = replace(made.image, blake3=digests.of_bytes(b"another image"))
    making._remember(order, store, replace(made, image=other))
    for _ in range(2):
        again = maker.make(order, again=True)
        check = next(c for c in again.checks if c.name == making.REMEMBERED)
        assert check.verdict is Verdict.FAIL
        assert str(other.blake3) in check.reason


@pytest.mark.parametrize(
    "change",
    [
        {"label": "OTHER"},
        {"identity": digests.of_bytes(b"another lock")},
        {"epoch": BLOB_TIME + 2},
        {"free_space": 64 << 20},
    ],
    ids=["label", "identity", "epoch", "free_space"],
)
def test_every_parameter_counts(
    maker: Maker, order: making.Order, change: dict[str, object]
) -> None:
    other = replace(order, **change)  # type: ignore[arg-type]
    assert other.key != order.key
    assert maker.make(order).image.blake3 != maker.make(other).image.blake3


def test_another_libzstd_makes_another_archive(
    order: making.Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = order.key
    monkeypatch.setattr(cpio, "COMPRESSION", "libzstd 9.9.9, level 1")
    assert order.key != before


def test_a_difference_between_the_two_ways_fails(
    maker: Maker, order: making.Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = backwards.digest

    def wrong(disk: Disk, blob: Blob) -> Digest:
        layout = replace(disk.layout, folders=disk.layout.folders[:-1] + b"x")
        return right(replace(disk, layout=layout), blob)

    monkeypatch.setattr(backwards, "digest", wrong)
    made = maker.make(order)
    assert {c.name for c in made.checks if c.verdict is Verdict.FAIL} == {making.TWICE}
    assert maker.make(order).checks[0].verdict is Verdict.FAIL, "a failure is not remembered"


def test_what_is_read_back_differently_fails(
    maker: Maker, order: making.Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = reader.read

    def wrong(image: Path) -> object:
        seen = right(image)
        return replace(seen, tree=seen.tree.where(lambda entry: entry.path != "tmp"))

    monkeypatch.setattr(reader, "read", wrong)
    made = maker.make(order)
    assert {c.name for c in made.checks if c.verdict is Verdict.FAIL} == {making.READ_BACK}


def test_lint_comes_first(maker: Maker, order: making.Order, store: Store) -> None:
    clash = file("SRC/package", store.put_bytes(b"x"), 1)
    with pytest.raises(InputError):
        maker.make(replace(order, tree=order.tree.overlaid(Tree([clash]))))
    assert maker.watcher.done == set()


def test_an_image_that_does_not_reach_the_disk(
    maker: Maker, order: making.Order, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = durable.sync

    def full(path: Path) -> None:
        if path.name == making.IMAGE:
            raise OSError(errno.EIO, "Input/output error", str(path))
        right(path)

    monkeypatch.setattr(durable, "sync", full)
    with pytest.raises(OSError, match="Input/output"):
        maker.make(order)
    assert store.recall("image", order.key) is None


def test_stopped_between_the_stages(maker: Maker, order: making.Order) -> None:
    maker.stop.set()
    with pytest.raises(Stopped):
        maker.make(order)
    assert "image/again" not in maker.watcher.done
