"""One loop sees the end of a process, its output, its clock, its memory and the wish to stop."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from containers import proc
from containers.supervise import Bounds, Ended, Growth, Log, size_of, watch
from reproducibility.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB = 1 << 20
ENDING = "import os, signal, time; signal.signal(signal.SIGTERM, lambda *_: os._exit(3)); "


def run(  # noqa: PLR0913 - each a bound of its own
    program: str,
    folder: Path,
    *,
    seconds: float = 60,
    memory: int = 1 << 40,
    overgrown: Callable[[], bool] = lambda: False,
    stop: threading.Event | None = None,
    log: int = 1 << 20,
) -> Ended:
    """Watch a Python program whose output goes to `folder/out`."""
    with ExitStack() as stack:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", program],
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert process.stdout is not None
        stack.enter_context(process.stdout)
        kept = Log(folder / "out", log)
        stack.callback(kept.close)
        readers = {process.stdout.fileno(): partial(kept.read, process.stdout.fileno())}
        return watch(
            process, readers, Bounds(seconds, memory, overgrown), stop or threading.Event()
        )


def test_the_end_and_the_output_are_seen(tmp_path: Path) -> None:
    ended = run("import sys; print('x' * 300000); sys.exit(5)", tmp_path)
    assert (ended.status, ended.ended_by) == (5, "")
    assert (tmp_path / "out").stat().st_size == 300001


def test_a_signal_is_told_as_a_shell_does(tmp_path: Path) -> None:
    assert run("import os; os.kill(os.getpid(), 9)", tmp_path).status == 137


def test_a_closed_output_is_not_the_end(tmp_path: Path) -> None:
    ended = run("import os, time; os.close(1); time.sleep(0.3); os._exit(4)", tmp_path)
    assert ended.status == 4


def test_time_is_bounded(tmp_path: Path) -> None:
    ended = run(ENDING + "time.sleep(1000)", tmp_path, seconds=0.3)
    assert ended.ended_by == "time"


def test_memory_of_descendants_is_bounded(tmp_path: Path) -> None:
    hog = "b = bytearray(b'x') * (150 << 20); import time; time.sleep(1000)"
    program = (
        "import os, signal, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {hog!r}])\n"
        "def end(*_):\n"
        "    os.kill(child.pid, 9); os._exit(3)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "child.wait()\n"
    )
    ended = run(program, tmp_path, memory=100 * MIB)
    assert ended.ended_by == "memory"
    assert ended.sampled > 100 * MIB


def test_an_overgrown_work_directory_ends_it(tmp_path: Path) -> None:
    ended = run(ENDING + "time.sleep(1000)", tmp_path, overgrown=lambda: True)
    assert ended.ended_by == "work"


def test_a_wish_to_stop_ends_it(tmp_path: Path) -> None:
    stop = threading.Event()
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    with pytest.raises(Stopped):
        run(ENDING + "print('started', flush=True); time.sleep(1000)", tmp_path, stop=stop)
    timer.join()


def test_what_goes_wrong_in_a_reader_ends_the_process() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; print('x', flush=True); time.sleep(1000)"],
        stdout=subprocess.PIPE,
        bufsize=0,
    )

    def fail() -> bool:
        raise OSError(28, "No space left on device")

    assert process.stdout is not None
    bounds = Bounds(60, 1 << 40, lambda: False)
    with process.stdout, pytest.raises(OSError, match="No space left"):
        watch(process, {process.stdout.fileno(): fail}, bounds, threading.Event())
    assert process.returncode is not None


@pytest.mark.parametrize(
    ("limit", "wanted"),
    [
        (100, b"abcdefghij" * 3),
        (30, b"abcdefghij" * 3),
        (29, b"\n[cut at 29 of 30 bytes]\n"),
        (10, b"\n[cut at 1"),
        (0, b""),
    ],
)
def test_logs_are_cut_and_say_so(tmp_path: Path, limit: int, wanted: bytes) -> None:
    log = Log(tmp_path / "log", limit)
    for _ in range(3):
        log.write(b"abcdefghij")
    log.close()
    data = (tmp_path / "log").read_bytes()
    assert len(data) == min(limit, 30)
    assert data.endswith(wanted)


def test_growth_counts_only_when_the_disk_has_lost_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "folder" / "link").symlink_to("/")
    assert 100_000 <= size_of(tmp_path) < 200_000
    assert size_of(tmp_path / "absent") == 0
    free = iter([1000 * MIB, 1000 * MIB, 900 * MIB, 900 * MIB])
    monkeypatch.setattr(Growth, "_room", lambda _: next(free))
    growth = Growth(tmp_path, 50_000)
    assert not growth.too_large()
    assert growth.too_large()


def test_what_others_wrote_is_not_growth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    free = iter([1000 * MIB, 1 * MIB])
    monkeypatch.setattr(Growth, "_room", lambda _: next(free))
    assert not Growth(tmp_path, 50_000).too_large()


def test_descendants_are_found() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        assert process.pid in set(proc.descendants(os.getpid()))
        assert set(proc.descendants(process.pid)) == {process.pid}
        assert proc.memory_of(os.getpid()) > MIB
        assert proc.threads_of(os.getuid()) >= 2
        process.communicate(b"\n")
    assert proc.memory_of(process.pid) == 0
