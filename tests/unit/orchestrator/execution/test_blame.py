"""Whose fault it is: decided by the cause, in the words of whoever can do something about it."""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING

import pytest

from containers import blame
from containers.sandbox.supervise import Log
from reproducibility.errors import ActionError, InfrastructureError
from tests.fakes import FakeEngine, Made
from tests.unit.orchestrator.execution.test_scheduler import POLICY, run, step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from threading import Event

    from containers.action import Action
    from containers.engine import Blobs
    from containers.local import Ended
    from containers.policy import Policy
    from orchestrator.store import Store


class Leaving(FakeEngine):
    """An engine whose one action leaves what no table can say."""

    def __init__(self, leave: Callable[[Path], object]) -> None:
        super().__init__({"a": lambda _: Made({"out": b"x"})})
        self.leave = leave

    def execute(
        self, action: Action, policy: Policy, blobs: Blobs, into: Path, stop: Event
    ) -> Ended:
        outcome = super().execute(action, policy, blobs, into, stop)
        self.leave(outcome.outputs)
        return outcome


def deep(outputs: Path) -> None:
    """Folders in one another, further than a path can name."""
    here = os.open(outputs, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=here)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


def failing(number: int, *names: str) -> Callable[[Path], None]:
    def leave(outputs: Path) -> None:
        raise OSError(number, os.strerror(number), *(str(outputs / name) for name in names))

    return leave


@pytest.mark.parametrize(
    ("leave", "made"),
    [
        pytest.param(deep, "d" * 200, id="deeper than a path"),
        pytest.param(failing(errno.ENAMETOOLONG, "out/" + "n" * 300), "out/nnn", id="long name"),
        pytest.param(failing(errno.ELOOP, "out/loop"), "out/loop", id="loop"),
        pytest.param(lambda o: (o / "out/l").symlink_to("x"), "out/l", id="link"),
        pytest.param(lambda o: os.mkfifo(o / "out/p"), "out/p", id="pipe"),
        pytest.param(lambda o: (o / "out/a\u202eb").touch(), "out/a\\u202eb", id="direction"),
        pytest.param(lambda o: (o / "out/a\x9b2J").touch(), "out/a\\x9b2J", id="C1"),
        pytest.param(lambda o: (o / "out/a\x1b[2J").touch(), "out/a\\x1b[2J", id="C0"),
        pytest.param(
            lambda o: (o / os.fsdecode(b"out/\xff")).touch(), "out/\\udcff", id="not UTF-8"
        ),
    ],
)
def test_what_a_step_made_is_the_steps_fault(
    store: Store, leave: Callable[[Path], object], made: str
) -> None:
    def left(outputs: Path) -> None:
        (outputs / "out").unlink()
        (outputs / "out").mkdir()
        leave(outputs)

    with pytest.raises(ActionError) as refused:
        run(store, [step("a")], Leaving(left))
    assert refused.value.summary.startswith("a made something that cannot")
    assert refused.value.subject.startswith(made)
    assert len(refused.value.subject) < 300
    assert refused.value.remedy
    assert str(store.root) not in refused.value.diagnostics()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EIO, "dmesg"),
        (errno.EROFS, "can be written"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENFILE, "ulimit -n"),
        (errno.ENOMEM, "memory"),
    ],
)
def test_what_the_machine_refuses_is_the_machines_fault(
    store: Store, number: int, words: str
) -> None:
    with pytest.raises(InfrastructureError) as refused:
        run(store, [step("a")], Leaving(failing(number, "out")))
    said = refused.value
    assert said.summary == f"cannot keep what a made: {os.strerror(number)}"
    assert words in said.remedy
    # The scratch folder is gone by now.
    assert said.subject == str(store.root)


def test_what_is_told_later_names_what_is_still_there(tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "gone/too"))
    assert blame.of_machine(error).subject == str(tmp_path)
    assert blame.of_machine(error).status == 4


def test_a_path_of_the_projects_own_that_is_too_long_is_no_steps_fault(store: Store) -> None:
    def leave(_: Path) -> None:
        raise OSError(errno.ENAMETOOLONG, "File name too long", str(store.root / ("x" * 300)))

    with pytest.raises(InfrastructureError, match="cannot run a: File name too long") as refused:
        run(store, [step("a")], Leaving(leave))
    assert "put --store and --out where their paths are shorter" in refused.value.remedy


