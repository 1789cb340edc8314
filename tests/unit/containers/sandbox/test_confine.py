"""The launcher by itself: how it copies, in which order, and how it says that it failed."""

from __future__ import annotations

import marshal
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from containers.architecture import LINUX, host
from containers.host import standalone, system
from containers.sandbox import capability, confine

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[4]
_LINUX = LINUX[host()]
# Stands in for bubblewrap: runs the command.
BWRAP = Path(__file__).with_name("bwrap.sh")


def source(folder: Path) -> Path:
    tree = folder / "source"
    (tree / "sub" / "empty").mkdir(parents=True)
    (tree / "file").write_text("file")
    (tree / "sub" / "program").write_text("program")
    (tree / "file").chmod(0o444)
    (tree / "sub" / "program").chmod(0o555)
    return tree


def modes(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(folder)): (
            f"{path.stat().st_mode & 0o777:o}",
            int(path.stat().st_mtime),
        )
        for path in folder.rglob("*")
    }


def test_a_private_copy_can_be_written(tmp_path: Path) -> None:
    confine.copy_tree(str(source(tmp_path)), str(tmp_path / "copy"), 0, 1000, writable=True)
    assert modes(tmp_path / "copy") == {
        "file": ("644", 1000),
        "sub": ("755", 1000),
        "sub/empty": ("755", 1000),
        "sub/program": ("755", 1000),
    }
    assert (tmp_path / "copy" / "sub" / "program").read_text() == "program"


def test_a_shuffled_copy_keeps_the_modes(tmp_path: Path) -> None:
    tree = source(tmp_path)
    confine.copy_tree(str(tree), str(tmp_path / "copy"), 5, 1000, writable=False)
    found = modes(tmp_path / "copy")
    assert found["file"] == ("444", 1000)
    assert found["sub/program"] == ("555", 1000)
    assert found["sub"][1] == 1000


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    tree = source(tmp_path)
    (tree / "link").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        confine.copy_tree(str(tree), str(tmp_path / "copy"), 0, 0, writable=True)


def test_the_order_is_a_permutation_that_depends_on_the_seed() -> None:
    names = [f"name-{number}" for number in range(50)]
    orders = [
        tuple(sorted(names, key=lambda name: confine.order_key(name, seed))) for seed in range(6)
    ]
    assert list(orders[0]) == sorted(names)
    assert len(set(orders)) == 6
    assert all(sorted(order) == sorted(names) for order in orders)


def launch(
    around: Sequence[str] = (),
    **changes: Any,  # noqa: ANN401 - parts of a request
) -> tuple[int, dict[str, Any], bytes]:
    """Run the launcher, `around` it a program; exit status, what it reported, standard error."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reading, writing = os.pipe()
    with ours, theirs, os.fdopen(reading, "rb"), os.fdopen(writing, "wb"):
        request = {
            "parent": os.getpid(),
            "users": None,
            "cgroups": [],
            "exits": [],
            "cpus": [],
            "limits": {"RLIMIT_CORE": 0},
            "sources": [],
            "views": False,
            "copies": [],
            "directories": [],
            "tmpfs": None,
            "shuffled": [],
            "order_seed": 0,
            "epoch": 0,
            "domain": "",
            "umask": 0o022,
            "personality": 0,
            "stdin": "",
            "work": "/nonexistent",
            "program": str(BWRAP),
            "keyctl": _LINUX.keyctl,
            "rt_sigaction": _LINUX.rt_sigaction,
            "filter": "06000000",
            "options": [],
            "command": ["/bin/sh", "-c", "exit 7"],
            "report": theirs.fileno(),
            "status": writing,
            **changes,
        }
        ours.send(b"go")
        done = subprocess.run(
            [*around, *standalone.command(confine.__name__)],
            input=marshal.dumps(request),
            capture_output=True,
            pass_fds=(theirs.fileno(), writing),
            check=False,
            timeout=60,
        )
        theirs.close()
        reports: dict[str, Any] = {}
        while data := ours.recv(1 << 16):
            kind, _, value = data.decode().partition(" ")
            reports[kind] = int(value) if kind == "largest" else value
    return done.returncode, reports, done.stderr


def test_it_passes_on_the_exit_status_and_measures_memory() -> None:
    status, reports, words = launch()
    assert (status, words) == (7, b"")
    assert reports.keys() == {"largest"}
    assert reports["largest"] > 100_000


def test_it_ends_what_its_command_leaves_behind() -> None:
    status, _, _ = launch(command=["/bin/sh", "-c", "sleep 1000 & echo; exit 0"])
    assert status == 0


def test_signals_that_python_ignores_are_not_ignored_by_the_command() -> None:
    status, _, words = launch(command=["/bin/sh", "-c", "kill -PIPE $$"])
    assert (status, words) == (128 + 13, b"")


def test_an_action_is_ended_first_where_memory_runs_out() -> None:
    status, _, words = launch(
        command=["/bin/sh", "-c", "test $(cat /proc/self/oom_score_adj) = 1000"]
    )
    assert (status, words) == (0, b"")


def test_what_is_asked_for_holds_for_the_command() -> None:
    shown = 'test "$(umask)" = 0077 && test "$(cat)" = "a line" && test -p /proc/self/fd/0'
    status, _, words = launch(command=["/bin/sh", "-c", shown], umask=0o077, stdin="a line\n")
    assert (status, words) == (0, b"")
    usual = 'test "$(umask)" = 0022 && test -z "$(cat)" && test -c /proc/self/fd/0'
    assert launch(command=["/bin/sh", "-c", usual])[0] == 0


@pytest.mark.parametrize("flag", [system.UNAME26, system.ADDR_NO_RANDOMIZE])
def test_a_personality_is_the_commands(flag: int) -> None:
    command = ["/bin/sh", "-c", f"test $((0x$(cat /proc/self/personality) & {flag})) = {flag}"]
    reason = capability.refused_flag(flag)
    status, reports, _ = launch(command=command, personality=flag)
    # Where a filter around this process refuses it, that is reported as any other failure.
    assert (status == 0) == (reason == ""), reports
    assert launch(command=command)[0] == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"program": "/nonexistent/bwrap"}, "No such file or directory"),
        ({"parent": 1}, "is gone"),
        ({"cgroups": ["/nonexistent/cgroup.procs"]}, "No such file or directory"),
        (
            {"sources": ["/nonexistent"], "copies": [{"source": 0, "at": "x"}]},
            "No such file or directory",
        ),
    ],
)
def test_a_failure_is_reported(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    status, reports, _ = launch(work=str(tmp_path), **changes)
    assert status == 1
    assert words in reports["error"]


@pytest.mark.needs_tools("unshare")
@pytest.mark.parametrize(("asked", "given"), [("", "(none)"), ("another.domain", "another.domain")])
def test_an_action_never_has_the_domain_name_of_the_machine(
    asked: str, given: str, tmp_path: Path
) -> None:
    """The machine that the launcher runs on has one, in a UTS namespace of the test's."""
    machine = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from containers.host import system
