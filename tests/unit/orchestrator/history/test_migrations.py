"""Tables of an earlier version are brought up to date, after they were copied, or stay as is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.history import connection, header, migrations
from orchestrator.history.database import History
from orchestrator.history.header import FILE
from orchestrator.history.words import Word
from reproducibility.errors import InfrastructureError
from tests.nights import TOOL, keep, night, without_build
from tests.unit.orchestrator.history.killing import killed_at_each
from tests.unit.orchestrator.history.nights import month

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.orchestrator.conftest import Child

    Start = Callable[..., Child]

# What `sqlite3 history.sqlite .dump` says of a history of these nights, and its version; written
# by `write` below when there was a new version, and never changed afterwards.
VERSION_1 = Path(__file__).with_name("version_1.sql")
MONTH = list(month())
NIGHTS = [MONTH[0], MONTH[11].model_copy(update={"number": 2}), without_build(3, Word.BUILD_FAILED)]
BEGUN = "2026-01-31"
LATER = (
    "ALTER TABLE nights ADD COLUMN weather TEXT NOT NULL DEFAULT 'rain'",
    "ALTER TABLE observations ADD COLUMN times INTEGER NOT NULL DEFAULT 1",
    "CREATE TABLE visitors (night INTEGER NOT NULL REFERENCES nights (number), name TEXT)",
    "INSERT INTO visitors SELECT number, 'an owl' FROM nights",
)
MUCH_LATER = ("ALTER TABLE nights DROP COLUMN weather",)


def write(path: Path) -> None:
    """Write the history of this version as text, for the tests of later ones."""
    path.unlink(missing_ok=True)
    with History.open(path) as history:
        keep(history, NIGHTS)
        history.begin(date=BEGUN, began=f"{BEGUN}T02:00:00Z", tool=TOOL)
    with closing(sqlite3.connect(path)) as made:
        lines = [*made.iterdump(), f"PRAGMA user_version = {migrations.version()};"]
    lines.append(f"PRAGMA application_id = {header.APPLICATION};")
    VERSION_1.with_name(f"version_{migrations.version()}.sql").write_text("\n".join(lines) + "\n")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A history of version 1, as it was written when that was the newest."""
    with closing(sqlite3.connect(tmp_path / FILE)) as made:
        made.executescript(VERSION_1.read_text())
        made.execute("PRAGMA journal_mode = WAL")
    return tmp_path / FILE


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "MIGRATIONS", (migrations.MIGRATIONS[0], LATER))


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as opened:
        return list(opened.iterdump())


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as opened:
        return int(opened.execute("PRAGMA user_version").fetchone()[0])


def require_nights(path: Path) -> None:
    """Whether everything is there that was before."""
    with History.open(path) as history:
        assert history.nights(details=True) == NIGHTS
        left = history.going_on()
        assert left is not None
        assert (left.number, left.date, left.attempts) == (4, BEGUN, 1)
        (found,) = history.bisect().partings
        assert (found.step, found.night) == ("programs/amd64", 2)


def test_the_first_version_is_what_it_was(path: Path, tmp_path: Path) -> None:
    """Who changes a migration that nights were kept with would have two of one version."""
    History.open(tmp_path / "new.sqlite").close()
    query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    with closing(sqlite3.connect(tmp_path / "new.sqlite")) as new:
        tables = new.execute(query).fetchall()
    if migrations.version() == 1:
        with closing(sqlite3.connect(path)) as old:
            assert old.execute(query).fetchall() == tables
    require_nights(path)


@pytest.mark.usefixtures("later")
def test_an_earlier_version_is_brought_up_to_date(path: Path) -> None:
    before = content(path)
    require_nights(path)
    assert version(path) == 2
    with closing(sqlite3.connect(path)) as opened:
        assert opened.execute("SELECT COUNT(*) FROM visitors").fetchone() == (3,)
        assert opened.execute("PRAGMA foreign_key_check").fetchall() == []
    kept = path.with_name(f"{FILE}.before-2")
    assert content(kept) == before
    assert version(kept) == 1
    assert sorted(path.parent.iterdir()) == [path, kept]
    # It goes on, and is not migrated again.
    inode = kept.stat().st_ino
    with History.open(path) as history:
        begun = history.begin(date=BEGUN, began=f"{BEGUN}T03:00:00Z", tool=TOOL)
        assert (begun.number, begun.attempts) == (4, 2)
        history.end(night(4, attempts=2))
        assert history.nights(details=True) == [*NIGHTS, night(4, attempts=2)]
    assert kept.stat().st_ino == inode


def test_several_versions_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = migrations.MIGRATIONS[0]
    monkeypatch.setattr(migrations, "MIGRATIONS", (first, LATER, MUCH_LATER))
    require_nights(path)
    assert version(path) == 3
    assert version(path.with_name(f"{FILE}.before-3")) == 1


