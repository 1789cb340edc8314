"""How long each file of integration tests took, and how much of the CPUs: tables at the end.

The CPU time is that of the test process and of every process that it waited for, directly or not;
what a container engine's daemon runs is not in it. The table's order is that of each lane (one
process of pytest-xdist), so it shows what waited for whom and how even the end is. Of single tests
the dearest are told, by their CPU time: how long they take by the clock says more of what runs
beside them.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any

from tests.integration import order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest


@dataclass
class FileTimes:
    """The seconds of one file's tests in one process: when they began (since the epoch), how long
    they took with their fixtures, and their CPU time.
    """

    lane: str
    name: str
    began: float
    wall: float = 0.0
    cpu: float = 0.0
    # CPU time of each test with the fixtures that it was the first to need, or the last.
    tests: dict[str, float] = field(default_factory=dict)


# So many of the dearest tests are told.
_DEAREST = 40

# Of this process, in the order in which the files began.
found: dict[str, FileTimes] = {}
# Of all processes of the session, where this one leads it.
everyones: list[FileTimes] = []


@contextmanager
def measured(item: pytest.Item) -> Iterator[None]:
    """Count what happens meanwhile for the file of a test."""
    lane = getattr(item.config, "workerinput", {}).get("workerid", "the only one")
    name = order.file_of(item.nodeid)
    times = found.setdefault(name, FileTimes(lane, name, time.time()))
    began, used = time.monotonic(), _cpu()
    try:
        yield
    finally:
        times.wall += time.monotonic() - began
        took = _cpu() - used
        times.cpu += took
        test = item.nodeid.rpartition("::")[2]
        times.tests[test] = times.tests.get(test, 0.0) + took


def _cpu() -> float:
    return sum(os.times()[:4])


def plain() -> list[list[Any]]:
    """This process's times, as JSON may hold them."""
    return [list(astuple(times)) for times in found.values()]


def collect(told: Iterable[Iterable[Any]]) -> None:
    """Take over what a process told."""
    everyones.extend(FileTimes(*times) for times in told)


def table() -> Iterator[str]:
    """The lines for people; none where nothing was measured."""
    rows = sorted(everyones, key=lambda times: (times.lane, times.began))
    if not rows:
        return
    start = min(times.began for times in rows)
    yield "     began      took       CPU  lane, file (seconds)"
    for times in rows:
        numbers = "".join(f"{n:10.1f}" for n in (times.began - start, times.wall, times.cpu))
        yield f"{numbers}  {times.lane}, {times.name}"
    wall, cpu = (sum(getattr(times, what) for times in rows) for what in ("wall", "cpu"))
    yield f"{'':10}{wall:10.1f}{cpu:10.1f}  all"
    yield "       CPU  test (seconds)"
    tests = [(cpu, times.name, test) for times in rows for test, cpu in times.tests.items()]
    for cpu, name, test in sorted(tests, reverse=True)[:_DEAREST]:
        yield f"{cpu:10.1f}  {name}::{test}"