system.set_domain_name("secret.corp")
os.execv(sys.argv[1], sys.argv[1:])
"""
    user = ["--map-root-user"] if os.geteuid() else []
    status, reports, words = launch(
        around=["unshare", *user, "--uts", sys.executable, "-c", machine],
        domain=asked,
        tmpfs={"inputs": 0, "work": 0, "tmp": 0, "files": 0},
        sources=[str(BWRAP.parent)],
        work=str(tmp_path),
        program=f"{confine.STAGE}/inputs/0/{BWRAP.name}",
        command=["/bin/sh", "-c", "cat /proc/sys/kernel/domainname >&2"],
    )
    assert (status, words) == (0, f"{given}\n".encode()), reports


def test_bubblewrap_gets_its_options_and_the_filter_in_files() -> None:
    words = confine._hidden(
        ["--bind", "/home/person", "/work"], "0600", ["/bin/it", "--", "a word"]
    )
    # No folder of the machine is among the words that its first process shows to an action.
    assert words[:2] == ["bwrap", "--args"]
    assert words[3:] == ["--", "/bin/it", "--", "a word"]
    with os.fdopen(int(words[2]), "rb") as options:
        *told, filtering, end = options.read().split(b"\0")
    assert told == [b"--bind", b"/home/person", b"/work", b"--seccomp"]
    assert end == b""
    with os.fdopen(int(filtering), "rb") as instructions:
        assert instructions.read() == b"\6\0"


_KEYCTL = {"x86_64": (248, 250), "aarch64": (217, 219)}


def test_the_order_of_a_seed_is_the_one_on_a_farm_s_workers() -> None:
    """The launcher has the same names in `copy_test.go`: conditions are the same everywhere."""
    names = ["c", "b", "a", "name-00", "name-01", "name-02", "name-03"]
    ordered = sorted(names, key=lambda name: confine.order_key(name, 7))
    assert ordered == ["name-01", "name-02", "c", "a", "b", "name-03", "name-00"]


@pytest.mark.skipif(os.uname().machine not in _KEYCTL, reason="numbers of system calls")
def test_a_key_of_whoever_builds_is_left_behind() -> None:
    """Plants a key in the session keyring and looks for it before and after, in a process apart."""
    program = f"""
import ctypes, errno, sys
sys.path.insert(0, {str(ROOT)!r})
from containers.sandbox import confine
library = ctypes.CDLL(None, use_errno=True)
add, keyctl = {_KEYCTL[os.uname().machine]}
session, search = ctypes.c_long(-3), ctypes.c_long(10)
def found():
    answer = library.syscall(ctypes.c_long(keyctl), search, session, b"user", b"sourcery-test", 0)
    return answer > 0
if library.syscall(ctypes.c_long(keyctl), ctypes.c_long(1), None) < 0:
    sys.exit("no keyrings: " + errno.errorcode[ctypes.get_errno()])
planted = library.syscall(
    ctypes.c_long(add), b"user", b"sourcery-test", b"secret", ctypes.c_size_t(6), session
)
assert planted > 0, ctypes.get_errno()
assert found()
confine._leave_keyring(keyctl)
assert not found()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, text=True
    )
    if done.stderr.startswith("no keyrings"):
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
