"""What the processes of one session share: a folder, and things that are made in it once.

With `-n N` (pytest-xdist) the integration tests run in several processes, a test file in one of
them. A session fixture exists once in each; what takes minutes is made by whoever comes first, and
the others wait for it.
"""

from __future__ import annotations

import fcntl
import json
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from tests.conftest import is_worker, workshop_name
from tests.integration.building import Ran

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

_HIDDEN = ".shared"
_TOLD = "told"


def folder(beside: Path) -> Path:
    """The session's folder in the folder that holds the store, made if it is not there."""
    found = beside / workshop_name()
    found.mkdir(exist_ok=True)
    found.chmod(0o755)
    return found


def once(folder: Path, name: str, make: Callable[[], Ran]) -> Ran:
    """The run of the command line that `make` is, which one process of the session makes.

    `folder`: the session's. A run that failed is tried again by the next process.
    """
    hidden = folder / _HIDDEN
    hidden.mkdir(exist_ok=True)
    with (hidden / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = hidden / f"{name}.json"
        if kept.exists():
            return Ran(*json.loads(kept.read_bytes()))
        made = make()
        kept.write_text(json.dumps(astuple(made)))
    return made


def tell(config: pytest.Config, what: dict[str, list[Any]]) -> None:
    """Give lists of a worker to the process that leads the session."""
    if is_worker(config):
        config.workeroutput[_TOLD] = what  # type: ignore[attr-defined]


def told(node: object) -> dict[str, list[Any]]:
    """The lists that a worker gave at its end; none where it broke off."""
    found: dict[str, list[Any]] = getattr(node, "workeroutput", {}).get(_TOLD, {})
    return found
