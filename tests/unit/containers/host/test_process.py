"""Running programs: nothing inherited, nothing left behind, failures that can be replayed."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from containers.host import process
from reproducibility.errors import InfrastructureError, Stopped
from tests.conftest import examples

SHELL = "/bin/sh"
# Printable, and without what a shell could not take in an argument.
WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)


def shell(script: str, **options: object) -> process.Completed:
    return process.run([SHELL, "-c", script], environment={"PATH": "/usr/bin:/bin"}, **options)  # type: ignore[arg-type]


def test_gives_what_a_program_wrote() -> None:
    completed = shell("echo out; echo err >&2; exit 0")
    assert completed == process.Completed(0, b"out\n", b"err\n")


def test_more_output_than_a_pipe_holds_is_no_trouble() -> None:
    assert len(shell("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2").stdout) == 300_000


def test_the_environment_is_made_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOFLAGS", "-race")
    completed = process.run(
        [sys.executable, "-c", "import os; print(sorted(os.environ))"],
        environment={"A": "1", "LC_CTYPE": "C.UTF-8"},
    )
    assert completed.stdout == b"['A', 'LC_CTYPE']\n"


def test_standard_input_is_closed() -> None:
    assert shell("cat").stdout == b""


def test_starts_in_the_wanted_directory(tmp_path: Path) -> None:
    assert shell("pwd", directory=tmp_path).stdout.decode().strip() == str(tmp_path)


def test_a_failure_says_what_failed_and_how_to_do_it_again(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="exit status 3: no such module") as caught:
        shell("echo no such module >&2; exit 3", directory=tmp_path)
    again = subprocess.run(
        [SHELL, "-c", caught.value.subject], capture_output=True, check=False, cwd="/"
    )
    assert (again.returncode, again.stderr) == (3, b"no such module\n")
    start = f"mkdir -p {tmp_path} && cd {tmp_path} && env -i PATH="
    assert caught.value.subject.startswith(start)


def test_a_failure_can_be_the_callers_to_judge() -> None:
    assert shell("echo out; exit 3", check=False) == process.Completed(3, b"out\n", b"")


def test_a_signal_is_told_as_shells_do() -> None:
    assert shell("kill -KILL $$", check=False).status == 128 + signal.SIGKILL


def test_only_the_end_of_long_errors_is_shown() -> None:
    with pytest.raises(InfrastructureError) as caught:
        shell("echo first; head -c 100000 /dev/zero | tr '\\0' x >&2; echo last >&2; exit 1")
    assert "last" in caught.value.summary
    assert len(caught.value.summary) < 5000


def test_no_part_of_a_password_is_left_by_a_cut() -> None:
    # The last of what it wrote starts in the middle of the password.
    written = "https://me:" + "s3cret" * 50 + "@host/"
    program = f"import sys; sys.stderr.write({written!r} + 'x' * 3800); sys.exit(1)"
    with pytest.raises(InfrastructureError) as caught:
        process.run([sys.executable, "-c", program], environment={})
    assert "xxx" in caught.value.summary
    assert "s3cret" not in caught.value.summary
    command = [sys.executable, "-c", "input()", "0" * 100, written]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as waiting:
        with pytest.raises(InfrastructureError, match="still running") as late:
            process.wait(waiting, seconds=0, stop=None)
        waiting.communicate(b"\n")
    assert "s3cret" not in late.value.summary


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="cannot start") as caught:
        process.run([str(tmp_path / "none"), "a b"], environment={})
    assert caught.value.subject == f"env -i {tmp_path}/none 'a b'"


def test_find_says_what_for_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Path(process.find("sh", reason="to test", remedy="install it")).is_absolute()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InfrastructureError, match="needed to test") as caught:
        process.find("sh", reason="to test", remedy="install it")
    assert (caught.value.subject, caught.value.remedy) == ("sh", "install it")


@settings(max_examples=examples(30))
@given(
    st.lists(WORDS, max_size=3),
    st.dictionaries(st.from_regex(r"X[A-Z0-9_]{0,3}|TMPDIR|TZ", fullmatch=True), WORDS, max_size=3),
)
def test_a_replayable_line_means_the_same(words: list[str], variables: dict[str, str]) -> None:
    command = [SHELL, "-c", 'printf "<%s>" "$@"; printf "\\0"; /usr/bin/env -0', "show", *words]
    wanted = process.run(command, environment=variables).stdout
    assert all(f"<{word}>".encode() in wanted for word in words)
    line = process.replayable(command, variables, None)
    caller = {**variables, "NOT_ITS_OWN": "x"}
    found = subprocess.run([SHELL, "-c", line], env=caller, capture_output=True, check=True).stdout
    assert sorted(found.split(b"\0")) == sorted(wanted.split(b"\0"))


# -- ending ----------------------------------------------------------------------------------------

# A program with a child, neither of which does what it is asked; it says who they are. The child
# holds a pipe open whose end shows that it is gone.
_STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    time.sleep(600)
with open(sys.argv[1], "w") as ready:
    ready.write("ready")
time.sleep(600)
"""
# A program that ends when asked, and whose child does not.
_HALF = _STUBBORN.replace("with open", "signal.signal(signal.SIGTERM, signal.SIG_DFL)\nwith open")


