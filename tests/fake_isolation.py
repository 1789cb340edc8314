"""Isolation that isolates nothing, for a farm in memory (`fake_farm.py`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from containers.engine import Capability, refused_everywhere
from containers.policy import RULES, Enforcement
from containers.remote.request import TOOLS, File, Report, Request, Wrapped
from reproducibility import variations
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from reproducibility.manifest import Tree


class FakeIsolation:
    """Isolation that isolates nothing, and says so: for a farm that runs functions."""

    def wrap(self, request: Request, tools: Tree) -> Wrapped:
        del tools
        asked = {"name": request.action.name, "work": request.action.conditions.work}
        content = json.dumps(asked).encode()
        return Wrapped(("launcher",), {f"{TOOLS}/request": File(content)}, (("A", "B"),))

    def read_report(self, data: bytes, worker: str) -> Report:
        del worker
        try:
            found = json.loads(data)
        except ValueError as error:
            raise InfrastructureError("no report") from error
        return Report(
            refusal=found.get("refusal"),
            remedy=found.get("remedy"),
            enforcement=tuple(
                Enforcement(rule.name, "enforced", "observed by a fake") for rule in RULES
            ),
            exit_status=found["status"],
            seconds=0.5,
            peak_memory=4096,
            ended_by=found.get("ended_by"),
            cpus=2,
            machine="a machine",
        )

    def capabilities(self, processors: int) -> dict[str, Capability]:
        del processors
        able = {name: Capability("a fake") for name in variations.NAMES}
        return {**able, **refused_everywhere()}
