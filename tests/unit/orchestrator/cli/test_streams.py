"""Standard streams that are closed, full or read by nobody: the work is done, the status is true.

Each command of a table meets each state of each stream in a process of its own, forked from one
that has imported everything. A few more are started by a shell, as a person does it.
"""

from __future__ import annotations

import functools
import json
import os
import pty
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.store import Store
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "LANG": "C.UTF-8"}

# A build and a lock that touch a file when their work is done; all else is real.
FAKES = """
import os, pathlib, sys
from orchestrator import build as building
from orchestrator.cli.main import main
from orchestrator.cli.views import inputs
from orchestrator.inputs import resolve
from reproducibility.errors import ActionError
from tests import results

def build(options, observer, stop):
    observer.planned([("a", "A", "x"), ("b", "B", "x")])
    for name in "ab":
        observer.started(name)
        observer.note("a note " + "x" * 100_000)
        observer.finished(name, cached=False, seconds=1)
    os.open("opened", os.O_CREAT | os.O_WRONLY)
    pathlib.Path("done").touch()
    if options.jobs == 3:
        raise ActionError("a step failed")
    verdict = "FAIL" if options.jobs == 1 else "PASS"
    return building.Built(results.build_result(verdict=verdict, checks=[]), options.out)

building.build = build
"""
DRIVER = (
    FAKES
    + """
import gc, json
# So that each process need not.
import rich.markdown, typer.rich_utils
from orchestrator import store
from orchestrator.artifacts import finished
from orchestrator.cli.views import boot, build as _, compare, machine, run, store as _, write
from orchestrator.qemu import boot as _
from orchestrator.stick import writer
from reproducibility import canonical, manifest

def ended():
    # What the interpreter does at its end, without the time that it takes to take itself apart.
    try:
        main()
    except SystemExit as error:
        status = error.code
    except BaseException as error:
        sys.excepthook(type(error), error, None)
        status = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream is None or stream.flush()
        except (OSError, ValueError):
            status = 120
    return status

def state(descriptor, what, folder):
    if what == "closed":
        os.close(descriptor)
        setattr(sys, ("stdin", "stdout", "stderr")[descriptor], None)
        return
    if what == "gone":
        reading, writing = os.pipe()
        os.close(reading)
    elif what == "full":
        writing = os.open("/dev/full", os.O_WRONLY)
    else:
        writing = os.open(f"{folder}/{descriptor}", os.O_CREAT | os.O_WRONLY)
    os.dup2(writing, descriptor)
    os.close(writing)

# What is there is there for good, and each process would copy what it marks.
gc.collect()
gc.freeze()
for line in sys.stdin:
    case = json.loads(line)
    folder = case["folder"]
    os.makedirs(folder)
    pid = os.fork()
    if not pid:
        os.chdir(folder)
        sys.argv = ["orchestrate", *case["command"]]
        for descriptor in (1, 2):
            state(descriptor, case["streams"][descriptor], folder)
        if case["streams"][0] == "closed":
            state(0, "closed", folder)
        os._exit(ended())
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps(status), flush=True)
"""
)

