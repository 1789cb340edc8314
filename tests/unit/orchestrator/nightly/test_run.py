"""What is left of the store after a night."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.history.database import History
from orchestrator.nightly.config import Config, Store
from orchestrator.nightly.run import collect
from orchestrator.nightly.state import State
from orchestrator.store import Store as Folder
from reproducibility import digest as digests
from tests.fakes import FakeObserver
from tests.unit.orchestrator.history.nights import keep, night

if TYPE_CHECKING:
    from pathlib import Path

    from reproducibility.digest import Digest

OLD, NEW = digests.of_bytes(b"old"), digests.of_bytes(b"new")
NOW = datetime.now(UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Nights of which two are kept, whose store has a result of ten days ago, and one of today."""
    folder = tmp_path / "store"
    with closing(Folder(folder)) as store:
        for key, days in ((OLD, 10), (NEW, 0)):
            store.remember("steps", key, {})
            (place,) = folder.rglob(f"{key.hex}.json")
            time = (NOW - timedelta(days=days)).timestamp()
            os.utime(place, (time, time))
    return Config(state=tmp_path / "nightly", store=Store(folder=folder, keep_nights=2))


def after(config: Config, *days: int) -> list[str]:
    """Clean up after nights that began so many days ago, and return what was told."""
    with History.open(State(config.state).database) as history:
        times = [f"{NOW - timedelta(days=one):%Y-%m-%dT%H:%M:%SZ}" for one in days]
        keep(history, [night(number, began=time) for number, time in enumerate(times, 1)])
    observer = FakeObserver()
    collect(config, config.state / "store.log", observer, threading.Event())
    return [text for what, text in observer.told if what == "note"]


def left(config: Config) -> set[Digest]:
    assert config.store.folder is not None
    return {
        digests.Digest("blake3", path.stem)
        for path in config.store.folder.rglob("?" * 64 + ".json")
    }


def test_what_no_build_of_the_last_nights_used_goes(config: Config) -> None:
    assert after(config, 20, 3, 2) == []
    assert left(config) == {NEW}
    log = (config.state / "store.log").read_text()
    assert log.startswith("$ orchestrate store gc --keep-nights 2 --state ")


def test_while_there_are_fewer_nights_it_is_said(config: Config) -> None:
    (told,) = after(config, 3)
    assert told.startswith("the store was not cleaned up: 1 night has made an image")
    assert left(config) == {OLD, NEW}


def test_what_keeps_it_from_that_is_said(config: Config) -> None:
    assert config.store.folder is not None
    with closing(Folder(config.store.folder)):
        (told,) = after(config, 3, 2)
    assert told.startswith("the store was not cleaned up: a build is using the store")
    assert left(config) == {OLD, NEW}
