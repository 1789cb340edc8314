"""`orchestrate store gc --keep-nights`: what goes, when nothing does, wrong usage."""

from __future__ import annotations

import json
import os
import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.cli.main import run
from orchestrator.history.database import History
from orchestrator.history.header import FILE
from orchestrator.store import Store
from reproducibility import digest
from tests.nights import keep, night

if TYPE_CHECKING:
    from pathlib import Path

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of two blobs that no result refers to."""
    root = tmp_path / "store"
    with closing(Store(root)) as opened:
        opened.put_bytes(b"kept")
        opened.put_bytes(b"also")
    return root


def fill(state: Path, *days: int) -> None:
    """Keep nights that began so many days ago."""
    now = datetime.now(UTC)
    times = [f"{now - timedelta(days=one):%Y-%m-%dT%H:%M:%SZ}" for one in days]
    with History.open(state / FILE) as history:
        keep(history, [night(number, began=time) for number, time in enumerate(times, 1)])


def by_nights(store: Path, state: Path, number: int) -> list[str]:
    return [
        *("store", "gc", "--keep-nights", str(number)),
        *("--state", str(state), "--store", str(store)),
    ]


def test_collecting_by_nights(store: Path, tmp_path: Path, capsys: Captured) -> None:
    with closing(Store(store)) as opened:
        tree = digest.of_bytes(b"kept")
        opened.remember("inputs", tree, {"tree": str(tree)})
    (place,) = (store / "results").rglob("*.json")
    four_days_ago = (datetime.now(UTC) - timedelta(days=4)).timestamp()
    os.utime(place, (four_days_ago, four_days_ago))
    fill(tmp_path / "nightly", 9, 5, 2, 1)
    assert run([*by_nights(store, tmp_path / "nightly", 3), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["removed"], found["reason"]) == (1, "")
    assert place.exists()
    assert run(by_nights(store, tmp_path / "nightly", 2)) == 0
    assert re.fullmatch(
        r"removed 2 files, .*; kept what was used since [0-9-]+T[0-9:]+Z\n", capsys.readouterr().out
    )
    assert not place.exists()


@pytest.mark.parametrize(
    ("days", "reason"),
    [((), "0 nights have made an image"), ((1,), "1 night has made"), ((2, -2), "still to come")],
)
def test_nights_that_say_nothing_drop_nothing(
    store: Path, tmp_path: Path, days: tuple[int, ...], reason: str, capsys: Captured
) -> None:
    fill(tmp_path / "nightly", *days)
    assert run(by_nights(store, tmp_path / "nightly", 2)) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("removed nothing: ")
    assert reason in shown
    assert run([*by_nights(store, tmp_path / "nightly", 2), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["removed"], found["bytes"], found["used_since"]) == (0, 0, None)
    assert reason in found["reason"]
    assert found["lacking"] == 2 - len(days)
    assert len(list((store / "blobs").rglob("?" * 64))) == 2


def test_without_a_history_nothing_is_dropped(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["store", "gc", "--keep-nights", "2", "--store", str(store)]) == 2
    told = capsys.readouterr().err
    assert "there is no history of nights" in told
    assert f"where: {tmp_path / 'nightly' / FILE}" in told
    assert len(list((store / "blobs").rglob("?" * 64))) == 2
    assert not (tmp_path / "nightly").exists()


@pytest.mark.parametrize("days", ["1", "30"])
def test_nights_and_days_exclude_each_other(store: Path, days: str, capsys: Captured) -> None:
    both = ["--keep-nights", "2", "--unused-for", days, "--store", str(store)]
    assert run(["store", "gc", *both]) == 2
    assert "--keep-nights and --unused-for exclude each other" in capsys.readouterr().err
    assert run(["store", "gc", "--state", str(store), "--store", str(store)]) == 2
    assert "--state is where --keep-nights finds nights" in capsys.readouterr().err
