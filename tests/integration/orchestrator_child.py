"""An orchestrator in a process of its own, for tests that kill it.

Run as `python -m tests.integration.orchestrator_child`, with a request as JSON for its argument.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from containers.action import Action, Mount
from containers.docker.engine import connect
from containers.policy import Limits, Policy
from containers.sandbox.engine import SandboxEngine
from orchestrator.store import Store
from reproducibility.conditions import STANDARD
from reproducibility.digest import Digest
from reproducibility.variations import VARIED

if TYPE_CHECKING:
    from containers.local import Ended


def main(request: dict[str, str]) -> None:
    """Run one action that does nothing for a long time, and say how it ended."""
    store = Store(Path(request["store"]))
    scratch = Path(request["scratch"])
    where = VARIED if request["conditions"] == "varied" else STANDARD
    tree = store.load_tree(Digest.parse(request["input"]))
    action = Action(
        name="sleep",
        command=("/bin/probe", "sleep", "1000", request["token"]),
        environment=(),
        directory=where.work,
        root=store.load_tree(Digest.parse(request["root"])),
        mounts=(Mount("/input", tree), Mount(f"{where.work}/copy", tree, "private")),
        outputs=(),
        epoch=1_600_000_000,
        architecture=request["architecture"],
        conditions=where,
    )
    into = Path(tempfile.mkdtemp(dir=request["into"]))
    policy = Policy(Limits(seconds=300))
    outcome: Ended
    if request["engine"] == "sandbox":
        with SandboxEngine(scratch) as sandbox:
            outcome = sandbox.execute(action, policy, store, into, threading.Event())
    else:
        transfer = "bind" if request["engine"] == "docker-bind" else "api"
        with connect(scratch, transfer) as engine:  # type: ignore[arg-type] # one of the two
            outcome = engine.execute(action, policy, store, into, threading.Event())
    sys.stdout.write(f"{outcome}\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
