"""What is put into the volumes of an action, and how they are named, shared and removed."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, cast

import pytest

from containers.action import Action, Mount
from containers.docker import archive
from containers.docker.volumes import Connection, Volumes
from containers.layout import lay_out
from containers.policy import Limits
from reproducibility import digest, manifest
from reproducibility.conditions import STANDARD
from reproducibility.errors import InfrastructureError
from reproducibility.manifest import Entry, Tree
from reproducibility.variations import VARIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from containers.docker.api import Api
    from reproducibility.conditions import Conditions

FILE = digest.of_bytes(b"file")
INPUT = Tree([manifest.file("file", FILE, 4), manifest.directory("empty")])
ROOT = Tree([manifest.file("bootstrap/bin/gofmt", FILE, 4, executable=True)])


class Engine:
    """A container engine in memory, and the API to it."""

    def __init__(self) -> None:
        self.containers: dict[str, dict[str, Any]] = {}
        self.volumes: dict[str, dict[str, Any]] = {}
        self.filled: list[tuple[str, list[str]]] = []
        self.started: list[str] = []
        self.made = 0

    @contextmanager
    def lend(self, _: str) -> Iterator[Engine]:
        yield self

    def ask(self, _: str, question: Callable[[Any], Any]) -> object:
        return question(self)

    def create_host_config(self, **config: object) -> dict[str, object]:
        return dict(config)

    def create_container(self, image: str, **config: object) -> dict[str, str]:
        self.made += 1
        name = f"container-{self.made}"
        self.containers[name] = {"image": image, **config}
        return {"Id": name}

    def create_volume(self, name: str, **config: object) -> None:
        self.volumes[name] = config

    def start(self, name: str) -> None:
        self.started.append(name)

    def put_archive(self, name: str, path: str, stream: Iterator[bytes]) -> None:
        assert path == "/"
        members = [member.name for member, _ in archive.members(stream)]
        self.filled.append((name, members))

    def remove_container(self, name: str) -> None:
        del self.containers[name]

    def remove_volume(self, name: str) -> None:
        del self.volumes[name]


class Blobs:
    """Every blob holds `file`. `stops`: by what the making of each checkout was to be stopped."""

    def __init__(self, folder: Path) -> None:
        self.stops: list[Event | None] = []
        self.file = folder / "blob"
        self.file.write_bytes(b"file")

    def path(self, _: Entry) -> Path:
        return self.file

    def checkout(self, tree: Tree, epoch: int, stop: Event | None = None) -> Path:
        self.stops.append(stop)
        return Path("/trees", f"{tree.digest.hex[:4]}-{epoch}")


def action(where: Conditions = STANDARD, **changes: Any) -> Action:  # noqa: ANN401 - any field
    fields = {
        "name": "an action",
        "command": ("/bin/program",),
        "environment": (),
        "directory": f"{where.work}/start/here",
        "root": ROOT,
        "mounts": (Mount("/input", INPUT), Mount(f"{where.work}/a/copy", INPUT, "private")),
        "outputs": (),
        "epoch": 7,
        "architecture": "amd64",
        "conditions": where,
    }
    return Action(**{**fields, **changes})


def place(
    engine: Engine, volumes: Volumes, folder: Path, wanted: Action, stack: ExitStack
) -> list[dict[str, Any]]:
    del engine
    limits = Limits(work=1 << 20)
    blobs = Blobs(folder)
    found = volumes.for_action(wanted, lay_out(wanted), limits, blobs, "image", stack)
    return cast("list[dict[str, Any]]", found)


@pytest.fixture
def engine() -> Engine:
    return Engine()


def volumes_of(engine: Engine, *, bind: bool) -> Volumes:
    return Volumes(Connection(cast("Api", engine), ("sourcery.run", "run-1"), bind))


def test_a_work_volume_holds_folders_and_private_copies(engine: Engine, tmp_path: Path) -> None:
    with ExitStack() as stack:
        mounts = place(engine, volumes_of(engine, bind=True), tmp_path, action(), stack)
        assert [(mount["Target"], mount["Type"], mount["ReadOnly"]) for mount in mounts] == [
            *(("/input", "bind", True), ("/work", "volume", False)),
        ]
        assert mounts[0]["Source"] == f"/trees/{INPUT.digest.hex[:4]}-7"
        (filled,) = engine.filled
        top = "volumes/work"
        assert sorted(set(filled[1])) == sorted(
            [
                *(top, f"{top}/a", f"{top}/a/copy", f"{top}/start", f"{top}/start/here"),
                *(f"{top}/a/copy/file", f"{top}/a/copy/empty"),
            ]
        )
        assert engine.containers == {}
        assert engine.started == []
        assert all(
            config["labels"] == {"sourcery.run": "run-1"} for config in engine.volumes.values()
        )
    assert engine.volumes == {}


def test_input_volumes_are_shared_by_the_actions_of_a_run(engine: Engine, tmp_path: Path) -> None:
    volumes = volumes_of(engine, bind=False)
    with ExitStack() as stack:
        first = place(engine, volumes, tmp_path, action(), stack)
        second = place(engine, volumes, tmp_path, action(), stack)
        other = place(engine, volumes, tmp_path, action(epoch=8), stack)
    assert first[0] == second[0]
    assert first[0]["Source"] != other[0]["Source"]
    assert first[1]["Source"] != second[1]["Source"]
    assert first[0]["ReadOnly"]
    # Those of inputs stay to the end of the run.
    assert set(engine.volumes) == {first[0]["Source"], other[0]["Source"]}
    assert engine.containers == {}


def test_a_seed_puts_everything_on_held_tmpfs_volumes(engine: Engine, tmp_path: Path) -> None:
    with ExitStack() as stack:
        mounts = place(engine, volumes_of(engine, bind=True), tmp_path, action(VARIED), stack)
        assert [(mount["Target"], mount["Type"]) for mount in mounts] == [
            *(("/input", "volume"), (VARIED.work, "volume")),
        ]
        (holder,) = engine.started
        assert engine.containers[holder]["command"] == ["/bootstrap/bin/gofmt"]
        assert engine.containers[holder]["stdin_open"] is True
        options = [config["driver_opts"] for config in engine.volumes.values()]
        assert [option["type"] for option in options] == ["tmpfs", "tmpfs"]
        assert options[1]["o"] == "size=1048576,mode=755"
        assert {name for name, _ in engine.filled} == {holder}
    assert engine.containers == {}
    assert engine.volumes == {}


def test_without_private_copies_the_work_directory_stays_on_the_disk(
    engine: Engine, tmp_path: Path
) -> None:
    wanted = action(VARIED, mounts=(Mount("/input", INPUT),))
    with ExitStack() as stack:
        place(engine, volumes_of(engine, bind=True), tmp_path, wanted, stack)
        options = [config["driver_opts"] for config in engine.volumes.values()]
    assert [bool(option) for option in options] == [True, False]


def test_nothing_to_wait_with_is_said(engine: Engine, tmp_path: Path) -> None:
    wanted = action(VARIED, root=Tree([manifest.file("bin/uname", FILE, 4)]))
    with (
        ExitStack() as stack,
        pytest.raises(InfrastructureError, match="hold inputs on a tmpfs"),
    ):
        place(engine, volumes_of(engine, bind=True), tmp_path, wanted, stack)
    assert engine.volumes == {}


def test_the_making_of_a_checkout_can_be_stopped(engine: Engine, tmp_path: Path) -> None:
    blobs, wanted, stop = Blobs(tmp_path), action(), Event()
    volumes, limits = volumes_of(engine, bind=True), Limits(work=1 << 20)
    with ExitStack() as stack:
        volumes.for_action(wanted, lay_out(wanted), limits, blobs, "image", stack, stop)
    assert blobs.stops == [stop]
