"""What a process sees of its surroundings: actions of the sandbox engine, and where it can write.

    python -m tests.integration.under_unit STORE TREE FOLDER

Run by itself and under the rules of a unit, it must see the same. Writes `found.json` into FOLDER.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from containers.policy import Limits, Policy
from containers.sandbox.engine import SandboxEngine
from orchestrator.store import Store
from reproducibility import manifest, variations
from reproducibility.conditions import STANDARD
from reproducibility.digest import Digest
from tests.integration.engine_fixtures import Builder


def seen(store: Store, tree: Digest, folder: Path) -> dict[str, Any]:
    """Run an action under the usual conditions, and under all that the engine can vary."""
    builder = Builder(store, store.load_tree(tree))
    found: dict[str, Any] = {}
    with SandboxEngine(folder / "scratch") as engine:
        engine.check()
        able = engine.capabilities()
        found["refusals"] = {name: one.refusal for name, one in able.items() if one.refusal}
        names = [name for name, one in able.items() if not one.refusal]
        for conditions in (STANDARD, variations.varied(engine.processors, names)):
            action = builder.action("produce", outputs=("out",), conditions=conditions)
            into = folder / f"run-{len(found)}"
            into.mkdir()
            policy = Policy(Limits(seconds=60))
            outcome = engine.execute(action, policy, store, into, threading.Event())
            digest = manifest.scan(outcome.outputs).digest
            found[into.name] = [outcome.exit_status, outcome.ended_by, str(digest)]
    return found


def written(place: Path) -> str:
    """What comes of writing a file there: the name of the error, or nothing."""
    try:
        place.write_bytes(b"")
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    place.unlink()
    return ""


def main() -> None:
    """Write down what is seen here."""
    store, tree, into = sys.argv[1:]
    with closing(Store(Path(store))) as opened:
        found = seen(opened, Digest.parse(tree), Path(into))
    status = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines()
    )
    found["privileges"] = status["NoNewPrivs"].strip()
    found["writing"] = {
        name: written(Path(name) / f"sourcery-{os.getpid()}")
        for name in ("/etc", "/usr", str(Path(__file__).parent), into)
    }
    (Path(into) / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
