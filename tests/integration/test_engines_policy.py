"""Each rule of the policy, from inside an action that tries to break it, on every engine."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from containers.action import Mount
from containers.policy import RULES, Limits, Policy
from containers.sandbox.engine import SandboxEngine
from reproducibility import manifest
from reproducibility.conditions import STANDARD
from reproducibility.errors import InfrastructureError, InputError, Stopped
from reproducibility.variations import VARIED
from tests.integration.engine_fixtures import Bench

if TYPE_CHECKING:
    from reproducibility.conditions import Conditions
    from tests.integration.engine_fixtures import Builder, Engines

_MIB = 1 << 20
_NO_CAPABILITY = "0000000000000000"
# The engines' own mount points, and what Docker adds.
_OWN = {"dev", "proc", "tmp", "sys", "etc", "sbin", ".dockerenv"}


def test_no_network(bench: Bench) -> None:
    with closing(socket.socket()) as listening, closing(socket.socket(socket.AF_UNIX)) as abstract:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        name = f"sourcery-test-{os.getpid()}"
        abstract.bind("\0" + name)
        abstract.listen()
        seen = bench.probe("network", str(listening.getsockname()[1]), name)
    assert seen["interfaces"] == ["lo"]
    assert seen["routes"] == 0
    assert seen["outside"] == "network is unreachable"
    # Both listen on this machine, and neither can be reached.
    assert seen["machine"] in {"connection refused", "network is unreachable"}
    assert seen["abstract"] == "connection refused"


def test_root_and_inputs_cannot_be_written(bench: Bench) -> None:
    tree = bench.input({"file": "content", "folder/inner": "inner"})
    folders = ("/", "/bin", "/bootstrap", "/dev", "/input", "/input/folder", "/beside")
    seen = bench.probe(*("write", *folders), mounts=(Mount("/input", tree), Mount("/beside", tree)))
    allowed = {what for what, words in seen.items() if words == ""}
    assert not allowed, "these were possible"
    assert {"create /", "create /input", "append /input/file", "remove /bin/probe"} <= seen.keys()


def test_inputs_are_whole_after_an_action_tried_to_change_them(bench: Bench) -> None:
    tree = bench.input({"file": "content"})
    mounts = (Mount("/input", tree), Mount("/work/copy", tree, "private"))
    bench.probe("write", "/input", "/work/copy", mounts=mounts)
    seen = bench.probe("modes", "/input", mounts=(Mount("/input", tree),))
    assert seen["/input/file"]["Data"] == "content"
    kept = bench.builder.store.path(next(tree.files()))
    assert kept.read_bytes() == b"content"


def test_only_work_and_tmp_can_be_written(bench: Bench) -> None:
    seen = bench.probe("look")
    folders = [f"/{name}" for name in seen["root"]]
    changed = bench.probe("write", "/", *folders, "/dev/shm", "/dev/mqueue", "/dev/pts")  # noqa: S108
    writable = {
        what.removeprefix("create ")
        for what, words in changed.items()
        if what.startswith("create ") and words == ""
    }
    assert writable == {"/tmp", "/work"}  # noqa: S108 - paths inside


def test_tmp_is_bounded(bench: Bench) -> None:
    seen = bench.probe("fill", "/tmp/large", limits=Limits(tmp=8 * _MIB, seconds=60))  # noqa: S108
    assert seen["written"] <= 8 * _MIB
    assert "no space left" in seen["error"]


def test_a_file_in_the_work_directory_is_bounded(bench: Bench) -> None:
    seen = bench.probe("fill", "/work/large", limits=Limits(work=8 * _MIB, seconds=60))
    assert seen["written"] <= 8 * _MIB
    assert "file too large" in seen["error"]


@pytest.mark.needs_sandbox
def test_the_work_directory_is_bounded_as_a_whole_in_the_sandbox(
    engines: Engines, builder: Builder, tmp_path: Path
) -> None:
    bench = Bench(engines["sandbox"], builder, tmp_path)
    action = builder.action("scatter", "/work", "3000", outputs=("0",))
    outcome = bench.run(action, limits=Limits(work=32 * _MIB, seconds=60))
    assert outcome.ended_by == "work"
    assert (outcome.outputs / "0").stat().st_size == _MIB


@pytest.mark.needs_docker
def test_outputs_are_bounded_on_docker(engines: Engines, builder: Builder, tmp_path: Path) -> None:
    bench = Bench(engines["docker-api"], builder, tmp_path)
    action = builder.action("scatter", "/work", "12", outputs=tuple(map(str, range(12))))
    outcome = bench.run(action, limits=Limits(work=8 * _MIB, seconds=60))
    assert (outcome.exit_status, outcome.ended_by) == (0, "work")
    assert sum(path.stat().st_size for path in outcome.outputs.iterdir()) <= 8 * _MIB


def test_the_action_is_an_ordinary_user_without_privileges(bench: Bench) -> None:
    seen = bench.probe("look")
    status = seen["status"]
    assert (seen["user"], seen["group"]) == (STANDARD.user, STANDARD.group)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert status[name] == _NO_CAPABILITY, name
    assert status["NoNewPrivs"] == "1"
    groups = set(map(int, seen["groups"].split()))
    assert groups <= {STANDARD.group}
    refused = bench.probe("privileges")
    assert {what for what, words in refused.items() if words == ""} == set()
    assert {"mount", "setuid", "chroot", "user namespace", "sysctl"} <= refused.keys()


def test_the_action_is_not_root_on_the_machine(bench: Bench) -> None:
    token = f"token-{os.urandom(8).hex()}"
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(bench.run, bench.builder.action("sleep", "60", token), stop=stop)
        users = _users_of(token)
        stop.set()
        with pytest.raises(Stopped):
            running.result()
    assert users
    assert 0 not in users


def _users_of(token: str) -> set[int]:
    """User ids on this machine of the probes with a token, as soon as one is seen to run."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found: set[int] = set()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, IndexError):
                line = (process / "cmdline").read_bytes().split(b"\0")
                if line[0].endswith(b"/probe") and token.encode() in line:
                    status = (process / "status").read_text()
                    found.update(map(int, status.split("Uid:")[1].split("\n")[0].split()))
        if found:
            return found
        time.sleep(0.05)
    return set()


