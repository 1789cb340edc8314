"""Stopping from outside: a real process, a build that waits, real signals; and a real terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pexpect
import pytest

from orchestrator.cli.stopping import Interrupted, Stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# A build that says that it has begun, then waits for the wish to stop; for ever if it is deaf.
PROGRAM = """
import pathlib, sys, time
from orchestrator import build as building
from orchestrator.cli.main import main
from reproducibility.errors import Stopped

def build(options, observer, stop):
    observer.planned([(f"{n}/{a}", f"stage {n}", a) for n in range(12) for a in ("amd64", "arm64")])
    for n in range(4):
        observer.finished(f"{n}/amd64", cached=True, seconds=0)
        observer.finished(f"{n}/arm64", cached=n < 2, seconds=3)
    observer.started("4/amd64")
    observer.note("at work")
    pathlib.Path("begun").touch()
    while pathlib.Path("deaf").exists() or not stop.is_set():
        time.sleep(0.02)
    time.sleep(0.6)  # longer than the tree takes to be drawn again
    pathlib.Path("clean").touch()
    raise Stopped("stopped")

building.build = build
main()
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


@pytest.fixture
def start(program: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(program / "program.py"), "build", *arguments],
            cwd=program,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        wait_for(process, program / "begun")
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def environment() -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("HOME", "PATH") if key in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", "LANG": "C.UTF-8"}


def wait_for(process: subprocess.Popen[str], path: Path) -> None:
    """Wait until the process has made a file."""
    while not path.exists():
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"ended too early: {process.communicate()}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_cleanly_and_says_how_to_go_on(
    start: Callable[..., subprocess.Popen[str]], program: Path, number: signal.Signals
) -> None:
    process = start("--arch", "amd64")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert out == ""
    assert (program / "clean").exists()
    assert "stopping cleanly" in err
    assert "error: stopped" in err
    assert "orchestrate build --arch amd64" in err
    assert "Traceback" not in err


