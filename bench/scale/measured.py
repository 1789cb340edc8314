"""CPU seconds of each action of a build, run once more alone: what a busy machine disturbs least.

Wall-clock times of a build hold what else the machine did, and two actions beside each other.
"""

from __future__ import annotations

import resource
import sys
import threading
from typing import TYPE_CHECKING

from containers import registry
from reproducibility.errors import ActionError

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
        ActionError: one of them failed.
        InfrastructureError: the sandbox does not work here.
    """
    found = {}
    with registry.connect(ENGINE, store.root / "scratch") as engine:
        for action in actions:
            before = _spent()
            outcome = engine.run(action, policy, store, threading.Event())
            if outcome.failed:
                raise ActionError(
                    f"{action.name} ended with exit status {outcome.exit_status}",
                    subject=action.name,
                )
            found[action.name] = round(_spent() - before, 2)
            sys.stderr.write(f"{action.name}: {found[action.name]:.1f} CPU s\n")
    return found


def _spent() -> float:
    """CPU seconds of all descendants that have ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
