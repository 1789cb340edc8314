"""Tests of the matrix's cells and of what a store remembers of them."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from orchestrator.artifacts.model import Engine
from orchestrator.audit import matrix
from orchestrator.store import Store
from reproducibility import digest as digests
from reproducibility.errors import Stopped

if TYPE_CHECKING:
    from pathlib import Path

BUILD = digests.of_bytes(b"a build")
EVIDENCE = matrix.Evidence(
    outputs=digests.of_bytes(b"outputs"),
    keys=(digests.of_bytes(b"key"),),
    checks=("release.same",),
    engine=Engine(name="sandbox", identity="Linux", version="1"),
    emulator=None,
    tool="1",
)
CELL = matrix.Cell(
    host="amd64",
    target="arm64",
    root="go 1.26.6",
    engine="sandbox",
    how="cross",
    comparison="release",
    verdict="PASS",
    reason="the module hash of our files is the published one",
    evidence=EVIDENCE,
    when="2026-01-02T00:00:00Z",
    command="",
)
OPEN = CELL.model_copy(
    update={"evidence": None, "verdict": "SKIP", "when": "", "command": "orchestrate audit"}
)


def changed(**changes: object) -> matrix.Cell:
    return CELL.model_copy(update=changes)


def test_cells_are_remembered(tmp_path: Path) -> None:
    other = changed(engine="docker")
    store = Store(tmp_path / "store")
    assert matrix.Record(store, BUILD).cells() == ()
    assert matrix.Record(store, BUILD).add([CELL]) == (CELL,)
    assert matrix.Record(store, BUILD).add([other]) == (other, CELL)
    store.close()
    again = Store(tmp_path / "store")
    assert matrix.Record(again, BUILD).cells() == (other, CELL)
    assert matrix.Record(again, digests.of_bytes(b"another build")).cells() == ()
    again.close()


@pytest.mark.parametrize(
    ("before", "further", "kept"),
    [
        (CELL, OPEN, CELL),
        (OPEN, CELL, CELL),
        (CELL, changed(verdict="FAIL", when="2026-01-03T00:00:00Z"), 1),
        # No clock decides.
        (CELL, changed(verdict="FAIL", when="2026-01-01T00:00:00Z"), 1),
        (changed(when="2999-01-01T00:00:00Z"), CELL, 1),
        (CELL, changed(reason="other words"), 1),
    ],
)
def test_the_later_of_two_cells_stays(
    before: matrix.Cell, further: matrix.Cell, kept: matrix.Cell | int
) -> None:
    wanted = (before, further)[kept] if isinstance(kept, int) else kept
    assert matrix.merge([before], [further]) == (wanted,)


@pytest.mark.parametrize("cells", [None, 1, "no JSON", "{}", "[1]", '[{"host": "amd64"}]'])
def test_what_cannot_be_read_is_not_remembered(tmp_path: Path, cells: object) -> None:
    store = Store(tmp_path / "store")
    store.remember("matrix", BUILD, {"cells": cells})
    assert matrix.Record(store, BUILD).cells() == ()
    assert matrix.Record(store, BUILD).add([CELL]) == (CELL,)
    store.close()


def test_a_cell_that_cannot_be_read_is_kept_and_hides_no_other_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    odd = {"host": "a machine of later", "number": 1.5}
    text = json.dumps([CELL.model_dump(mode="json"), odd])
    store.remember("matrix", BUILD, {"cells": text})
    record = matrix.Record(store, BUILD)
    assert (record.cells(), record.unread) == ((CELL,), 1)
    other = changed(engine="docker")
    assert record.add([other]) == (other, CELL)
    assert (record.cells(), record.unread) == ((other, CELL), 1)
    assert odd in json.loads((store.recall("matrix", BUILD) or {})["cells"])
    store.remember("matrix", BUILD, {"cells": "no JSON"})
    record.add([CELL])
    assert (record.cells(), record.unread) == ((CELL,), 1)
    store.close()


FAILED = changed(verdict="FAIL", reason="bin/go differs", when="2026-01-03T00:00:00Z")


def test_what_takes_the_place_of_a_fail_says_so_for_ever(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    record = matrix.Record(store, BUILD)
    record.add([FAILED])
    for _ in range(3):
        (made,) = record.add([changed(when="2026-01-04T00:00:00Z")])
        assert (made.verdict, made.failed) == ("PASS", "2026-01-03T00:00:00Z")
        assert made.reason == f"{CELL.reason}; FAILed on 2026-01-03T00:00:00Z"
        # And one that was read back and is added again.
        assert record.add([made]) == (made,)
    record.add([changed(verdict="FAIL", when="")])
    (made,) = record.add([CELL])
    assert made.reason.endswith("; FAILed on a day that is not known")
    store.close()


def test_what_follows_from_the_build_is_computed_anew_but_takes_no_fail_back(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "store")
    record = matrix.Record(store, BUILD)
    record.add([CELL])
    skipped = changed(verdict="SKIP", when="2026-01-01T00:00:00Z")
    assert record.add([], [skipped]) == (skipped,)
    assert record.add([], [FAILED]) == (FAILED,)
    assert record.add([], [CELL]) == (FAILED,)
    store.close()


def test_what_differs_is_kept_by_garbage_collection(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    matrix.Record(store, BUILD).add([changed(verdict="FAIL"), changed(engine="docker")])
    assert (store.recall("matrix", BUILD) or {})["outputs"] == [str(EVIDENCE.outputs)]
    store.close()


def test_adding_cells_does_not_wait_for_another_audit_once_it_is_stopped(store: Store) -> None:
    stop = threading.Event()
    stop.set()
    with store.only_one(BUILD), pytest.raises(Stopped):
        matrix.Record(store, BUILD).add([CELL], stop=stop)
    assert matrix.Record(store, BUILD).add([CELL], stop=stop) == (CELL,)


def again(verdict: str, *varied: str, rounds: int | None = None) -> matrix.Cell:
    """What an audit that ran actions again says; by an earlier version where nothing was varied."""
    code = "conditions.differs" if verdict == "FAIL" else "conditions.same"
    update = {"checks": (code,), "varied": varied or None, "rounds": rounds}
    return changed(verdict=verdict, evidence=EVIDENCE.model_copy(update=update))


def test_all_fails_because_of_actions_have_to_be_taken_back(store: Store) -> None:
    record = matrix.Record(store, BUILD)
    record.add([again("FAIL", "host", rounds=2)])
    record.add([again("FAIL", "zone", rounds=1)])
    for less in (
        CELL,
        again("PASS", "zone", rounds=2),
        again("PASS", "host", rounds=2),
        again("PASS", "host", "zone", rounds=1),
        again("SKIP", rounds=2),
    ):
        (made,) = record.add([less])
        assert (made.verdict, made.evidence and made.evidence.varied) == ("FAIL", ("host", "zone"))
    assert record.add([again("PASS", "host", "user", "zone", rounds=2)])[0].verdict == "PASS"


def test_what_earlier_versions_found_is_taken_back_by_all_that_can_be_varied(store: Store) -> None:
    record = matrix.Record(store, BUILD)
    record.add([again("FAIL")])
    record.add([again("FAIL", "zone", rounds=1)])
    whole = again("PASS", "host", "zone", rounds=1)
    assert record.add([whole])[0].verdict == "FAIL"
    assert record.add([again("PASS", "zone")], able=("host", "zone"))[0].verdict == "FAIL"
    assert record.add([whole], able=("host", "zone"))[0].verdict == "PASS"
