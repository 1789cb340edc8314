"""`orchestrate run`: the root of a build on this machine, as its commands see it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest

from orchestrator.golang import environment
from tests.conftest import ROOT
from tests.integration import building
from tests.integration.building import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.building import Orchestrate
    from tests.integration.conftest import Built

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]

_PATIENCE = 300
_USER = 4242


@dataclass(frozen=True)
class Device:
    """Runs commands in the root of a build."""

    out: Path
    store: Path
    prefix: tuple[str, ...] = ()

    def line(
        self, *command: str, architecture: str = HOST, options: tuple[str, ...] = ()
    ) -> list[str]:
        where = ["--out", str(self.out), "--store", str(self.store), *options]
        program = [*self.prefix, sys.executable, "-m", "orchestrator"]
        return [*program, "run", architecture, *where, "--", *command]

    def run(
        self,
        *command: str,
        given: str = "",
        architecture: str = HOST,
        options: tuple[str, ...] = (),
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.line(*command, architecture=architecture, options=options),
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
            env={**os.environ, "PYTHONPATH": str(ROOT), "GOFLAGS": "-wrong", "SECRET": "x"},
            start_new_session=True,
        )

    def shell(self, script: str) -> str:
        """Output of a script that ends well."""
        done = self.run("gosh", "-c", script)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def stick(full: Built, orchestrate: Orchestrate) -> Device:
    return Device(full.out, orchestrate.store)


def test_streams_arguments_and_exit_status(stick: Device) -> None:
    done = stick.run("gosh", "-c", "cat; echo 'a  b|' >&2; exit 7", given="in\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, "in\n", "a  b|\n")
    assert stick.run("echo", "a  b", "", "c").stdout == "a  b  c\n"


def test_a_stub_is_compiled_once(stick: Device) -> None:
    said = stick.shell("ls /bin; echo one; echo two; ls /bin")
    first, second = said.split("one\ntwo\n")
    assert "echo" not in first.split()
    assert "gosh" in first.split()
    assert "ls" in second.split()


def test_the_environment_is_the_stick_s(stick: Device) -> None:
    text = stick.shell("cat /proc/self/environ")
    found = dict(pair.split("=", 1) for pair in text.split("\0") if pair)
    wanted = environment.device(HOST)
    assert {key: found.get(key) for key in wanted} == wanted
    # What a shell sets by itself.
    assert set(found) - set(wanted) <= {"PWD", "OLDPWD", "UID", "EUID", "GID", "IFS", "OPTIND"}


def test_the_root_is_read_only_and_memory_is_not(stick: Device) -> None:
    for place in ("/x", "/src/x", "/go/x", "/linux_amd64/bin/x", "/mnt/x"):
        done = stick.run("gosh", "-c", f"echo > {place}")
        assert done.returncode != 0
        assert "read-only" in done.stderr
    stick.shell("for at in /bin /tmp /run /root /etc /dev/shm; do echo > $at/x; done")


def test_the_root_cannot_be_made_writable(stick: Device) -> None:
    """Root in the namespaces may mount, as on the device; it may not undo what holds it."""
    said = stick.run(
        "gosh", "-c", "mount -t tmpfs none /mnt && echo mounted > /mnt/x && cat /mnt/x"
    )
    assert said.stdout == "mounted\n", said.stderr
    program = (
        'package main\nimport ("fmt"; "syscall")\nfunc main() {\n'
        'fmt.Println(syscall.Mount("", "/", "", 32, "")); '
        'fmt.Println(syscall.Mount("", "/", "", 32|4096, "")); '
        'fmt.Println(syscall.Unmount("/bin", 2))\n}\n'
    )
    script = "cd /tmp && cat > m.go && go build -o m m.go && ./m; echo > /src/x"
    done = stick.run("gosh", "-c", script, given=program)
    first, second, taken_off = done.stdout.splitlines()
    assert (first, second) == ("operation not permitted",) * 2
    # umount(2): EINVAL for a mount that is locked, and for one that is not there.
    assert taken_off == "invalid argument"
    assert "read-only" in done.stderr


def test_go_works_as_typed_by_hand(stick: Device) -> None:
    program = 'package main\nfunc main() { println("typed by hand") }\n'
    script = "mkdir /tmp/m && cd /tmp/m && cat > main.go && gofmt -l . && go run main.go"
    done = stick.run("gosh", "-c", script, given=program)
    assert (done.returncode, done.stderr) == (0, "typed by hand\n")


def test_there_is_no_network_and_no_other_process(stick: Device) -> None:
    lines = stick.shell("cat /proc/net/dev").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in lines] == ["lo"]
    said = stick.shell("echo /proc/[0-9]*; cat /proc/sys/kernel/hostname").split("\n")
    # The first process, the command, and what that starts. Threads have numbers too, so on a busy
    # machine there are gaps.
    seen = said[0].split()
    assert seen[0] == "/proc/1"
    assert len(seen) <= 3
    assert said[1] == "sourcery"


def test_settings_of_the_machine_cannot_be_written(stick: Device) -> None:
    done = stick.run("gosh", "-c", "echo x > /proc/sys/kernel/core_pattern")
    assert done.returncode != 0
    assert "permission denied" in done.stderr


def test_the_first_process_cannot_be_opened(stick: Device) -> None:
    """It is a program of this machine, though it has the command's user namespace."""
    for name in ("exe", "mem", "maps", "environ", "root/bin/gosh"):
        done = stick.run("gosh", "-c", f"cat /proc/1/{name} > /tmp/x || cat /proc/1/comm")
        assert "permission denied" in done.stderr, name
        assert done.stdout.startswith("python"), name


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("no-such-command", 127, "no such command"),
        ("/no/such/command", 127, "no such command"),
        ("n" * 300, 127, "no such command"),
        ("/" + "n" * 300, 126, "File name too long"),
        ("/src", 126, "Permission denied"),
    ],
)
def test_what_cannot_be_run(stick: Device, command: str, status: int, said: str) -> None:
    done = stick.run(command)
    assert done.returncode == status
    assert said in done.stderr


