"""What is remembered of evidence counts for the program that wrote it, and for no other."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import program
from orchestrator.evidence import gathering, licences
from reproducibility import digest
from tests.unit.orchestrator.evidence.test_folder import evidence, prepared

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.store import Store


def counted(monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> list[str]:
    """One entry for each call of a function from now on."""
    calls: list[str] = []
    function = getattr(module, name)

    def call(*given: Any) -> Any:  # noqa: ANN401 - whatever is passed
        calls.append(name)
        return function(*given)

    monkeypatch.setattr(module, name, call)
    return calls


def change_nothing(_: pytest.MonkeyPatch) -> None:
    pass


def change_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "running", lambda: digest.of_bytes(b"another program"))


def change_recogniser(monkeypatch: pytest.MonkeyPatch) -> None:
    before = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: before(name) + "+later")


@pytest.mark.parametrize(
    ("change", "anew"), [(change_nothing, False), (change_program, True), (change_recogniser, True)]
)
def test_a_bill_is_made_anew_by_another_program_or_recogniser(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pytest.MonkeyPatch], None],
    anew: bool,
) -> None:
    """A changed writer would otherwise hide behind what the store remembers of the one before."""
    gathered = counted(monkeypatch, gathering, "contents")
    recognised = counted(monkeypatch, licences, "recognised")
    for name in ("first", "second"):
        out = tmp_path / name
        out.mkdir()
        evidence(store).write(out, prepared(out, store))
        if name == "first":
            assert gathered
            assert recognised
            gathered.clear()
            recognised.clear()
            change(monkeypatch)
    assert bool(gathered) is anew
    assert bool(recognised) is anew
