"""One loop sees the end of a process, its output, its clock, its memory and the wish to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from containers.sandbox import supervise
from containers.sandbox.supervise import (
    Bounds,
    Ended,
    EndedBy,
    Log,
    watch,
)
from reproducibility.errors import InfrastructureError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENDING = "import os, signal, time; signal.signal(signal.SIGTERM, lambda *_: os._exit(3)); "


def run(  # noqa: PLR0913 - each a bound of its own
    program: str,
    folder: Path,
    *,
    seconds: float = 60,
    exceeded: Callable[[int], EndedBy] = lambda _: "",
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
        return watch(process, readers, Bounds(seconds, exceeded), stop or threading.Event())


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


@pytest.mark.parametrize("limit", ["memory", "work", "tmp", "files"])
def test_what_is_exceeded_ends_it(tmp_path: Path, limit: EndedBy) -> None:
    seen = []

    def exceeded(pid: int) -> EndedBy:
        seen.append(pid)
        return limit

    ended = run(ENDING + "time.sleep(1000)", tmp_path, exceeded=exceeded)
    assert ended.ended_by == limit
    assert seen
    assert seen[0] != os.getpid()


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
    bounds = Bounds(60, lambda _: "")
    with process.stdout, pytest.raises(OSError, match="No space left"):
        watch(process, {process.stdout.fileno(): fail}, bounds, threading.Event())
    assert process.returncode is not None


def test_output_that_does_not_end_with_the_process_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "_DRAIN", 0.3)
    program = (
        "import os, time; pid = os.fork(); "
        "time.sleep(60) if not pid else print(pid, flush=True); os._exit(0)"
    )
    with pytest.raises(InfrastructureError, match="did not come to its end") as told:
        run(program, tmp_path)
    assert told.value.remedy
    os.kill(int((tmp_path / "out").read_text()), signal.SIGKILL)


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
    assert log.cut == (limit < 30)
    data = (tmp_path / "log").read_bytes()
    assert len(data) == min(limit, 30)
    assert data.endswith(wanted)