class Group:
    """A running program, and whether any process of its group is left."""

    def __init__(self, code: str, tmp_path: Path) -> None:
        self._read, write = os.pipe()
        self._fifo = tmp_path / "ready"
        os.mkfifo(self._fifo)
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", code, str(self._fifo)],
            pass_fds=[write],
            start_new_session=True,
        )
        os.close(write)
        assert self._fifo.read_text() == "ready"

    def wait_until_gone(self) -> None:
        """Returns when the last process of the group has ended."""
        ready, _, _ = select.select([self._read], [], [], 60)
        assert ready, "a process of the group is left"
        assert os.read(self._read, 1) == b""
        os.close(self._read)


@pytest.mark.parametrize("code", [_STUBBORN, _HALF])
def test_ending_ends_the_whole_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(process, "_GRACE", 0.1)
    group = Group(code, tmp_path)
    process.end(group.process)
    group.wait_until_gone()
    assert group.process.returncode in {-signal.SIGKILL, -signal.SIGTERM}
    process.end(group.process)


def test_a_program_that_takes_too_long_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_GRACE", 0.1)
    with pytest.raises(InfrastructureError, match="still running after 0 s and was ended"):
        shell("trap '' TERM; sleep 600 & echo $! >pid; wait", directory=tmp_path, seconds=0.3)
    assert _ended(int((tmp_path / "pid").read_text()))


def test_a_program_is_ended_when_the_person_stops(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(Stopped):
        shell("sleep 600 & echo $! >pid; wait", directory=tmp_path, stop=stop)
    assert _ended(int((tmp_path / "pid").read_text()))


def _ended(number: int) -> bool:
    """Whether a process is gone soon, or only waits for its parent to take note."""
    for _ in range(1000):
        try:
            state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in {"Z", "X"}:
            return True
        time.sleep(0.01)
    return False


# Begins when the bounds hold: they are set when a program has begun.
GREEDY = """
import resource, sys, time
while resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY:
    time.sleep(0.01)
if sys.argv[1] == "file":
    with open("file", "wb") as file:
        file.write(bytes(4 << 20))
elif sys.argv[1] == "output":
    sys.stdout.write("x" * (4 << 20))
else:
    bytearray(1 << 30)
"""
WAITS = 'while [ "$(ulimit -d)" = unlimited ]; do sleep 0.01; done; "$@"'


@pytest.mark.parametrize(
    ("what", "said"),
    [("file", b"File too large"), ("output", b"File too large"), ("memory", b"MemoryError")],
)
@pytest.mark.parametrize("within", [[], [SHELL, "-c", WAITS, "sh"]], ids=["itself", "child"])
def test_a_program_and_its_children_stay_within_bounds(
    tmp_path: Path, what: str, said: bytes, within: list[str]
) -> None:
    bounds = process.Bounds(largest=1 << 20, memory=256 << 20)
    done = process.run(
        [*within, sys.executable, "-c", GREEDY, what],
        environment={"PATH": "/usr/bin:/bin"},
        directory=tmp_path,
        check=False,
        bounds=bounds,
    )
    assert done.status != 0
    assert said in done.stderr
    assert all(path.stat().st_size <= bounds.largest for path in tmp_path.iterdir())
    assert len(done.stdout) <= bounds.largest


def test_bounds_never_give_more_than_there_is() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    asks = "import resource; print(resource.getrlimit(resource.RLIMIT_FSIZE)[0])"
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, hard))
    try:
        bounds = process.Bounds(largest=2 << 30, memory=8 << 30)
        done = process.run([sys.executable, "-c", asks], environment={}, bounds=bounds)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert int(done.stdout) == 1 << 30


def test_a_program_that_ends_at_once_is_no_trouble() -> None:
    bounds = process.Bounds(largest=1 << 20, memory=256 << 20)
    for _ in range(20):
        assert process.run(["/bin/true"], environment={}, bounds=bounds).status == 0


def test_a_program_reads_what_it_is_given_and_nothing_else() -> None:
    large = b"x" * 300_000
    assert shell("cat", given=large).stdout == large
    assert shell("cat").stdout == b""
    assert shell("exit 0", given=large).status == 0