@pytest.mark.parametrize(
    ("names", "said", "where"),
    [
        pytest.param(["scratch/x/result/stdout"], "run a", "", id="of another folder"),
        pytest.param(["blobs/ab/abcd", "scratch/x/tree/bin/p"], "run a", "", id="a checkout's"),
        pytest.param(["results"], "run a", "results", id="what stays"),
        pytest.param([], "run a", "", id="no name"),
    ],
)
def test_what_the_machine_refuses_a_step_names_the_step_and_what_is_still_there(
    store: Store, names: list[str], said: str, where: str
) -> None:
    def leave(_: Path) -> None:
        paths = [str(store.root / name) for name in names]
        # The fourth argument is none of Linux's.
        both = paths if len(paths) < 2 else [paths[0], None, paths[1]]
        raise OSError(errno.ENOSPC, "No space left on device", *both)

    with pytest.raises(InfrastructureError) as refused:
        run(store, [step("a")], Leaving(leave))
    assert refused.value.summary == f"cannot {said}: No space left on device"
    assert refused.value.subject == str(store.root / where)
    assert "free some space" in refused.value.remedy


def test_a_log_that_the_disk_does_not_take_names_the_step(store: Store) -> None:
    def fill(outputs: Path) -> None:
        (outputs.parent / "stderr").unlink()
        (outputs.parent / "stderr").symlink_to("/dev/full")
        log = Log(outputs.parent / "stderr", 1 << 20)
        try:
            log.write(b"a word" * 4000)
        finally:
            log.close()

    with pytest.raises(InfrastructureError) as refused:
        run(store, [step("a")], Leaving(fill))
    assert refused.value.summary == "cannot keep the log of a: No space left on device"
    assert refused.value.subject == str(store.root)
    assert "free some space" in refused.value.remedy


def test_an_error_that_the_system_gave_no_words_to_stays_as_it_is(store: Store) -> None:
    def leave(_: Path) -> None:
        raise OSError("a mistake")

    with pytest.raises(OSError, match="a mistake"):
        run(store, [step("a")], Leaving(leave))


LIMITS = POLICY.limits
ROOM = (f"{LIMITS.work >> 20} MiB (limits.work)", f"{LIMITS.tmp >> 20} MiB (limits.tmp)")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Made(stderr=b"link: write /tmp/x: no space left on device", exit_status=1), ROOM),
        (Made(stdout=b"OSError: [Errno 28] No space left on device", exit_status=1), ROOM),
        (Made(stderr=b"write: disk quota exceeded", exit_status=2), ROOM),
        (Made(exit_status=128 + signal.SIGXFSZ), ROOM),
        (Made(stderr=b"fork: Cannot allocate memory", exit_status=1), ("512 MiB (limits.memory)",)),
        (Made(stderr=b"fatal error: runtime: out of memory", exit_status=2), ("limits.memory",)),
        (Made(exit_status=137), ("limits.memory", "--jobs 1")),
        (
            Made(stderr=b"fork/exec x: resource temporarily unavailable", exit_status=1),
            (f"{LIMITS.processes} processes", "limits.processes"),
        ),
        (
            Made(stderr=b"[Errno 12] Cannot allocate memory: 'x'\r\n", exit_status=1),
            ("limits.memory",),
        ),
        (Made(stderr=b"x.go:1:1: syntax error", exit_status=1), ("mend the cause",)),
        (Made(stderr=b"x.go:1:1: undefined: ENOSPC", exit_status=1), ("mend the cause",)),
        (Made(stderr=b"x.go:1:1: undefined: syscall.ENOMEM", exit_status=1), ("mend the cause",)),
        (
            Made(stderr=b'x.go:1:1: "out of memory" (untyped string) is not used', exit_status=1),
            ("mend the cause",),
        ),
        (
            Made(stdout=b"--- FAIL: reports no space left on device twice", exit_status=1),
            ("mend the cause",),
        ),
        (Made(exit_status=1, ended_by="time"), ("raise limits.seconds",)),
        (Made(exit_status=1, ended_by="work"), ("raise limits.work",)),
    ],
)
def test_a_step_that_met_a_limit_says_which(
    store: Store, made: Made, words: tuple[str, ...]
) -> None:
    with pytest.raises(ActionError) as refused:
        run(store, [step("a")], FakeEngine({"a": lambda _: made}))
    for word in words:
        assert word in refused.value.remedy
    assert ("mend the cause" in refused.value.remedy) is (words == ("mend the cause",))


def test_an_error_without_a_file_is_told_too() -> None:
    assert blame.of_machine(OSError("odd")).summary == "odd"
    assert blame.of_machine(OSError(errno.EIO, "bad", "x\0y")).subject == "x\0y"


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR])
def test_a_file_that_is_missing_is_named_itself(tmp_path: Path, number: int) -> None:
    missing = tmp_path / "gone/too"
    assert blame.of_machine(OSError(number, "x", str(missing))).subject == str(missing)
    (tmp_path / "scratch").mkdir()
    left = tmp_path / "scratch/store-1/work-2/file"
    assert blame.of_machine(OSError(number, "x", str(left))).subject == str(tmp_path / "scratch")
