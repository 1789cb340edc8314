"""The groups that this process runs in are found, whatever their names, and what they leave it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from containers.sandbox import own_groups, proc

if TYPE_CHECKING:
    from pathlib import Path

# A name of a group or of a place may be any bytes but a line feed.
ODD = os.fsdecode(b"a\xff\x0bb")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Groups of both versions, one in another, and the two files of /proc that lead to them."""
    for tree in ("unified", "memory"):
        (tmp_path / tree / "outer" / ODD).mkdir(parents=True)
    lines = [
        "cut off - cgroup cgroup rw,memory",
        f"30 23 0:26 / {tmp_path / 'unified'} rw - cgroup2 cgroup2 rw",
        "31 23 0:27 / /nonexistent/\x0b rw - cgroup cgroup rw,pids",
        f"32 23 0:28 / {tmp_path / 'memory'} rw - cgroup cgroup rw,memory",
    ]
    (tmp_path / "mounts").write_bytes(os.fsencode("\n".join(lines)))
    own = ["no group", "", f"5:memory:/outer/{ODD}", f"0::/outer/{ODD}", "7:name=x:", "6:pids:/x"]
    (tmp_path / "own").write_bytes(os.fsencode("\n".join(own)))
    return tmp_path


def available(machine: Path) -> int:
    return proc.available_memory(machine / "mounts", machine / "own")


def test_names_are_bytes_and_lines_may_be_short(machine: Path) -> None:
    files = machine / "mounts", machine / "own"
    assert own_groups.of_version_2(*files) == machine / "unified" / "outer" / ODD
    assert own_groups.of_version_1(*files) == {"memory": machine / "memory" / "outer" / ODD}


@pytest.mark.parametrize(
    ("tree", "limit", "used", "cached"),
    [
        ("unified", "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_no_more_memory_is_available_than_a_group_leaves(
    machine: Path, tree: str, limit: str, used: str, cached: str
) -> None:
    everything = available(machine)
    assert everything > 1 << 20
    outer, inner = machine / tree / "outer", machine / tree / "outer" / ODD
    for group, allowed in ((outer, "5000\n"), (inner, "max\n")):
        (group / limit).write_text(allowed)
        (group / used).write_text("1000\n")
    assert available(machine) == 4000
    (inner / limit).write_text("2000\n")
    assert available(machine) == 1000
    # What the kernel gives back before anything else is there to be had.
    (inner / "memory.stat").write_text(f"anon 1\n{cached} 600\n")
    assert available(machine) == 1600
    (inner / used).write_text("3000\n")
    assert available(machine) == 0
