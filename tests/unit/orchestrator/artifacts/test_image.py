"""The image from a tree: made twice, read back, remembered, taken over, made again on request.

Faults are planted in the files that were made, or in the store, and a check has to see them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from containers.host import durable
from containers.policy import Policy
from orchestrator.artifacts import image as making
from orchestrator.artifacts import remade, remaking
from orchestrator.artifacts.earlier_files import EarlierFiles
from orchestrator.execution import rebuilding
from orchestrator.execution.rebuilding import Bases
from orchestrator.execution.scheduler import Scheduler
from orchestrator.image.cpio import writer as cpio
from orchestrator.image.fat import reader, writer
from orchestrator.store import BLOB_TIME, Store, records
from orchestrator.store.blobs import BlobFolder
from reproducibility import canonical, codes
from reproducibility import digest as digests
from reproducibility.compare import Verdict, fold
from reproducibility.digest import Digest
from reproducibility.errors import InputError, SourceryError, Stopped
from reproducibility.manifest import Tree, directory, file
from tests.fakes import FakeEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from orchestrator.image.gather import Blob
    from reproducibility.compare import CheckKind

KINDS = {name for name, _, _ in making.PARTS}


class Watcher:
    """Remembers what was really done."""

    def __init__(self) -> None:
        self.done: set[str] = set()
        self.remembered: set[str] = set()

    def planned(self, steps: Sequence[tuple[str, str, str]]) -> None: ...

    def started(self, name: str) -> None: ...

    def finished(self, name: str, *, cached: bool, seconds: float) -> None:
        assert seconds >= 0
        (self.remembered if cached else self.done).add(name)

    def note(self, text: str) -> None: ...


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def recipe(store: Store) -> making.Recipe:
    contents = {"linux_amd64/bin/ls": b"#!/linux_amd64/bin/installcommand #!/src/ls\n"}
    contents |= {f"src/package/file {number}.go": bytes([number]) * number for number in range(50)}
    entries = [file(path, store.put_bytes(data), len(data)) for path, data in contents.items()]
    return making.Recipe(
        tree=Tree([*entries, directory("tmp")]),
        label="TEST",
        identity=digests.of_bytes(b"spec and lock"),
        epoch=BLOB_TIME,
        free_space=0,
    )


NOTHING = "no earlier result to compare with"


class Maker:
    """Makes images one after the other, each in a folder of its own."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._count = 0
        self.stop = threading.Event()
        self.out = folder / "none"
        self.watcher = Watcher()

    def make(
        self, recipe: making.Recipe, *, again: bool = False, bases: Bases | None = None
    ) -> making.Image:
        self._count += 1
        fresh = self._folder / str(self._count)
        fresh.mkdir()
        self.watcher = Watcher()
        place = making.Place(self._store, lambda: fresh, EarlierFiles(self.out), self.watcher)
        ran = Scheduler(
            engine=FakeEngine({}),
            store=self._store,
            policy=Policy(),
            observer=self.watcher,
            jobs=1,
            rebuild=again,
            bases=bases,
            stop=self.stop,
        ).run([making.step(lambda _: recipe, (), place)])
        made = making.of_result(ran.results[making.STEP], self._store)
        self.out = fresh
        return replace(made, checks=(*made.checks, *rebuilding.checks(ran.compared.values())))


