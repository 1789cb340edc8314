"""Control groups are used where they are delegated, and only there; else the reason is said."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from containers.policy import Limits
from containers.sandbox import engine
from containers.sandbox.cgroup import Cgroups, Group
from reproducibility.errors import InfrastructureError


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder that looks like a delegated cgroup, and the two files of /proc that lead to it."""
    group = tmp_path / "tree" / "user.slice" / "ours"
    group.mkdir(parents=True)
    (group / "cgroup.controllers").write_text("cpu memory pids\n")
    (group / "cgroup.subtree_control").write_text("")
    (group / "cgroup.procs").write_text(f"{os.getpid()}\n")
    (tmp_path / "own").write_text("0::/user.slice/ours\n")
    (tmp_path / "mounts").write_text(
        f"30 23 0:26 / {tmp_path / 'tree'} rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
    )
    return tmp_path


def cgroups(machine: Path) -> Cgroups:
    return Cgroups(machine / "mounts", machine / "own")


def test_a_delegated_group_is_divided(machine: Path) -> None:
    ours = machine / "tree" / "user.slice" / "ours"
    found = cgroups(machine)
    assert found.reason == ""
    assert found.cpu
    assert (ours / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    assert (ours / "orchestrator" / "cgroup.procs").read_text() == str(os.getpid())


def test_limits_are_written(machine: Path) -> None:
    found = cgroups(machine)
    group = found.make("action-1", Limits(memory=1000, processes=7, cpus=2))
    assert isinstance(group, Group)
    assert [path.endswith("/ours/action-1/cgroup.procs") for path in group.entrances] == [True]
    wanted = {
        "memory.max": "1000",
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "7",
        "cpu.max": "200000 100000",
    }
    assert {name: (group.path / name).read_text() for name in wanted} == wanted
    other = found.make("action-2", Limits(cpus=0))
    assert isinstance(other, Group)
    assert not (other.path / "cpu.max").exists()


def test_what_the_kernel_counted_is_read(tmp_path: Path) -> None:
    group = Group(tmp_path)
    assert group.peak_memory() == 0
    assert not group.ran_out_of_memory()
    (tmp_path / "memory.peak").write_text("4096\n")
    (tmp_path / "memory.events").write_text("low 0\noom 1\noom_kill 0\n")
    assert group.peak_memory() == 4096
    assert not group.ran_out_of_memory()
    (tmp_path / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    assert group.ran_out_of_memory()


def test_closing_a_group_kills_and_removes_it(tmp_path: Path) -> None:
    path = tmp_path / "group"
    path.mkdir()
    Group(path).close()
    assert (path / "cgroup.kill").read_text() == "1"
    (path / "cgroup.kill").unlink()
    path.rmdir()
    Group(path).close()


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("own", "4:memory:/x\n", "no cgroup version 2"),
        ("own", "0::/elsewhere\n", "no cgroup version 2"),
        ("mounts", "1 2 0:3 / /proc rw - proc proc rw\n", "no cgroup version 2"),
        ("tree/user.slice/ours/cgroup.controllers", "cpu pids\n", "has no memory controller"),
        ("tree/user.slice/ours/cgroup.controllers", "\n", "no memory and no pids controller"),
        ("tree/user.slice/ours/cgroup.procs", "1\n2\n", "other processes live"),
    ],
)
def test_the_reason_is_said(machine: Path, file: str, text: str, words: str) -> None:
    (machine / file).write_text(text)
    found = cgroups(machine)
    assert words in found.reason
    assert found.make("action", Limits()) is None
    found.close()


def test_what_cannot_be_written_is_not_taken(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert cgroups(machine).reason.startswith("no cgroup is delegated to this user; ")


def test_a_refusal_of_the_kernel_is_the_reason(machine: Path) -> None:
    control = machine / "tree" / "user.slice" / "ours" / "cgroup.subtree_control"
    control.unlink()
    control.mkdir()
    found = cgroups(machine)
    assert found.reason.startswith("the cgroup cannot be divided: Is a directory; ")


def test_a_group_that_the_kernel_refuses_is_removed_again(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, write = cgroups(machine), Path.write_text
    closed: list[str] = []

    def refuse(path: Path, text: str, encoding: str | None = None) -> int:
        if path.name == "pids.max":
            raise OSError(errno.EBUSY, "Device or resource busy", str(path))
        return write(path, text, encoding)

    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(Group, "close", lambda group: closed.append(group.path.name))
    with ExitStack() as stack, pytest.raises(InfrastructureError, match="resource busy") as told:
        engine._join(found, "action-1", Limits(), stack)
    assert closed == ["action-1"]
    assert told.value.subject.endswith("/ours/action-1/pids.max")
    assert "cgroup.max.descendants" in told.value.remedy


def test_leaving_goes_back(machine: Path) -> None:
    ours = machine / "tree" / "user.slice" / "ours"
    found = cgroups(machine)
    (ours / "orchestrator" / "cgroup.procs").unlink()
    found.close()
    assert (ours / "cgroup.subtree_control").read_text() == "-memory -pids -cpu"
    assert (ours / "cgroup.procs").read_text() == str(os.getpid())
    assert found.make("action", Limits()) is None
    found.close()
