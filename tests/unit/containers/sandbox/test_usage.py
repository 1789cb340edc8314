"""What an action takes is seen: private and shared memory, files without a name, deep folders."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from containers.policy import Limits
from containers.sandbox import proc
from containers.sandbox.cgroup import Group
from containers.sandbox.cgroup_v1 import LegacyGroup
from containers.sandbox.usage import Growth, Usage, sizes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20


@contextmanager
def running(program: str) -> Iterator[int]:
    """A Python program that has done what it is to do and waits; its process id."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program + "\nprint('ready', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.communicate(b"\n")


PRIVATE = "held = bytearray(b'x') * (50 << 20)"
SHARED = """
import mmap
held = mmap.mmap(-1, 50 << 20)
for place in range(0, len(held), 4096): held[place] = 1
"""
UNNAMED = """
import os
held = os.memfd_create("x")
os.write(held, b"x" * (50 << 20))
"""


@pytest.mark.parametrize("program", [PRIVATE, SHARED, UNNAMED])
@pytest.mark.parametrize("limit", [40 * MIB, 1000 * MIB], ids=["above the limit", "below it"])
def test_every_kind_of_memory_is_seen(tmp_path: Path, program: str, limit: int) -> None:
    with running(program) as pid:
        usage = Usage(tmp_path, Limits(memory=limit), None)
        assert usage.look(pid) == ("memory" if limit < 50 * MIB else "")
        assert 50 * MIB <= usage.peak < 100 * MIB


def test_where_the_kernel_counts_nothing_is_ended(tmp_path: Path) -> None:
    with running(PRIVATE) as pid:
        group = Group(tmp_path)
        assert Usage(tmp_path, Limits(memory=40 * MIB), group).look(pid) == ""


def test_sockets_that_outgrow_their_part_are_seen(tmp_path: Path) -> None:
    (tmp_path / "memory.kmem.tcp.limit_in_bytes").write_text("1000\n")
    usage = Usage(tmp_path, Limits(), LegacyGroup({"memory": tmp_path}))
    for used, limit in ((2000, ""), (2001, "memory")):
        (tmp_path / "memory.kmem.tcp.usage_in_bytes").write_text(f"{used}\n")
        assert usage.look(os.getpid()) == limit


def test_what_processes_share_counts_once(tmp_path: Path) -> None:
    program = SHARED + (
        "import os, signal\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        for place in range(0, len(held), 4096): held[place] = 2\n"
        "        os.kill(os.getpid(), signal.SIGSTOP)\n"
        "    os.waitid(os.P_ALL, 0, os.WSTOPPED)\n"
    )
    with running(program) as pid:
        rough = proc.memory_of(proc.descendants(pid))
        usage = Usage(tmp_path, Limits(memory=150 * MIB), None)
        assert usage.look(pid) == ""
        assert rough > 200 * MIB
        assert 50 * MIB <= usage.peak < 150 * MIB
        for child in set(proc.descendants(pid)) - {pid}:
            os.kill(child, 9)


def test_a_file_without_a_name_counts_as_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = iter([(1000 * MIB, 1000), (980 * MIB, 1000)])
    monkeypatch.setattr(Growth, "_room", lambda _: next(room))
    program = f"""
import os
held = open({str(tmp_path / "file")!r}, "wb")
os.unlink(held.name)
held.write(b"x" * (20 << 20)); held.flush(); os.fsync(held.fileno())
"""
    growth = Growth(tmp_path, Limits(work=10 * MIB))
    with running(program) as pid:
        assert growth.exceeded(proc.held_files([pid])) == "work"


def test_growth_counts_only_when_the_disk_has_lost_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "link").symlink_to("/")
    lost = [(1000 * MIB, 1000)] * 2 + [(900 * MIB, 1000)] + [(1000 * MIB, 990)]
    room = iter(lost)
    monkeypatch.setattr(Growth, "_room", lambda _: next(room))
    growth = Growth(tmp_path, Limits(work=50_000, files=1))
    assert growth.exceeded({}) == ""
    assert growth.exceeded({}) == "work"
    small = Growth.__new__(Growth)
    small.__dict__.update(growth.__dict__, _limits=Limits(files=1))
    assert small.exceeded({}) == "files"


def test_what_others_wrote_is_not_growth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    room = iter([(1000 * MIB, 1000), (1 * MIB, 1)])
    monkeypatch.setattr(Growth, "_room", lambda _: next(room))
    assert Growth(tmp_path, Limits(work=50_000, files=10)).exceeded({}) == ""


def test_no_path_is_too_long(tmp_path: Path) -> None:
    top = os.open(tmp_path, os.O_RDONLY)
    current = os.dup(top)
    for _ in range(100):
        os.mkdir("d" * 200, dir_fd=current)
        following = os.open("d" * 200, os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = following
    file = os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=current)
    os.write(file, b"x" * 100_000)
    os.fsync(file)
    for descriptor in (file, current, top):
        os.close(descriptor)
    found = list(sizes(tmp_path))
    assert len(found) == 101
    assert sum(found) >= 100_000
    assert list(sizes(tmp_path / "absent")) == []


def test_a_full_tmpfs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = Usage(tmp_path, Limits(), Group(tmp_path))
    with closing(usage):
        for name in ("work", "tmp"):
            usage.mounted(name, os.open(tmp_path, os.O_RDONLY))
        assert usage.filled() == ""
        monkeypatch.setattr(
            os,
            "fstatvfs",
            lambda _: os.statvfs_result((4096, 4096, 1000, 9, 9, 50, 20, 20, 0, 255)),
        )
        assert usage.filled() == "tmp"
    assert usage.work is None


def test_descendants_are_found() -> None:
    with running("") as pid:
        assert pid in set(proc.descendants(os.getpid()))
        assert set(proc.descendants(pid)) == {pid}
        assert proc.memory_of(proc.descendants(os.getpid())) > MIB
        assert proc.threads_of(os.getuid()) >= 2
    assert proc.memory_of([pid]) == 0
    assert proc.exact_memory_of([pid]) == proc.Mapped()
    assert proc.held_files([pid]) == {}


def test_page_tables_and_mapped_memory_are_counted_exactly() -> None:
    with mmap.mmap(-1, 8 * MIB) as held:
        for place in range(0, len(held), 4096):
            held[place] = 1
        found = proc.exact_memory_of([os.getpid()])
        assert found.private > MIB
        assert 8 * MIB in found.files.values()
    assert proc.available_memory() > MIB
