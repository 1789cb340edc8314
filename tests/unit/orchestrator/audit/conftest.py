"""Worlds that an audit finds: steps in a row, and one with a foreign toolchain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes import Made, Work
from tests.unit.orchestrator.audit.world import (
    BUILD,
    VERSION,
    Foreign,
    World,
    clean,
    prepared,
    programs,
)
from tests.unit.orchestrator.execution.test_scheduler import step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Making = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Making:
    """Make a world of steps that depend on one another in a row, and let audits find it."""

    def make(**table: Work) -> World:
        names = list(table)
        steps = [step(name, *names[at - 1 : at]) for at, name in enumerate(names)]
        made = World(tmp_path, steps, table)
        made.patch(monkeypatch)
        return made

    return make


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Foreign:
    """A build whose toolchain for riscv64 builds itself, and an audit that finds it."""
    table = {
        "F1": clean,
        "cross/riscv64": lambda _: programs(),
        VERSION: lambda _: Made(stdout=b"go version go1.27.3 linux/riscv64\n"),
        BUILD: lambda _: programs(),
    }
    steps = [step("F1"), step("cross/riscv64", "F1")]
    made = Foreign(tmp_path, steps, table)
    prepared(made, tmp_path, monkeypatch)
    return made
