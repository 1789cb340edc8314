"""How two trees differ as a whole: many paths that only one side has hide no cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.diagnosis import trees
from orchestrator.diagnosis.model import Cause
from reproducibility.manifest import scan

if TYPE_CHECKING:
    from pathlib import Path


def test_many_paths_of_one_side_leave_room_for_a_cause(tmp_path: Path) -> None:
    for side, moment in (("1", "2026-01-01T00:00:00Z"), ("2", "2026-01-01T00:00:07Z")):
        folder = tmp_path / side
        folder.mkdir()
        for number in range(300):
            (folder / f"a-{side}-{number}").write_text(f"{side} {number}")
        (folder / "z.txt").write_text(f"made {moment}\n")
    first, second = tmp_path / "1", tmp_path / "2"
    found = trees.explain(
        scan(first), scan(second), lambda one: first / one.path, lambda one: second / one.path
    )
    assert found.total == 601
    assert found.main is not None
    assert (found.main.path, found.main.cause) == ("z.txt", Cause.TIME)


def test_equal_trees_have_no_finding(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    tree = scan(tmp_path)
    found = trees.explain(tree, tree, lambda _: tmp_path / "a", lambda _: tmp_path / "a")
    assert (found.findings, found.total, found.main) == ((), 0, None)