@pytest.fixture
def maker(store: Store, tmp_path: Path) -> Maker:
    return Maker(store, tmp_path)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is made the second time in this process, by the other process's program.

    Starting one is most of what it takes to make a small image; test_remaking is about that.
    """

    @contextlib.contextmanager
    def started(recipe: making.Recipe, store: Store) -> Iterator[Any]:
        with store.temporary() as folder:
            (folder / remade.TREE).write_bytes(recipe.tree.serialize())
            (folder / remade.RECIPE).write_bytes(canonical.dumps(remade.document(recipe)))

            def result(*_: object) -> remaking.Remade:
                said = remade.remake(folder, BlobFolder(store.root / "blobs", folder, folder))
                digest, tree = Digest.parse(said["image"]), Digest.parse(said["tree"])
                return remaking.Remade(digest, tree, alike=())

            yield SimpleNamespace(result=result, abandon=lambda: None)

    monkeypatch.setattr(remaking, "started", started)


alone = pytest.mark.usefixtures("in_this_process")


def test_made_and_checked(maker: Maker, recipe: making.Recipe) -> None:
    made = maker.make(recipe)
    assert {(c.kind, c.subject) for c in made.checks} == set(making.EXPECTED)
    assert fold(made.checks) is Verdict.PASS
    assert maker.watcher.done == KINDS
    for artifact in (made.image, made.cpio):
        path = maker.out / artifact.path
        assert path.stat().st_size == artifact.size
        assert digests.of_file(path) == artifact.blake3
        assert digests.sha256_of_file(path) == artifact.sha256
    assert sorted(path.name for path in maker.out.iterdir()) == [making.CPIO, making.IMAGE]


def test_taken_over_where_nothing_changed(maker: Maker, recipe: making.Recipe) -> None:
    first = maker.make(recipe)
    inode = (maker.out / making.IMAGE).stat().st_ino
    assert maker.make(recipe) == first
    assert maker.watcher.done == set()
    assert (maker.out / making.IMAGE).stat().st_ino == inode


@alone
@pytest.mark.parametrize("name", [making.IMAGE, making.CPIO])
def test_a_changed_old_file_is_not_taken_over(
    maker: Maker, recipe: making.Recipe, name: str
) -> None:
    first = maker.make(recipe)
    data = bytearray((maker.out / name).read_bytes())
    data[len(data) // 2] ^= 1
    (maker.out / name).write_bytes(data)
    second = maker.make(recipe)
    assert maker.watcher.done == KINDS
    assert (second.image, second.cpio) == (first.image, first.cpio)
    assert digests.of_file(maker.out / making.IMAGE) == first.image.blake3


def test_made_again_and_compared(maker: Maker, recipe: making.Recipe) -> None:
    first = maker.make(recipe)
    second = maker.make(recipe, again=True)
    assert maker.watcher.done == KINDS
    assert second.image == first.image
    check = next(c for c in second.checks if c.kind == codes.REBUILD)
    assert check.verdict is Verdict.PASS
    assert {(c.kind, c.subject) for c in second.checks} == {
        *making.EXPECTED, (codes.REBUILD, making.STEP)
    }  # fmt: skip


@alone
def test_what_an_earlier_round_has_remembered_is_no_base(
    maker: Maker, recipe: making.Recipe
) -> None:
    bases = Bases()
    first = maker.make(recipe, again=True, bases=bases)
    for made in (first, maker.make(recipe, again=True, bases=bases)):
        [check] = [c for c in made.checks if c.kind == codes.REBUILD]
        assert (check.verdict, check.reason) == (Verdict.SKIP, NOTHING)
    # Only a rebuild compares: any other build takes over what it has made itself.
    assert maker.make(recipe, bases=bases).image == first.image
    assert maker.watcher.done == set()


def _state(store: Store, recipe: making.Recipe) -> Path:
    """Where it is written down what came of a recipe."""
    [found] = (store.root / "results" / "computed-image").rglob(f"{recipe.key.hex}.json")
    return found


@pytest.mark.once
@alone
@pytest.mark.parametrize("damage", ["none", "gone", "folder", "cut", "empty object", "outputs"])
def test_made_again_with_nothing_to_compare_with(
    maker: Maker, recipe: making.Recipe, store: Store, damage: str
) -> None:
    if damage != "none":
        maker.make(recipe)
        state = _state(store, recipe)
        text = state.read_text()
        state.unlink()
        if damage == "folder":
            state.mkdir()
        elif damage == "cut":
            state.write_text(text[: len(text) // 2])
        elif damage == "empty object":
            state.write_text("{}")
        elif damage == "outputs":
            document = records.opened(text.encode())
            store.remember("computed-image", recipe.key, document | {"outputs": "nonsense"})
        maker.out = maker.out / "none"
    made = None
    with contextlib.suppress(SourceryError, OSError):
        made = maker.make(recipe, again=True)
    if made is not None:
        [check] = [c for c in made.checks if c.kind == codes.REBUILD]
        assert check.verdict is not Verdict.PASS
        assert "earlier result" in check.reason
        if damage in {"none", "gone"}:
            assert (check.verdict, check.reason) == (Verdict.SKIP, NOTHING)
            second = maker.make(recipe, again=True)
            assert fold(second.checks) is Verdict.PASS, "the first one is the base of the next"


@alone
def test_another_result_than_remembered_fails_and_stays_failed(
    maker: Maker, recipe: making.Recipe, store: Store
) -> None:
    made = maker.make(recipe)
    other = replace(made.image, blake3=digests.of_bytes(b"another image"))
    state = _state(store, recipe)
    document = records.opened(state.read_bytes())
    tree = Tree(
        [
            file(made.cpio.path, made.cpio.blake3, made.cpio.size),
            file(other.path, other.blake3, other.size),
        ]
    )
    store.remember("computed-image", recipe.key, document | {"outputs": str(store.save_tree(tree))})
    for _ in range(2):
        again = maker.make(recipe, again=True)
        check = next(c for c in again.checks if c.kind == codes.REBUILD)
        assert check.verdict is Verdict.FAIL
        assert making.IMAGE in check.reason


@pytest.mark.once
@alone
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
    maker: Maker, recipe: making.Recipe, change: dict[str, object]
) -> None:
    other = replace(recipe, **change)  # type: ignore[arg-type]
    assert other.key != recipe.key
    assert maker.make(recipe).image.blake3 != maker.make(other).image.blake3


def test_another_libzstd_makes_another_archive(
    recipe: making.Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = recipe.key
    monkeypatch.setattr(cpio, "COMPRESSION", "libzstd 9.9.9, level 1")
    assert recipe.key != before


def _planted(monkeypatch: pytest.MonkeyPatch, name: str, damage: Callable[[Path], object]) -> None:
    """Whatever is written as image or archive is damaged right after it was written."""
    module = writer if name == making.IMAGE else cpio
    right: Callable[..., None] = module.write

    def write(first: object, blob: Blob, target: Path, **options: object) -> None:
        right(first, blob, target, **options)
        damage(target)

    monkeypatch.setattr(module, "write", write)


def _failed(made: making.Image) -> set[CheckKind]:
    return {check.kind for check in made.checks if check.verdict is Verdict.FAIL}


def _flip(at: int) -> Callable[[Path], object]:
    """Change a bit in place, so that the image keeps its holes; below 0 `at` is from the end."""

    def flip(target: Path) -> None:
        with target.open("r+b") as stream:
            place = stream.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
            [old] = stream.read(1)
            stream.seek(place)
            stream.write(bytes([old ^ 4]))

    return flip


_VOLUME = 1 << 20
_RECORDS = _VOLUME + (32 + 2 * 528) * 512
# A bit of the image, and who sees it beside the comparison of the two ways.
PLACES = {
    "code of the master boot record": (3, codes.IMAGE_BYTES),
    "disk signature": (441, codes.IMAGE_BYTES),
    "gap": (600_000, codes.IMAGE_BYTES),
    "boot code": (_VOLUME + 300, codes.IMAGE_BYTES),
    "FSInfo": (_VOLUME + 512 + 488, codes.IMAGE_BYTES),
    "backup": (_VOLUME + 6 * 512 + 71, codes.IMAGE_BYTES),
    "reserved": (_VOLUME + 12 * 512, codes.IMAGE_BYTES),
    "access date": (_RECORDS + 64 + 18, codes.IMAGE_BYTES),
    "attributes": (_RECORDS + 64 + 11, codes.IMAGE_BYTES),
    "free space": (-1, codes.IMAGE_BYTES),
}


@pytest.mark.once
@alone
@pytest.mark.parametrize("place", PLACES)
def test_a_changed_bit_of_the_image_fails(
    maker: Maker, recipe: making.Recipe, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    at, who = PLACES[place]
    _planted(monkeypatch, making.IMAGE, _flip(at))
    made = maker.make(recipe)
    assert _failed(made) == {codes.IMAGE_AGAIN, who}
    assert maker.make(recipe).checks[0].verdict is Verdict.FAIL, "a failure is not remembered"


@alone
def test_a_changed_bit_of_a_file_fails(
    maker: Maker, recipe: making.Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(target: Path) -> None:
        _flip(target.read_bytes().index(b"#!/linux_amd64"))(target)

    _planted(monkeypatch, making.IMAGE, damage)
    assert _failed(maker.make(recipe)) == {codes.IMAGE_AGAIN, codes.IMAGE_READ_BACK}


def _changed(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda target: target.write_bytes(change(target.read_bytes()))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit": _flip(-20),
    "the checksum": _flip(-1),
    "cut": _changed(lambda data: data[:-10]),
    "more": _changed(lambda data: data + b"more"),
    "a second frame": _changed(lambda data: data + data),
    "nothing": _changed(lambda _: b""),
}


@pytest.mark.once
@alone
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_changed_archive_fails(
    maker: Maker, recipe: making.Recipe, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    _planted(monkeypatch, making.CPIO, DAMAGES[damage])
    assert _failed(maker.make(recipe)) == {codes.ARCHIVE_READ_BACK}
    assert maker.make(recipe, again=True).checks[-1].verdict is Verdict.SKIP


@alone
def test_an_archive_with_another_member_fails(
    maker: Maker, recipe: making.Recipe, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = cpio.write
    more = Tree([file("more", store.put_bytes(b"more"), 4)])

    def write(tree: Tree, blob: Blob, target: Path, *, epoch: int) -> None:
        right(tree.overlaid(more), blob, target, epoch=epoch)

    monkeypatch.setattr(cpio, "write", write)
    assert _failed(maker.make(recipe)) == {codes.ARCHIVE_READ_BACK}


@alone
def test_what_is_read_back_differently_fails(
    maker: Maker, recipe: making.Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = reader.read

    def wrong(image: Path) -> object:
        seen = right(image)
        return replace(seen, tree=seen.tree.where(lambda entry: entry.path != "tmp"))

    monkeypatch.setattr(reader, "read", wrong)
    assert _failed(maker.make(recipe)) == {codes.IMAGE_READ_BACK}


def test_lint_comes_first(maker: Maker, recipe: making.Recipe, store: Store) -> None:
    clash = file("SRC/package", store.put_bytes(b"x"), 1)
    with pytest.raises(InputError):
        maker.make(replace(recipe, tree=recipe.tree.overlaid(Tree([clash]))))
    assert maker.watcher.done == set()


@alone
def test_an_image_that_does_not_reach_the_disk(
    maker: Maker, recipe: making.Recipe, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = durable.sync

    def full(path: Path) -> None:
        if path.name == making.IMAGE:
            raise OSError(errno.EIO, "Input/output error", str(path))
        right(path)

    monkeypatch.setattr(durable, "sync", full)
    with pytest.raises(OSError, match="Input/output"):
        maker.make(recipe)
    assert store.recall("computed-image", recipe.key) is None


def test_stopped_between_the_stages(maker: Maker, recipe: making.Recipe) -> None:
    maker.stop.set()
    with pytest.raises(Stopped):
        maker.make(recipe)
    assert "image/again" not in maker.watcher.done


@alone
def test_garbage_collection_keeps_the_root_of_an_image(
    maker: Maker, recipe: making.Recipe, store: Store
) -> None:
    made = maker.make(recipe)
    store.collect(unused_since=0)
    assert store.holds(store.load_tree(made.tree))


@alone
@pytest.mark.parametrize("name", [making.IMAGE, making.CPIO])
def test_what_is_taken_over_in_part_is_not_written_to(
    maker: Maker, recipe: making.Recipe, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    maker.make(recipe)
    old = maker.out
    other = old / ({making.IMAGE, making.CPIO} - {name}).pop()
    before = digests.of_file(other)
    (old / name).unlink()

    def full(*given: object, **_: object) -> None:
        target = given[-1]
        assert isinstance(target, Path)
        target.write_bytes(b"half")
        raise InputError("the disk is full")

    for module in (writer, cpio):
        monkeypatch.setattr(module, "write", full)
    with pytest.raises(InputError, match="the disk is full"):
        maker.make(recipe)
    assert digests.of_file(other) == before


@alone
def test_what_is_taken_over_is_said_part_by_part(maker: Maker, recipe: making.Recipe) -> None:
    maker.make(recipe)
    maker.make(recipe)
    assert maker.watcher.remembered == KINDS
