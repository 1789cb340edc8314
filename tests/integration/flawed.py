"""`orchestrate` with a flaw, for nights; started as `orchestrator.nightly.child` is.

What `FLAW` names in an action's command comes out otherwise each time it is run, as by a compiler
that is not deterministic.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from containers.sandbox.engine import SandboxEngine
from orchestrator.nightly import child
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from threading import Event

    from containers.action import Action
    from containers.engine import Outcome, Storage
    from containers.local import LocalEngine
    from containers.policy import Policy

_run = SandboxEngine.run


def flawed(
    self: LocalEngine, action: Action, policy: Policy, storage: Storage, stop: Event
) -> Outcome:
    """Run an action; where it is the one, add a file of random bytes to what it made."""
    outcome = _run(self, action, policy, storage, stop)
    if outcome.failed or os.environ["FLAW"].encode() not in action.document:
        return outcome
    largest = max(outcome.tree.files(), key=lambda entry: entry.size)
    with storage.temporary() as folder:
        made = folder / "made"
        made.write_bytes(storage.path(largest).read_bytes() + secrets.token_bytes(8))
        size = made.stat().st_size
        other = replace(largest, size=size, digest=storage.put_file(made).hex)
    return replace(outcome, tree=outcome.tree.overlaid(Tree([other])))


if __name__ == "__main__":
    if os.environ.get("FLAW"):
        SandboxEngine.run = flawed  # type: ignore[method-assign]
    child.main()
