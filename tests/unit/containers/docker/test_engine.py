"""What a run of the docker engine leaves is known until it is removed, whatever fails meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from containers.docker import engine as docker_engine
from containers.docker.engine import LABEL, DockerEngine
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from pathlib import Path


class Api:
    """An engine that removes what has a label, or is down."""

    def __init__(self, *, down: bool = False) -> None:
        self.down = down
        self.removed: list[str] = []
        self.closed = 0

    def remove_labelled(self, label: str) -> int:
        if self.down:
            raise InfrastructureError("the container engine cannot list containers")
        self.removed.append(label)
        return 1

    def close(self) -> None:
        self.closed += 1


class Reaper:
    """Starts no process."""

    def __init__(self, label: str) -> None:
        self.label = label

    def close(self, *, clean: bool) -> None:
        """Do nothing: also where it could not remove anything."""


@pytest.fixture(autouse=True)
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_engine, "Reaper", Reaper)


def engine(scratch: Path, api: Api) -> DockerEngine:
    made = DockerEngine(scratch)
    made._api = api  # type: ignore[assignment]
    return made


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_runs_that_were_killed_are_known_until_what_they_left_is_removed(tmp_path: Path) -> None:
    names = ["docker-a.lock", "docker-b.lock"]
    for name in names:
        (tmp_path / name).write_text("")
    down, up = Api(down=True), Api()
    with pytest.raises(InfrastructureError, match="cannot list"):
        engine(tmp_path, down).__enter__()
    assert (left(tmp_path), down.closed) == (names, 1)
    with engine(tmp_path, up):
        assert up.removed == [f"{LABEL}=docker-a", f"{LABEL}=docker-b"]
    assert left(tmp_path) == []


def test_a_run_that_cannot_begin_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: str) -> None:
        raise InfrastructureError("cannot start the reaper")

    monkeypatch.setattr(docker_engine, "Reaper", refused)
    with pytest.raises(InfrastructureError, match="the reaper"):
        engine(tmp_path, Api()).__enter__()
    assert left(tmp_path) == []


def test_a_run_whose_containers_could_not_be_removed_is_left_to_the_next(tmp_path: Path) -> None:
    api, up = Api(), Api()
    run = engine(tmp_path, api)
    run.__enter__()
    run._used = api.down = True
    name = run._own.folder.name
    with pytest.raises(InfrastructureError, match="cannot list"):
        run.__exit__(None, None, None)
    assert left(tmp_path) == [f"{name}.lock"]
    with engine(tmp_path, up):
        assert up.removed == [f"{LABEL}={name}"]
