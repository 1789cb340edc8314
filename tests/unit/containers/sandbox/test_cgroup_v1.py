"""Control groups of version 1: root's, with every limit written, and nothing left behind."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from containers.policy import Limits
from containers.sandbox import cgroup_v1
from containers.sandbox.cgroup import Cgroups
from containers.sandbox.cgroup_v1 import Legacy, LegacyGroup

CONTROLLERS = {"memory": "memory", "pids": "pids", "cpu": "cpu,cpuacct"}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders that look like three hierarchies, and the two files of /proc that lead to them."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    mounts, own = [], ["0::/"]
    for number, (name, options) in enumerate(CONTROLLERS.items(), start=1):
        (tmp_path / name / "ours").mkdir(parents=True)
        mounts.append(
            f"3{number} 23 0:2{number} / {tmp_path / name} rw - cgroup cgroup rw,{options}"
        )
        own.append(f"{number}:{options}:/ours")
    (tmp_path / "memory" / "ours" / "memory.kmem.tcp.limit_in_bytes").touch()
    (tmp_path / "cpu" / "ours" / "cpu.cfs_quota_us").touch()
    (tmp_path / "mounts").write_text("\n".join(mounts))
    (tmp_path / "own").write_text("\n".join(own))
    return tmp_path


def taken(machine: Path) -> Legacy:
    found = cgroup_v1.take(machine / "mounts", machine / "own")
    assert isinstance(found, Legacy), found
    return found


def test_root_gets_one_where_version_2_has_nothing(machine: Path) -> None:
    found = Cgroups(machine / "mounts", machine / "own")
    assert (found.reason, found.version, found.cpu) == ("", 1, True)
    group = found.make("action-1", Limits())
    assert isinstance(group, LegacyGroup)
    found.close()
    assert found.make("action-2", Limits()) is None


def test_limits_are_written(machine: Path) -> None:
    legacy = taken(machine)
    group = legacy.make("a", Limits(memory=16_000, processes=7, cpus=2))
    wanted = {
        ("memory", "memory.limit_in_bytes"): "15000",
        ("memory", "memory.memsw.limit_in_bytes"): "15000",
        ("memory", "memory.kmem.tcp.limit_in_bytes"): "1000",
        ("pids", "pids.max"): "7",
        ("cpu", "cpu.cfs_period_us"): "100000",
        ("cpu", "cpu.cfs_quota_us"): "200000",
    }
    assert {key: (group.paths[key[0]] / key[1]).read_text() for key in wanted} == wanted
    assert group.entrances == []
    group.admit(4711)
    assert [(path / "cgroup.procs").read_text() for path in group.paths.values()] == ["4711"] * 3
    assert group.exits == (str(machine / "memory/ours/cgroup.procs"),)
    # Not more than is needed: a process of the scheduler's real-time class cannot be taken in.
    assert set(legacy.make("b", Limits()).paths) == {"memory", "pids"}


def test_a_group_that_the_kernel_refuses_is_removed_again(machine: Path) -> None:
    legacy = taken(machine)
    memory = legacy._paths["memory"]
    legacy._paths["pids"] = machine / "absent"
    with pytest.raises(FileNotFoundError):
        legacy.make("a", Limits())
    assert not (memory / "a").exists()


def test_controllers_can_share_a_hierarchy(machine: Path) -> None:
    place = machine / "memory"
    (machine / "mounts").write_text(f"31 23 0:21 / {place} rw - cgroup cgroup rw,memory,pids")
    (machine / "own").write_text("1:memory,pids:/ours")
    legacy = taken(machine)
    assert not legacy.cpu
    group = legacy.make("a", Limits(processes=7))
    assert len(group.exits) == 1
    assert (group.paths["memory"] / "pids.max").read_text() == "7"


def test_what_the_kernel_counted_is_read(tmp_path: Path) -> None:
    group = LegacyGroup({"memory": tmp_path})
    assert (group.peak_memory(), group.ran_out_of_memory(), group.exceeds()) == (0, False, False)
    (tmp_path / "memory.max_usage_in_bytes").write_text("4096\n")
    assert group.peak_memory() == 4096
    for kills in (0, 2):
        (tmp_path / "memory.oom_control").write_text(
            f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n"
        )
        assert group.ran_out_of_memory() == bool(kills)


def test_what_an_engine_that_is_gone_left_is_removed(machine: Path) -> None:
    base = machine / "memory" / "ours"
    for name in ("sourcery-gone/action-1", "sourcery-alive/action-1", "others/x"):
        (base / name).mkdir(parents=True)
    alive = os.open(base / "sourcery-alive", os.O_RDONLY)
    fcntl.flock(alive, fcntl.LOCK_EX)
    cgroup_v1.sweep(base)
    os.close(alive)
    assert sorted(path.name for path in base.iterdir() if path.is_dir()) == [
        "others",
        "sourcery-alive",
    ]


def test_closing_removes_what_was_made(machine: Path) -> None:
    legacy = taken(machine)
    group = LegacyGroup({"pids": next((machine / "pids" / "ours").glob("sourcery-*")) / "a"})
    group.paths["pids"].mkdir()
    group.close()
    assert not group.paths["pids"].exists()
    legacy.close()
    legacy.close()
    for name in CONTROLLERS:
        assert not list((machine / name / "ours").glob("sourcery-*"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda machine: (machine / "own").write_text("1:memory:/ours\n"), "no pids controller"),
        (lambda machine: (machine / "own").unlink(), "no memory and no pids controller"),
        (
            lambda machine: (
                machine / "memory" / "ours" / "memory.kmem.tcp.limit_in_bytes"
            ).unlink(),
            "counts no memory of sockets",
        ),
    ],
)
def test_the_reason_is_said(machine: Path, change: object, words: str) -> None:
    assert callable(change)
    change(machine)
    found = cgroup_v1.take(machine / "mounts", machine / "own")
    assert isinstance(found, str)
    assert words in found


def test_an_ordinary_user_gets_none(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = cgroup_v1.take(machine / "mounts", machine / "own")
    assert found == "cgroup version 1 can be had by root only"


def test_a_tree_that_cannot_be_written_is_not_taken(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        assert cgroup_v1.take(machine / "mounts", machine / "own") == "the cgroup tree is read-only"

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert "No space left" in str(cgroup_v1.take(machine / "mounts", machine / "own"))
