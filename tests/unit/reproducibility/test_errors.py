"""Errors: what happened, where, what to do; and whose matter it is, as an exit status."""

from __future__ import annotations

import pytest

from reproducibility.errors import (
    ActionError,
    ComparisonError,
    InfrastructureError,
    InputError,
    SourceryError,
    Stopped,
)


def test_diagnostics_have_a_line_for_each_part() -> None:
    error = InputError("no such command", subject="sourcery.toml, line 3", remedy="correct it")
    assert error.diagnostics().splitlines() == [
        "no such command",
        "  where: sourcery.toml, line 3",
        "  remedy: correct it",
    ]
    assert str(error) == error.diagnostics()
    assert InputError("alone").diagnostics() == "alone"


@pytest.mark.parametrize(
    ("kind", "status"),
    [(ComparisonError, 1), (InputError, 2), (ActionError, 3), (InfrastructureError, 4)],
)
def test_each_kind_has_its_exit_status(kind: type[SourceryError], status: int) -> None:
    assert kind.status == status
    assert issubclass(kind, SourceryError)


def test_being_stopped_is_told_apart_from_every_error() -> None:
    assert Stopped.status == 130
    assert not issubclass(Stopped, (InfrastructureError, ActionError, InputError))
