"""`orchestrate` with a flaw, for nights; started as `orchestrator.cli.child` is.

What an audit makes of a source with the text in `FLAW` comes out otherwise each time, as by a
compiler that is not deterministic.
"""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from containers.sandbox.engine import SandboxEngine
from orchestrator.cli import child
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
    """Run an action; add random bytes to each file that it made of the text in `FLAW`."""
    outcome = _run(self, action, policy, storage, stop)
    text = os.environ["FLAW"].encode()
    others = []
    for entry in () if outcome.failed else outcome.tree.files():
        content = storage.path(entry).read_bytes()
        if text in content:
            with storage.temporary() as folder:
                made = folder / "made"
                made.write_bytes(content + secrets.token_bytes(8))
                size = made.stat().st_size
                others.append(replace(entry, size=size, digest=storage.put_file(made).hex))
    return replace(outcome, tree=outcome.tree.overlaid(Tree(others)))


if __name__ == "__main__":
    # The build's own run came out well; whoever runs it again sees that it need not.
    if os.environ.get("FLAW") and "audit" in sys.argv:
        SandboxEngine.run = flawed  # type: ignore[method-assign]
    child.main()