def test_processes_are_bounded(bench: Bench) -> None:
    seen = bench.probe("fork", "100000", limits=Limits(processes=200, seconds=60))
    assert seen["error"] == "resource temporarily unavailable"
    # For an ordinary user the limit is raised by what the user runs besides.
    assert 20 < seen["made"] < (200 if os.geteuid() == 0 else 400)


def test_memory_is_bounded(bench: Bench) -> None:
    limits = Limits(memory=256 * _MIB, seconds=60)
    fits = bench.run(bench.builder.action("allocate", str(64 * _MIB)), limits=limits)
    assert (fits.exit_status, fits.ended_by) == (0, "")
    hog = bench.run(bench.builder.action("allocate", str(2048 * _MIB)), limits=limits)
    assert hog.exit_status != 0
    assert hog.ended_by == "memory"


def test_memory_of_all_processes_together_is_bounded(bench: Bench) -> None:
    limits = Limits(memory=256 * _MIB, seconds=60)
    action = bench.builder.action("share", "4", str(128 * _MIB))
    outcome = bench.run(action, limits=limits)
    assert outcome.exit_status != 0
    assert outcome.ended_by == "memory"


def test_peak_memory_is_told(bench: Bench) -> None:
    outcome = bench.run(bench.builder.action("allocate", str(200 * _MIB), "4"))
    assert 200 * _MIB <= outcome.peak_memory < 600 * _MIB


def test_processors_are_bounded(bench: Bench) -> None:
    seen = bench.probe("spin", "4", limits=Limits(cpus=1, seconds=60))
    assert seen["used"] < 1.5
    (stated,) = (
        entry for entry in bench.engine.enforcement(Policy(Limits(cpus=1))) if entry.rule == "cpus"
    )
    # Affinity keeps a program that does not resist to one processor, which is not enforcement.
    assert stated.state == ("not enforced" if "can undo" in stated.means else "enforced")


def test_time_is_bounded(bench: Bench) -> None:
    outcome = bench.run(bench.builder.action("sleep", "1000"), limits=Limits(seconds=2))
    assert outcome.ended_by == "time"
    assert outcome.exit_status != 0
    assert outcome.stdout.read_text() == "sleeping\n"
    assert 2 <= outcome.seconds < 60


