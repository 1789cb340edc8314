"""CPU seconds of each action of a build, run once more alone: what a busy machine disturbs least.

Wall-clock times of a build hold what else the machine did, and two actions beside each other.
"""

from __future__ import annotations

import resource
import sys
import threading
from typing import TYPE_CHECKING

from containers import registry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from containers.action import Action
    from containers.policy import Policy
    from orchestrator.store import Store

# Its processes are this one's descendants, so the kernel counts their time for it.
ENGINE = "sandbox"


def measured(actions: Iterable[Action], policy: Policy, store: Store) -> dict[str, float]:
    """CPU seconds of actions by name, one after the other.

    Raises:
        InfrastructureError: the sandbox does not work here, or an action failed.
    """
    found = {}
    with registry.connect(ENGINE, store.root / "scratch") as engine:
        for action in actions:
            before = _spent()
            outcome = engine.run(action, policy, store, threading.Event())
            found[action.name] = round(_spent() - before, 2)
            ended = f", ended with {outcome.exit_status}" if outcome.failed else ""
            sys.stderr.write(
                f"{action.name}: {outcome.seconds:.1f} s, {found[action.name]:.1f} CPU s{ended}\n"
            )
    return found


def _spent() -> float:
    """CPU seconds of all descendants that have ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
