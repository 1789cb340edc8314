"""Kills nights with their processes, and looks for what they might leave behind."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from containers.sandbox import own_groups
from orchestrator.history.database import History
from tests.integration import building

if TYPE_CHECKING:
    from orchestrator.history.model import StageName
    from tests.integration.building import Running
    from tests.integration.nights_project import World


def orphaned_groups() -> set[Path]:
    """Control groups of engines that are gone, and of actions that nobody waits for."""
    found = set()
    for group in Path("/sys/fs/cgroup").glob("*/**/sourcery-*"):
        try:
            handle = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found.add(group)
        except BlockingIOError:
            pass
        finally:
            os.close(handle)
    unified = own_groups.of_version_2()
    if unified is not None:
        for group in unified.glob("*/"):
            if not (group / "cgroup.procs").read_text():
                found.add(group)
    return found


class Killing:
    """Kills nights, and sees that nothing of them is left and that none is lost."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stages = {one.name: one.seconds for one in world.nights["nothing new"].record.stages}
        self._groups = orphaned_groups()
        self._had = world.numbers()
        self._attempts = 0

    def outside(self, stage: StageName, part: float) -> None:
        """Kill one from outside, some time after a stage has begun."""
        running = self._begin(f"killed in {stage}", audited=stage == "audit")
        running.wait_for(rf"started +{stage}\b")
        time.sleep(part * self._stages[stage])
        had = building.descendants(running.process.pid)
        os.killpg(running.process.pid, signal.SIGKILL)
        self._ended(running, had)
        self._goes_on()

    def at(self, moment: str) -> None:
        """Kill one at a moment of its end."""
        running = self._begin(f"killed at {moment}", DIES=moment)
        self._ended(running, {})
        self._goes_on()

    def over(self, name: str, moment: str) -> None:
        """Kill one that was written down already."""
        began = time.monotonic()
        running = self._begin(f"killed at {moment}", DIES=moment)
        ran = self._ended(running, {})
        self._had = [*self._had, self._had[-1] + 1]
        assert self._world.numbers() == self._had
        self._world.saw(name, ran, time.monotonic() - began)
        self._attempts = 0

    def _begin(self, what: str, *, audited: bool = False, **variables: str) -> Running:
        """Begin one. `audited`: where it is not killed in its audit, that only takes time."""
        self._attempts += 1
        config = self._world.configure(budget="10m" if audited else "0s")
        return self._world.start(config, what, **variables)

    def _ended(self, running: Running, had: dict[int, str]) -> building.Ran:
        ran = running.end()
        assert ran.status == -signal.SIGKILL, ran.stderr
        building.check_gone(had)
        building.check_no_trace(str(self._world.store))
        building.check_clean(self._world.store)
        assert orphaned_groups() <= self._groups
        return ran

    def _goes_on(self) -> None:
        with History.to_read(self._world.state.database) as history:
            begun = history.going_on()
        assert self._world.numbers() == self._had
        assert begun is not None
        assert (begun.number, begun.attempts) == (self._had[-1] + 1, self._attempts)
