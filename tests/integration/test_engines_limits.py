"""What an action takes by every way that there is, against each limit, on every engine.

A rule that is reported as enforced must hold, however an action goes about it. Where it is
reported as not enforced, what is seen from outside ends the action all the same.
"""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from containers.policy import Limits, Policy
from reproducibility.errors import ActionError, Stopped

if TYPE_CHECKING:
    from pathlib import Path

    from containers.local import Ended
    from tests.integration.engine_fixtures import Bench

MIB = 1 << 20
MEMORY = Limits(memory=256 * MIB, seconds=120)
# What a limit on memory does not count exactly: per processor, the kernel keeps some in reserve.
SLACK = 8 * MIB


def enforced(bench: Bench, rule: str, limits: Limits) -> bool:
    """Whether a rule is reported as enforced."""
    return any(
        entry.rule == rule and entry.state == "enforced"
        for entry in bench.engine.enforcement(Policy(limits))
    )


def take(
    bench: Bench, kind: str, wanted: int, limits: Limits, outputs: tuple[str, ...] = ()
) -> tuple[Ended, int]:
    """Have the probe take so much of a kind and hold it; how much it says that it got."""
    action = bench.builder.action("take", kind, str(wanted), "2", outputs=outputs)
    outcome = bench.run(action, limits=limits)
    said = outcome.stdout.read_text()
    told: dict[str, Any] = json.loads(said) if said else {"taken": 0}
    return outcome, int(told["taken"])


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("mapping", True),
        ("sysv", True),
        ("posix", False),
        ("memfd", True),
        ("page tables", True),
        ("netlink", False),
        ("unix", False),
        ("udp", False),
        ("tcp", False),
        ("pipes", False),
    ],
)
def test_memory_of_every_kind_is_bounded(bench: Bench, kind: str, seen: bool) -> None:
    outcome, taken = take(bench, kind, 1024 * MIB, MEMORY)
    held = outcome.exit_status == 0 and taken > MEMORY.memory + SLACK
    if enforced(bench, "memory", MEMORY):
        assert not held, (taken, outcome.peak_memory)
    elif seen:
        assert outcome.ended_by == "memory", (taken, outcome.peak_memory)


@pytest.mark.parametrize("kind", ["unnamed", "deep"])
def test_work_is_bounded_wherever_it_lies(bench: Bench, kind: str) -> None:
    limits = Limits(work=64 * MIB, seconds=120)
    outcome, taken = take(bench, kind, 400 * MIB, limits)
    if enforced(bench, "bounded-work", limits):
        assert taken <= 64 * MIB
        assert outcome.ended_by in {"", "work"}
    assert outcome.stderr.read_text() == ""


@pytest.mark.parametrize("where", ["/work", "/tmp"])  # noqa: S108 - paths inside
def test_files_in_memory_are_memory(bench: Bench, where: str) -> None:
    limits = Limits(memory=128 * MIB, work=1024 * MIB, tmp=1024 * MIB, seconds=120)
    action = bench.builder.action("fill", f"{where}/large", str(512 * MIB))
    outcome = bench.run(action, limits=limits)
    if enforced(bench, "memory", limits) and (
        where == "/tmp" or enforced(bench, "bounded-work", limits)  # noqa: S108 - the same
    ):
        assert outcome.exit_status != 0
        assert outcome.ended_by == "memory"


def test_the_number_of_files_is_bounded(bench: Bench) -> None:
    limits = Limits(files=2000, seconds=120)
    outcome, taken = take(bench, "files", 5000, limits)
    if enforced(bench, "bounded-work", limits):
        assert taken <= 2000
        assert "no space left" in outcome.stdout.read_text()


def test_what_fills_its_work_directory_says_so(bench: Bench) -> None:
    if not enforced(bench, "bounded-work", Limits()):
        return
    for command, limits, word in (
        (("scatter", "/work", "100"), Limits(work=16 * MIB), "work"),
        (("scatter", "/tmp", "100"), Limits(tmp=16 * MIB), "tmp"),  # noqa: S108 - inside
        (("scatter", "/work", "100"), Limits(files=20), "files"),
    ):
        outcome = bench.run(bench.builder.action(*command), limits=limits)
        assert (outcome.exit_status, outcome.ended_by) == (1, word)


@pytest.mark.parametrize(
    ("command", "outputs", "limits", "word"),
    [
        (("take", "holes", str(12800 * MIB)), ("out",), Limits(work=1024 * MIB), "work"),
        (
            ("take", "files", "12"),
            tuple(f"empty-{number}" for number in range(12)),
            Limits(files=12),
            "",
        ),
        (("take", "holes", str(640 * MIB)), ("out",), Limits(files=5), "files"),
    ],
)
def test_outputs_are_bounded_by_what_they_seem_to_hold(
    bench: Bench, command: tuple[str, ...], outputs: tuple[str, ...], limits: Limits, word: str
) -> None:
    outcome = bench.run(bench.builder.action(*command, outputs=outputs), limits=limits)
    # What cannot even be made is refused while the action runs.
    refused = word == "files" and enforced(bench, "bounded-work", limits)
    assert outcome.ended_by == ("" if refused else word)
    files = (path for path in outcome.outputs.rglob("*") if path.is_file())
    # Not their blocks: those that list the blocks of a file are counted there too.
    assert sum(path.stat().st_size for path in files) <= limits.work
    assert outcome.exit_status == 0


def test_outputs_with_paths_that_are_too_long_are_the_actions_fault(bench: Bench) -> None:
    action = bench.builder.action("take", "deep", str(64 * MIB), outputs=("d" * 250,))
    with pytest.raises(ActionError, match="paths of more than 2048 bytes"):
        bench.run(action)


class _StopOnce(threading.Event):
    """A wish to stop that is there once a file is: nobody has to be quicker than the engine."""

    def __init__(self, folder: Path, pattern: str) -> None:
        super().__init__()
        self._folder = folder
        self._pattern = pattern

    def is_set(self) -> bool:
        return super().is_set() or any(self._folder.rglob(self._pattern))


@pytest.mark.parametrize(
    ("command", "outputs"),
    [
        (("take", "files", "12"), tuple(f"empty-{number}" for number in range(12))),
        # Holes are taken at once where they stay holes, and seen to afterwards.
        (("take", "holes", str(7680 * MIB)), ("out",)),
    ],
)
def test_a_wish_to_stop_is_heeded_while_outputs_are_taken(
    bench: Bench, tmp_path: Path, command: tuple[str, ...], outputs: tuple[str, ...]
) -> None:
    ours = replace(bench, folder=tmp_path)
    stop = _StopOnce(tmp_path, f"outputs/{outputs[0]}")
    with pytest.raises(Stopped):
        ours.run(bench.builder.action(*command, outputs=outputs), stop=stop)
    assert any(tmp_path.rglob(f"outputs/{outputs[0]}"))


def test_peak_memory_counts_files_in_memory(bench: Bench) -> None:
    outcome = bench.run(bench.builder.action("fill", "/tmp/large", str(200 * MIB)))  # noqa: S108
    assert outcome.exit_status == 0
    if enforced(bench, "memory", Limits()) and bench.engine.name == "sandbox":
        assert outcome.peak_memory >= 200 * MIB