def test_a_stop_as_json(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("--json")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    found = json.loads(out)["error"]
    assert (found["kind"], found["status"]) == ("Stopped", 143)
    assert process.returncode == 143


def test_the_second_signal_interrupts_work_that_does_not_listen(
    start: Callable[..., subprocess.Popen[str]], program: Path
) -> None:
    (program / "deaf").touch()
    process = start()
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "stopping cleanly" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not (program / "clean").exists()


def test_a_signal_that_the_caller_ignores_stays_ignored(program: Path) -> None:
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from orchestrator.cli.stopping import Stopping\n"
        "with Stopping():\n"
        "    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN\n"
        "    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=program, env=environment())


def test_outside_long_work_the_first_signal_interrupts() -> None:
    def wait() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    with Stopping() as stopping, pytest.raises(Interrupted):
        wait()
    assert stopping.status == 143
    assert not stopping.worked
    assert not stopping.event.is_set()


def test_within_long_work_the_first_signal_only_sets_the_event() -> None:
    with Stopping() as stopping, stopping.gracefully(tell=False):
        os.kill(os.getpid(), signal.SIGINT)
        assert stopping.event.wait(60)
    assert stopping.status == 130


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Stopping():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


# -- on a terminal -------------------------------------------------------------------------------

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def terminal(program: Path) -> Iterator[pexpect.spawn[str]]:
    child = pexpect.spawn(
        sys.executable,
        [str(program / "program.py"), "build"],
        cwd=str(program),
        env=environment(),
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=60,
    )
    yield child
    child.close(force=True)


def test_the_tree_on_a_terminal(terminal: pexpect.spawn[str]) -> None:
    terminal.expect("at work")
    terminal.expect("9 of 24 steps|8 of 24 steps, 6 remembered")
    terminal.expect("stage 0 .*2 of 2, 2 remembered")
    terminal.expect("stage 4 .*0 of 2")
    terminal.expect("amd64 .* s")
    terminal.expect("stage 11 .*2 steps")
    terminal.sendintr()
    terminal.expect("stopping")
    terminal.expect("error:.*stopped")
    terminal.expect("orchestrate build")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130


def test_the_tree_stays_within_80_columns_and_24_lines(terminal: pexpect.spawn[str]) -> None:
    terminal.expect("stage 11")
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    shown = (terminal.before or "").partition("error:")[0]
    lines = _CONTROL.sub("", shown).replace("\r", "\n").splitlines()
    assert max(map(len, lines)) <= 80
    redrawn = [found[0].count("\x1b[1A") for found in re.finditer(r"(?:\x1b\[1A\x1b\[2K)+", shown)]
    assert redrawn
    assert max(redrawn) < 24


def test_no_tree_where_the_output_is_not_a_terminal(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    process = start()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert "\x1b[" not in err
    assert re.search(r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ started     stage 4 \(amd64\)$", err)


# -- before there is a command -----------------------------------------------------------------

# Runs the command line as the console script does. At the Nth import the process gets a signal.
EARLY = """
import os, sys
moment, number = int(sys.argv[1]), int(sys.argv[2])
sys.argv = ["orchestrate", *sys.argv[3:]]
import orchestrator.cli.entry
seen = 0
def look(event, arguments):
    global seen
    if event == "import":
        seen += 1
        if seen == moment:
            os.kill(os.getpid(), number)
sys.addaudithook(look)
try:
    orchestrator.cli.entry.main()
finally:
    if not moment:
        print(seen)
"""


def early(moment: int, number: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", EARLY, str(moment), str(number), *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_program_loads(number: signal.Signals) -> None:
    imports = int(early(0, number, "version", "-q").stdout)
    assert imports > 100
    # From what is imported first to the last of it, which is what the command itself needs.
    for moment in [*range(1, imports, imports // 14), imports]:
        done = early(moment, number, "version", "-q")
        said = "error: stopped\n  remedy: run it again: orchestrate version -q\n"
        assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", said), moment


def test_a_signal_while_the_program_loads_is_told_as_data_too() -> None:
    done = early(3, signal.SIGINT, "version", "--json")
    assert (done.returncode, done.stderr) == (130, "")
    assert json.loads(done.stdout)["error"]["summary"] == "stopped"


def test_a_signal_while_the_program_loads_wins_over_help() -> None:
    done = early(3, signal.SIGTERM, "--help")
    assert (done.returncode, done.stdout) == (143, "")
    assert done.stderr.startswith("error: stopped")


def test_the_program_listens_before_it_loads_anything() -> None:
    code = "import sys, orchestrator.cli.entry; print(len(sys.modules))"
    bare = "import sys, signal, typing, __future__; print(len(sys.modules))"
    counts = [
        int(subprocess.check_output([sys.executable, "-c", text], env=environment()))
        for text in (code, bare)
    ]
    assert counts[0] - counts[1] <= 4  # the package, its room and two modules


def test_signals_at_thirty_moments() -> None:
    """What comes before the first line of this program is Python's to tell, or the signal's end."""
    for moment in range(30):
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "doctor", "-q"],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(moment / 60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        if process.returncode == 130:
            assert err == "error: stopped\n  remedy: run it again: orchestrate doctor -q\n"
        elif process.returncode in {0, 4}:
            assert err == ""  # it was done already
        else:
            assert process.returncode in {1, -signal.SIGINT}
            # Of the command line nothing but what is loaded to listen at all.
            first = ("__init__", "entry", "signals")
            assert set(re.findall(r"orchestrator/cli/([\w/]+)\.py", err)) <= {*first}
        assert out == ""


def test_a_clean_up_cannot_swallow_an_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    class Swallowing:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(1000):
                pass

    def wait() -> None:
        Swallowing()
        while True:
            signal.pause()

    before = sys.unraisablehook
    with Stopping() as stopping, pytest.raises(Interrupted):
        wait()
    assert stopping.status == 143
    assert sys.unraisablehook == before
    assert capsys.readouterr().err == ""


AT_THE_END = """
import atexit, os, signal, sys
import orchestrator.cli.entry

class Last:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

sys.last = Last() if sys.argv[1] == "last" else None
if sys.argv[1] == "exit":
    atexit.register(os.kill, os.getpid(), signal.SIGINT)
sys.argv = ["orchestrate", "version", "--json"]
orchestrator.cli.entry.main()
"""


@pytest.mark.parametrize("when", ["exit", "last"])
def test_a_signal_when_the_answer_is_given_changes_nothing(when: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_END, when],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert json.loads(done.stdout)["schema"] == 1
    assert done.stderr == ""
    # Once the interpreter has put the kernel's own handling back, the signal ends what is left.
    assert done.returncode in ({0} if when == "exit" else {0, -signal.SIGINT})


def test_what_is_made_of_an_interruption_is_still_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from orchestrator.cli.main import run
    from orchestrator.cli.views import machine

    def wrapping(_session: object) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        except BaseException as error:
            raise RuntimeError("Error calling __set_name__") from error
        return 0

    monkeypatch.setattr(machine, "version", wrapping)
    assert run(["version"]) == 143
    assert capsys.readouterr().err.startswith("error: stopped\n")
