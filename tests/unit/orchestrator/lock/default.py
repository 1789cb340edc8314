"""The default lock with changes planted in it, each with a checksum that fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.lock import file as locks
from reproducibility import canonical
from reproducibility import digest as digests

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = (Path(__file__).parents[4] / "sourcery.lock").read_bytes()


def changed(change: Callable[[dict[str, Any]], object], data: bytes = DATA) -> locks.Lock:
    """A lock with a change, read back from its file form."""
    document = json.loads(data)
    change(document)
    document.pop("checksum", None)
    checksum = digests.of_bytes(canonical.dumps(document))
    return locks.parse(canonical.pretty({"checksum": str(checksum), **document}))


def named(document: dict[str, Any], name: str) -> dict[str, Any]:
    """The first input of a name in a lock's document."""
    found: dict[str, Any] = next(one for one in document["inputs"] if one["name"] == name)
    return found
