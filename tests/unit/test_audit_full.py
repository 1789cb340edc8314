"""What `make audit-full` runs, on audits that only say what their matrix is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import audit_full

if TYPE_CHECKING:
    from collections.abc import Sequence

NATIVE = "--native arm64 --only native/arm64"


class Audits:
    """Audits whose commands fill the cells that name them. `status`: of a command."""

    def __init__(self, *cells: tuple[str, str], status: dict[str, int] | None = None) -> None:
        self.open = {(engine, f"orchestrate audit {words}") for engine, words in cells}
        self.status = status or {}
        self.ran: list[str] = []

    def __call__(self, options: Sequence[str]) -> tuple[int, dict[str, Any]]:
        words = " ".join(options)
        self.ran.append(words)
        status = self.status.get(words, 0)
        if not status:
            self.open = {one for one in self.open if one[1] != f"orchestrate audit {words}"}
        cells = [{"engine": engine, "command": command} for engine, command in sorted(self.open)]
        return status, {"error": {"summary": "?"}} if status >= 4 else {"matrix": cells}

    def fill(self, *engines: str) -> int:
        """What is filled."""
        return audit_full.fill(self, engines, lambda _: None)


def test_every_open_cell_is_filled_and_the_whole_audit_comes_last() -> None:
    audits = Audits(
        ("docker", "--engine docker"),
        ("docker", f"{NATIVE} --engine docker"),
        ("sandbox", f"{NATIVE} --engine sandbox"),
    )
    assert audits.fill("docker", "sandbox") == 0
    assert audits.ran == [
        "--only image",
        "--engine docker",
        f"{NATIVE} --engine docker",
        f"{NATIVE} --engine sandbox",
        "",
    ]
    assert not audits.open


def test_what_is_filled_is_not_run_again() -> None:
    audits = Audits()
    assert audits.fill("docker", "sandbox") == 0
    assert audits.ran == ["--only image", ""]


def test_cells_of_an_engine_that_is_not_here_stay_open() -> None:
    audits = Audits(("docker", "--engine docker"), ("sandbox", "--engine sandbox"))
    assert audits.fill("sandbox") == 0
    assert audits.ran == ["--only image", "--engine sandbox", ""]


def test_what_fails_is_run_once_and_the_rest_goes_on() -> None:
    failing = {"--engine docker": 4, f"{NATIVE} --engine sandbox": 1}
    audits = Audits(
        ("docker", "--engine docker"), ("sandbox", f"{NATIVE} --engine sandbox"), status=failing
    )
    assert audits.fill("docker", "sandbox") == 4
    assert audits.ran == ["--only image", "--engine docker", f"{NATIVE} --engine sandbox", ""]


@pytest.mark.parametrize("at", ["--only image", "--engine docker"])
def test_a_signal_ends_it(at: str) -> None:
    audits = Audits(("docker", "--engine docker"), status={at: 130})
    assert audits.fill("docker") == 130
    assert audits.ran[-1] == at
