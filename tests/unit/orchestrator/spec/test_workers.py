"""`[workers]`: which architectures a farm's workers have, and that no build hangs on it."""

from __future__ import annotations

import pytest

from orchestrator.lock import parts
from orchestrator.spec import model as spec
from reproducibility.errors import InputError
from tests.unit.orchestrator.lock.default import DATA, changed

BASE = """
[image]
architectures = ["amd64"]
epoch = 2026-01-01T00:00:00Z
[go]
version = "1.27.3"
bootstrap = "1.26.6"
"""


def test_it_changes_neither_the_spec_s_digest_nor_what_a_build_is_locked_for() -> None:
    plain = spec.parse(BASE)
    farmed = spec.parse(BASE + '[workers]\narchitectures = ["arm64", "amd64"]\n')
    assert farmed.digest == plain.digest
    assert parts.wanted(farmed)["workers"] == "bubblewrap of trixie for amd64 arm64"
    assert "workers" not in parts.wanted(plain)
    assert "workers" in parts.names(parts.wanted(farmed))


@pytest.mark.parametrize("value", ['["amd64", "amd64"]', '["s390x"]', '"amd64"'])
def test_mistakes_are_told(value: str) -> None:
    with pytest.raises(InputError):
        spec.parse(BASE + f"[workers]\narchitectures = {value}\n")


def test_no_build_depends_on_what_is_pinned_for_them() -> None:
    def without(document: dict[str, object]) -> None:
        document.pop("workers", None)
        document["wanted"].pop("workers", None)  # type: ignore[attr-defined] # it is an object

    def other(document: dict[str, object]) -> None:
        document["workers"] = {"riscv64": {"state": "absent", "reason": "no index"}}
        document["wanted"]["workers"] = "bubblewrap of trixie for riscv64"  # type: ignore[index]

    assert changed(without).digest == changed(other).digest
    assert changed(other, DATA).workers.keys() == {"riscv64"}


def test_what_is_pinned_and_what_was_asked_for_must_agree() -> None:
    def unasked(document: dict[str, object]) -> None:
        document["workers"] = {"riscv64": {"state": "absent", "reason": "no index"}}
        document["wanted"].pop("workers", None)  # type: ignore[attr-defined]

    with pytest.raises(InputError, match="for a farm's workers"):
        changed(unasked)