# Name -> (command line, exit status where all streams are well).
COMMANDS: dict[str, tuple[str, int]] = {
    "version": ("version", 0),
    "version as data": ("version --json", 0),
    "help": ("--help", 0),
    "help of a command": ("build --help", 0),
    "no arguments": ("", 2),
    "bad usage": ("bild", 2),
    "bad usage as data": ("build --json --jobs many", 2),
    "build": ("build", 0),
    "build as data": ("build --json", 0),
    "build, every step": ("build --verbose", 0),
    "build that compares and fails": ("build --json --jobs 1", 1),
    "build whose step fails": ("build --jobs 3", 3),
    "build whose step fails, as data": ("build --json --jobs 3", 3),
    "compare, the same": ("compare {here}/one {here}/one", 0),
    "compare, different": ("compare {here}/one {here}/two --json", 1),
    "compare, nothing there": ("compare {here}/none {here}/one", 2),
    "store size": ("store size --store {here}/store", 0),
    "store verify": ("store verify --store {here}/store --json", 0),
    "store gc": ("store gc --store {here}/store", 0),
    "lock, no spec": ("lock --json", 2),
    "run, no build": ("run amd64 --json -- ls", 2),
    "boot, no build": ("boot", 2),
    "write, no build": ("write {here}/one --yes", 2),
}
# Commands that end in each of the ways; the others say more of the same, in code that they share.
_EVERYWHERE = {
    *("version", "bad usage", "build", "build that compares and fails", "compare, different"),
    *("build as data", "build, every step", "build whose step fails, as data", "store gc"),
}
NAMES = [
    name if name in _EVERYWHERE else pytest.param(name, marks=pytest.mark.once) for name in COMMANDS
]
BROKEN = ("closed", "full", "gone")
NOBODY = [("closed", "closed", "closed"), ("well", "full", "full"), ("well", "gone", "gone")]
STATES = [
    ("well", "well", "well"),
    ("closed", "well", "well"),
    *(("well", state, "well") for state in BROKEN),
    *(("well", "well", state) for state in BROKEN),
    *NOBODY,
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    for name in ("one", "two"):
        (folder / name).write_text(name)
    with closing(Store(folder / "store")) as store:
        store.put_bytes(b"kept")
    return folder


@pytest.fixture(scope="module")
def outcome(place: Path) -> Iterator[Callable[[str, tuple[str, str, str]], tuple[int, Path]]]:
    """Run a command with streams in given states, once; its exit status and folder."""
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as driver:

        def run(name: str, streams: tuple[str, str, str]) -> tuple[int, Path]:
            assert driver.stdin is not None
            assert driver.stdout is not None
            folder = place / "-".join((name, *streams)).replace(" ", "-")
            command = COMMANDS[name][0].format(here=place).split()
            case = {"folder": str(folder), "command": command, "streams": streams}
            driver.stdin.write(json.dumps(case) + "\n")
            driver.stdin.flush()
            return json.loads(driver.stdout.readline()), folder

        @functools.cache
        def every(name: str) -> dict[tuple[str, str, str], tuple[int, Path]]:
            # All at once: another command may change what this one finds.
            return {streams: run(name, streams) for streams in STATES}

        def told(name: str, streams: tuple[str, str, str]) -> tuple[int, Path]:
            return every(name)[streams]

        yield told


Outcome = Any


@pytest.mark.parametrize("name", NAMES)
def test_with_streams_that_work(outcome: Outcome, name: str) -> None:
    for streams in (("well", "well", "well"), ("closed", "well", "well")):
        status, folder = outcome(name, streams)
        assert status == COMMANDS[name][1], (folder / "2").read_text()
        told = (folder / "1").read_text() + (folder / "2").read_text()
        assert told
        assert "Traceback" not in told


@pytest.mark.parametrize("state", BROKEN)
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_cannot_be_written(outcome: Outcome, name: str, state: str) -> None:
    expected = COMMANDS[name][1]
    status, folder = outcome(name, ("well", state, "well"))
    told = (folder / "2").read_text()
    assert "Traceback" not in told
    assert "Exception ignored" not in told
    assert "mistake" not in told
    if expected in {0, 1}:
        assert status == (141 if state == "gone" else 4)
        assert ("the answer could not be written" in told) == (state != "gone")
        if state != "gone" and expected == 1:
            assert "a comparison failed" in told
    else:
        assert status == expected
        assert "error: " in told or not COMMANDS[name][0]


@pytest.mark.parametrize("state", BROKEN)
@pytest.mark.parametrize("name", NAMES)
def test_errors_that_cannot_be_written(outcome: Outcome, name: str, state: str) -> None:
    status, folder = outcome(name, ("well", "well", state))
    assert status == COMMANDS[name][1]
    _, well = outcome(name, ("well", "well", "well"))
    if "gc" not in name and "--help" not in COMMANDS[name][0]:
        texts = [(one / "1").read_text().replace(str(one), "/here") for one in (folder, well)]
        assert texts[0] == texts[1]


@pytest.mark.parametrize("streams", NOBODY)
@pytest.mark.parametrize("name", NAMES)
def test_nobody_hears_anything(outcome: Outcome, name: str, streams: tuple[str, str, str]) -> None:
    status, _ = outcome(name, streams)
    expected = COMMANDS[name][1]
    assert status == (expected if expected > 1 else 141 if streams[1] == "gone" else 4)


@pytest.mark.parametrize("streams", STATES)
def test_the_work_is_done_and_no_file_becomes_a_standard_stream(
    outcome: Outcome, streams: tuple[str, str, str]
) -> None:
    for name in ("build", "build as data", "build, every step"):
        _, folder = outcome(name, streams)
        assert (folder / "done").exists()
        assert (folder / "opened").read_bytes() == b""


def test_a_quiet_command_loses_nothing(tmp_path: Path) -> None:
    for redirection in (">&-", ">/dev/full", ">&- 2>&- <&-"):
        done = shell(f'"$0" -m orchestrator version --quiet {redirection}', tmp_path)
        assert (done.returncode, done.stderr) == (0, "")


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", line, sys.executable],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("version >&-", 4, "it is closed"),
        ("version --json >/dev/full", 4, "No space left on device"),
        ("--help >/dev/full", 4, "No space left on device"),
        ("version >&- 2>&- <&-", 4, ""),
        ("version 2>&-", 0, ""),
        ("bild 2>/dev/full", 2, ""),
        ("bild <&- >&-", 2, "error: "),
    ],
)
def test_as_a_shell_gives_them(tmp_path: Path, line: str, status: int, words: str) -> None:
    done = shell(f'"$0" -m orchestrator {line}', tmp_path)
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr


_DIFFERING = 800


def two_folders(place: Path) -> None:
    """Folders whose differences take three times the room that a pipe has."""
    for name in ("one", "two"):
        (place / name).mkdir()
        for number in range(_DIFFERING):
            (place / name / f"{number:04}-{'x' * 240}").write_text(name)


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    two_folders(tmp_path)
    line = '("$0" -m orchestrator compare -v one two; echo $? >status) | head -n 1'
    done = shell(line, tmp_path)
    assert done.stdout.startswith("FAIL")
    assert done.stderr == ""
    assert (tmp_path / "status").read_text() == "141\n"


def test_a_standard_output_that_does_not_wait(tmp_path: Path) -> None:
    # Such as a terminal that another program has left non-blocking.
    two_folders(tmp_path)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "compare", "-v", "one", "two"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (1, b"")
    assert sum(b": blake3 " in line for line in said.splitlines()) == _DIFFERING
    # Every byte of it: what a file gets, which takes all at once.
    with (tmp_path / "said").open("wb") as sink:
        subprocess.run(
            [sys.executable, "-m", "orchestrator", "compare", "-v", "one", "two"],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=sink,
            check=False,
        )
    assert said == (tmp_path / "said").read_bytes()
    assert len(said) > 3 * 65_536


def test_a_terminal_that_goes_away_does_not_stop_the_work(tmp_path: Path) -> None:
    program = FAKES + (
        "import time\n"
        "fake = building.build\n"
        "def slow(options, observer, stop):\n"
        "    sys.stdin.readline()\n"
        "    time.sleep(0.6)  # longer than the tree takes to be drawn again\n"
        "    return fake(options, observer, stop)\n"
        "building.build = slow\n"
        "sys.argv = ['orchestrate', 'build', '--json']\n"
        "main()\n"
    )
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=slave,
    )
    os.close(slave)
    assert b"orchestrate build" in os.read(master, 4096) + os.read(master, 4096)
    os.close(master)
    out, _ = process.communicate(b"go on\n", timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["verdict"] == "PASS"
    assert (tmp_path / "done").exists()
