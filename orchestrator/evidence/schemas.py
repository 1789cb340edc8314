"""JSON schemas (draft 2020-12) of the documents that this program writes, from their models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from orchestrator.artifacts import model as built
from orchestrator.audit import model as audits
from orchestrator.lock import file as locks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
MODELS: Final[Mapping[str, type[BaseModel]]] = {
    "result": built.BuildResult,
    "audit": audits.AuditResult,
    "lock": locks.Lock,
}


def schema(name: str) -> dict[str, Any]:
    """Return the schema of one of `MODELS`, as its file is written.

    Raises:
        KeyError: there is no such document.
    """
    found = MODELS[name].model_json_schema(by_alias=True, mode="serialization")
    if name == "lock":
        # Beside the model, which it is the digest of.
        found["properties"]["checksum"] = {"type": "string", "pattern": "^blake3:[0-9a-f]{64}$"}
    for one in (found, *found.get("$defs", {}).values()):
        if "properties" in one:
            # Each key is written, also where its value is the usual one.
            one["required"] = sorted(one["properties"])
    if name == "lock":
        found["required"] = sorted({*found["required"]} - locks.LEFT_OUT_IF_EMPTY)
    return {"$schema": _DIALECT, **found}