def test_the_outcome_as_json(stick: Device) -> None:
    done = stick.run("gosh", "-c", "echo said; exit 3", options=("--json",))
    assert done.returncode == 3
    assert done.stderr == "said\n"
    assert '"status": 3' in done.stdout


def test_an_architecture_that_was_not_built(own_architecture: Built, stick: Device) -> None:
    other = next(name for name in building.ARCHITECTURES if name != HOST)
    narrow = Device(own_architecture.out, stick.store)
    done = narrow.run("true", architecture=other)
    assert done.returncode == 2
    assert f"the build has no {other}" in done.stderr


def ready(stick: Device, script: str) -> subprocess.Popen[bytes]:
    """A shell's script that goes on, once it has said so."""
    process = subprocess.Popen(
        stick.line("gosh", "-c", script),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_command_and_nothing_is_left(stick: Device, number: int) -> None:
    process = ready(stick, "echo ready; sleep 1000 & sleep 2000")
    below = building.descendants(process.pid)
    assert len(below) >= 3
    process.send_signal(number)
    assert process.wait(_PATIENCE) != 0
    process.communicate()
    building.check_gone(below)


def test_a_killed_orchestrator_leaves_nothing(stick: Device) -> None:
    process = ready(stick, "echo ready; sleep 1000")
    below = building.descendants(process.pid)
    process.kill()
    process.wait()
    process.communicate()
    building.check_gone(below)


# -- a terminal ------------------------------------------------------------------------------------


@pytest.fixture
def terminal(stick: Device) -> Iterator[pexpect.spawn[str]]:
    line = stick.line(
        "gosh", "-c", "stty; echo ready; sleep 1000; echo status $?; read x; echo got $x"
    )
    child = pexpect.spawn(
        line[0],
        line[1:],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        encoding="utf-8",
        timeout=_PATIENCE,
        dimensions=(33, 77),
    )
    yield child
    child.close(force=True)


def test_ctrl_c_ends_the_command_not_the_shell(terminal: pexpect.spawn[str]) -> None:
    terminal.expect("rows:33 cols:77")
    terminal.expect("ready")
    # What is typed is echoed by the command's terminal only: ours is raw.
    deadline = time.monotonic() + _PATIENCE
    while "sleep" not in _programs(terminal.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    terminal.send("\x03")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130


def _programs(pid: int | None) -> set[str]:
    assert pid is not None
    found = set()
    for child in building.descendants(pid):
        try:
            found.add(Path(f"/proc/{child}/comm").read_text("utf-8").strip())
        except OSError:
            continue
    return found


def test_the_callers_terminal_is_as_it_was(stick: Device) -> None:
    """And never the command's own: it cannot push input into it."""
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    process = subprocess.Popen(
        stick.line("gosh", "-c", "stty raw; echo $TERM; ls -l /proc/self/fd/0"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "vt100"},
        start_new_session=True,
    )
    said = bytearray()
    while process.poll() is None:
        if select.select([master], [], [], 0.1)[0]:
            said += os.read(master, 4096)
    assert process.wait() == 0, said
    assert b"vt100" in said
    assert os.ttyname(slave).encode() not in said
    assert termios.tcgetattr(slave) == before
    os.close(slave)
    os.close(master)


@pytest.mark.parametrize("place", ["stdin", "stdout", "stderr"])
def test_a_terminal_in_a_pipeline_is_never_the_command_s(stick: Device, place: str) -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    number = ["stdin", "stdout", "stderr"].index(place)
    # Process 2 is the shell, whose streams are as they were given.
    script = f"ls -l /proc/2/fd/{number} > /tmp/x; cat /tmp/x; cat /tmp/x >&2; stty raw < /dev/tty"
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(
        stick.line("gosh", "-c", script),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        **{**streams, place: slave},  # type: ignore[call-overload]
    )
    said = b"".join(piece for piece in process.communicate(timeout=_PATIENCE) if piece)
    assert process.returncode == 0, said
    # A terminal, and another one than the caller's.
    assert b"/dev/pts/" in said
    assert os.ttyname(slave).encode() + b"\n" not in said
    assert termios.tcgetattr(slave) == before
    os.close(slave)
    os.close(master)


# -- somebody else ---------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="is an ordinary user already")
def test_an_ordinary_user_runs_it_from_the_archive(small_own: Built, place: Path) -> None:
    """In a store of the user's own, that the archive is unpacked into."""
    store = place / "store"
    store.mkdir()
    os.chown(store, _USER, _USER)
    helper = Path(__file__).with_name("as_ordinary_user.py")
    seen = (str(ROOT), sys.prefix, sys.base_prefix, str(small_own.out), str(store))
    prefix = (sys.executable, str(helper), str(_USER), *seen, "--")
    theirs = Device(small_own.out, store, prefix)
    done = theirs.run("2fa", "work")
    assert done.returncode == 1, done
    assert 'no such key "work"' in done.stderr
    done = theirs.run("go", "build", "-o", "/src/x", "cmd/nm")
    assert done.returncode != 0
    assert "read-only file system" in done.stderr