@pytest.mark.parametrize("conditions", [STANDARD, VARIED], ids=["standard", "varied"])
def test_identity_and_environment_are_fixed(
    bench: Bench, conditions: Conditions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOFLAGS", "-leaks")
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    monkeypatch.setenv("LANG", "tr_TR.UTF-8")
    old = os.umask(0o077)
    try:
        seen = bench.probe("look", conditions=conditions, environment=(("A", "b c"), ("EMPTY", "")))
    finally:
        os.umask(old)
    assert sorted(seen["environment"]) == [
        *("A=b c", "EMPTY=", "HOME=/nonexistent", f"PWD={conditions.work}"),
    ]
    assert seen["host"] == conditions.host
    assert (seen["user"], seen["group"]) == (conditions.user, conditions.group)
    assert seen["directory"] == conditions.work
    assert seen["umask"] == 0o022
    assert seen["zone"] == "00:00 UTC"
    assert seen["stdin"] == "0 EOF"
    assert seen["limits"]["core"] == 0
    assert seen["session"] != ""
    # Signals that a parent ignored would stay ignored.
    assert seen["status"]["SigIgn"] == _NO_CAPABILITY
    assert seen["open"] == ["0", "1", "2"]


def test_nothing_of_the_machine_is_seen(bench: Bench) -> None:
    seen = bench.probe("look")
    assert set(seen["processes"]) <= {"probe", "docker-init", "exe"}
    assert set(seen["root"]) - _OWN == {"bin", "bootstrap", "work"}


def test_every_rule_has_a_statement_about_its_enforcement(bench: Bench) -> None:
    entries = bench.engine.enforcement(Policy())
    assert [entry.rule for entry in entries] == sorted(rule.name for rule in RULES)
    assert all(entry.means for entry in entries)
    states = {entry.rule: entry.state for entry in entries}
    unbounded = {rule for rule, state in states.items() if state == "not enforced"}
    allowed = {"bounded-work", "no-machine-paths"} if bench.engine.name == "docker" else set()
    assert unbounded - {"memory"} <= allowed
    # Only version 2 of cgroups counts all kinds of memory together.
    (memory,) = (entry for entry in entries if entry.rule == "memory")
    assert memory.state == "enforced" or "cgroup version" in memory.means


def test_system_calls_that_reach_past_the_isolation_are_refused(bench: Bench) -> None:
    seen = bench.probe("calls")
    assert [seen.pop(f"personality {name}") for name in ("usual", "asked")] == ["", ""]
    # An engine that knows no other errno for what is in no list says that one.
    assert seen.pop("personality fixed") in {"ENOSYS", "EPERM"}
    assert seen.pop("clone3") == "ENOSYS"
    assert {"io_uring_setup", "keyctl", "clone 10000000", "ptrace"} <= seen.keys()
    assert {name: error for name, error in seen.items() if error != "EPERM"} == {}


def test_only_four_families_of_sockets_can_be_made(bench: Bench) -> None:
    seen = bench.probe("families")
    allowed = {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}
    assert set(seen["can"]) <= allowed
    assert {socket.AF_UNIX, socket.AF_INET} <= set(seen["can"])
    assert (seen["errors"], seen["high"], seen["pair"]) == (["EAFNOSUPPORT"], "EAFNOSUPPORT", "")


def test_no_socket_or_device_can_be_an_output(bench: Bench) -> None:
    outcome = bench.run(bench.builder.action("special", "/work/out", outputs=("out",)))
    assert outcome.exit_status == 0, outcome.stderr.read_text()
    seen = json.loads(outcome.stdout.read_text())
    assert set(seen) == {"node", "device", "bound", "abstract"}
    assert set(seen.values()) == {"operation not permitted"}
    assert list(manifest.scan(outcome.outputs)) == [
        entry for entry in manifest.scan(outcome.outputs) if entry.kind == "directory"
    ]


def test_a_pipe_among_the_outputs_is_refused_in_the_same_words(bench: Bench) -> None:
    outcome = bench.run(bench.builder.action("special", "/work/out", "pipe", outputs=("out",)))
    assert json.loads(outcome.stdout.read_text())["pipe"] == ""
    with pytest.raises(InputError, match="neither a file nor a directory"):
        manifest.scan(outcome.outputs)


def test_the_first_process_cannot_be_traced_and_has_nothing_to_tell(bench: Bench) -> None:
    seen = bench.probe("first")
    assert seen["attach"] == "EPERM"
    if bench.engine.name == "sandbox":
        assert all(seen[name] for name in ("mem", "environ", "maps", "auxv", "exe", "task/1/mem"))


_KEYCTL = {"x86_64": (248, 250), "aarch64": (217, 219)}


@pytest.mark.skipif(os.uname().machine not in _KEYCTL, reason="numbers of system calls")
def test_no_key_of_the_machine_is_seen(bench: Bench) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    add, _ = _KEYCTL[os.uname().machine]
    name = f"sourcery-test-{os.urandom(8).hex()}".encode()
    for keyring in (-3, -4):  # of the session, of the user
        key = library.syscall(
            *(ctypes.c_long(add), b"user", name, b"secret", ctypes.c_size_t(6)),
            ctypes.c_long(keyring),
        )
        if key < 0:
            pytest.skip(f"no keyrings here: {os.strerror(ctypes.get_errno())}")
    seen = bench.probe("first")
    assert seen["keys"] != ""
    calls = bench.probe("calls")
    assert {calls[name] for name in ("keyctl", "add_key", "request_key")} == {"EPERM"}


def test_no_command_line_names_a_folder_of_the_machine(bench: Bench) -> None:
    seen = bench.probe("paths")
    lines = {path: line for path, line in seen.items() if path.endswith("/cmdline")}
    own = {"/bin/probe paths ", "/sbin/docker-init -- /bin/probe paths "}
    assert set(lines.values()) <= own
    programs = {line for path, line in seen.items() if path.endswith("/exe")}
    assert programs <= {"/bin/probe", "/sbin/docker-init"}


@pytest.mark.parametrize("conditions", [STANDARD, VARIED], ids=["standard", "varied"])
def test_where_folders_of_the_machine_are_seen_it_is_said(
    bench: Bench, conditions: Conditions, engine_folder: Path
) -> None:
    tree = bench.input({"file": "content"})
    mounts = (Mount("/input", tree), Mount(f"{conditions.work}/copy", tree, "private"))
    seen = bench.probe("paths", mounts=mounts, conditions=conditions)
    folders = (str(bench.builder.store.root), str(engine_folder))
    shown = [
        line
        for text in seen.values()
        for line in text.splitlines()
        if any(folder in line for folder in folders)
    ]
    (stated,) = (
        entry
        for entry in bench.engine.enforcement(Policy(bench.limits))
        if entry.rule == "no-machine-paths"
    )
    assert stated.state == "not enforced" or not shown


@pytest.mark.needs_sandbox
def test_a_kernel_without_overlays_is_told_and_actions_run_all_the_same(
    builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = SandboxEngine._try

    def without(engine: SandboxEngine, *, mounting: bool, views: bool = False) -> None:
        if views:
            raise InfrastructureError("no", subject="mount overlay: No such device")
        trial(engine, mounting=mounting)

    monkeypatch.setattr(SandboxEngine, "_try", without)
    with SandboxEngine(tmp_path / "scratch") as engine:
        seen = Bench(engine, builder, tmp_path).probe("paths")
        entries = engine.enforcement(Policy())
    assert str(builder.store.root) in seen["/proc/self/mountinfo"]
    (stated,) = (entry for entry in entries if entry.rule == "no-machine-paths")
    assert stated.state == "not enforced"
    assert "No such device" in stated.means


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_action_can_end_itself_by_a_signal(bench: Bench, number: signal.Signals) -> None:
    outcome = bench.run(bench.builder.action("die", str(int(number))))
    assert (outcome.exit_status, outcome.ended_by) == (128 + number, "")


def test_an_action_that_stops_itself_is_ended_by_its_time(bench: Bench) -> None:
    outcome = bench.run(bench.builder.action("stall"), limits=Limits(seconds=3))
    assert outcome.ended_by == "time"
    assert outcome.stdout.read_text() == ""