def test_a_new_history_is_of_the_newest_version_and_has_no_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = migrations.MIGRATIONS[0]
    monkeypatch.setattr(migrations, "MIGRATIONS", (first, LATER, MUCH_LATER))
    with History.open(tmp_path / FILE) as history:
        keep(history, NIGHTS)
        assert history.nights(details=True) == NIGHTS
    assert version(tmp_path / FILE) == 3
    assert sorted(tmp_path.iterdir()) == [tmp_path / FILE]


@pytest.mark.usefixtures("later")
def test_an_earlier_version_is_read_without_a_change(path: Path) -> None:
    before = path.read_bytes()
    with History.to_read(path) as history:
        assert history.nights(details=True) == NIGHTS
        with pytest.raises(InfrastructureError, match="cannot be written"):
            history.begin(date=BEGUN, began=f"{BEGUN}T03:00:00Z", tool=TOOL)
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == [path]


def overtake(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Let another program bring the tables up to date once a reader has looked at the file."""
    check, calls = connection._check, iter([True])

    def overtaken(opened: sqlite3.Connection) -> None:
        check(opened)
        if next(calls, False):
            History.open(path).close()

    monkeypatch.setattr(connection, "_check", overtaken)


@pytest.mark.usefixtures("later")
def test_a_reader_whom_the_change_of_the_tables_overtakes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overtake(monkeypatch, path)
    with History.to_read(path) as history:
        assert history.nights(details=True) == NIGHTS
    assert version(path) == 2


def test_a_reader_of_a_history_that_is_just_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / FILE
    path.touch()
    overtake(monkeypatch, path)
    with History.to_read(path) as history:
        assert history.nights() == []
    assert version(path) == migrations.version()


@pytest.mark.parametrize("opening", [History.open, History.to_read])
def test_tables_that_a_newer_program_changes_meanwhile_are_left_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch, opening: Callable[[Path], History]
) -> None:
    with opening(path) as history:
        with monkeypatch.context() as patch:
            patch.setattr(migrations, "MIGRATIONS", (migrations.MIGRATIONS[0], LATER))
            require_nights(path)
        before = content(path)
        with pytest.raises(InfrastructureError, match="has tables of version 2, and this program"):
            history.nights()
        with pytest.raises(InfrastructureError, match=r"tables of version 2|cannot be written"):
            history.begin(date=BEGUN, began=f"{BEGUN}T03:00:00Z", tool=TOOL)
    assert content(path) == before


@pytest.mark.parametrize("opening", [History.open, History.to_read])
def test_a_later_version_is_left_alone(path: Path, opening: Callable[[Path], History]) -> None:
    with closing(sqlite3.connect(path)) as opened:
        opened.execute("PRAGMA user_version = 7")
    before = path.read_bytes()
    with pytest.raises(InfrastructureError) as caught:
        opening(path)
    assert caught.value.summary == (
        "the history has tables of version 7, and this program knows those up to 1"
    )
    assert "as new as the one that wrote it" in caught.value.remedy
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == [path]


def test_a_migration_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(path)
    broken = (*LATER, "ALTER TABLE moons ADD COLUMN phase TEXT")
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", (migrations.MIGRATIONS[0], broken))
        with pytest.raises(InfrastructureError, match="no such table: moons"):
            History.open(path)
    assert content(path) == before
    assert version(path) == 1
    require_nights(path)


@pytest.mark.usefixtures("later")
def test_what_was_damaged_before_is_not_sealed_as_if_it_were_right(path: Path) -> None:
    with closing(sqlite3.connect(path)) as opened, opened:
        opened.execute("UPDATE nights SET word = 'unchanged' WHERE number = 2")
    with pytest.raises(InfrastructureError, match="of night 2 is not what was written"):
        History.open(path)
    assert version(path) == 1


SERVER = """
from tests.unit.orchestrator.history import killing, test_migrations
killing.serve(test_migrations.migrate)
"""


def migrate(path: Path) -> None:
    """What is killed: the tables are brought up to date."""
    migrations.MIGRATIONS = (migrations.MIGRATIONS[0], LATER)
    History.open(path).close()


def test_a_migration_that_is_killed_at_any_statement(
    path: Path, child: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "MIGRATIONS", (migrations.MIGRATIONS[0], LATER))
    versions: list[int] = []
    for place in killed_at_each(child(SERVER), path.parent, path):
        versions.append(version(place))
        require_nights(place)
        # What was begun of a copy was made again, whole.
        assert {one.name for one in place.parent.iterdir()} == {FILE, f"{FILE}.before-2"}
        assert version(place.with_name(f"{FILE}.before-2")) == 1
        assert version(place) == 2
    assert versions.count(1) > len(LATER)
