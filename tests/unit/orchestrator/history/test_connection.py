"""Files of a history that are damaged, of others, in use, or cannot be written: nothing is lost."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.history import connection
from orchestrator.history.database import History
from orchestrator.history.header import FILE
from orchestrator.history.retention import Keep
from orchestrator.history.words import Word
from reproducibility.errors import InfrastructureError, InputError, SourceryError
from tests.conftest import examples
from tests.nights import begin, keep, night, without_build
from tests.unit.orchestrator.history.nights import month

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MONTH = list(month())
NIGHTS = [*MONTH[:2], without_build(3, Word.INFRASTRUCTURE, notes=("the end",))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A history of three nights."""
    with History.open(tmp_path / FILE) as history:
        keep(history, NIGHTS)
    return tmp_path / FILE


def refused(path: Path, opening: Callable[[Path], History]) -> SourceryError:
    """How a history is refused; the file is what it was, and nothing is beside it."""
    before = path.read_bytes() if path.is_file() else None
    beside = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    with pytest.raises(SourceryError) as caught:
        opening(path)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert (sorted(path.parent.iterdir()) if path.parent.is_dir() else []) == beside
    assert str(path) in caught.value.subject
    assert caught.value.remedy
    return caught.value


BOTH = pytest.mark.parametrize("opening", [History.open, History.to_read])


# -- settings --------------------------------------------------------------------------------------


def test_what_is_committed_is_on_the_disk(path: Path) -> None:
    with History.open(path) as history:
        values = {
            name: history._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert values == {
        "journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000,
    }  # fmt: skip


def test_a_history_is_made_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / FILE
    with History.open(path) as history:
        assert history.nights() == []
        assert history.size() >= path.stat().st_size
    assert sorted(path.parent.iterdir()) == [path]


def test_room_is_given_back(path: Path) -> None:
    with History.open(path) as history:
        steps = tuple(
            MONTH[0].steps[0].model_copy(update={"name": f"step {n}"}) for n in range(2000)
        )
        keep(history, [night(4, steps=steps)])
    large = path.stat().st_size
    with History.open(path) as history:
        keep(history, [night(5)])
        history.prune(Keep(1))
    assert path.stat().st_size < large // 2


# -- to read ---------------------------------------------------------------------------------------


def test_reading_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    with History.to_read(path) as history:
        assert history.nights(details=True) == NIGHTS
        assert history.bisect().partings == ()
        with pytest.raises(InfrastructureError, match="the history cannot be written"):
            begin(history, night(4))
        with pytest.raises(InfrastructureError, match="the history cannot be written"):
            history.prune(Keep(1))
    assert path.read_bytes() == before


@pytest.mark.parametrize("place", ["none.sqlite", "none/history.sqlite", "history.sqlite/x"])
def test_a_history_that_is_not_there_is_not_made(path: Path, place: str) -> None:
    with pytest.raises(InputError, match="there is no history of nights") as caught:
        History.to_read(path.parent / place)
    assert caught.value.missing
    assert "--state" in caught.value.remedy
    assert sorted(path.parent.iterdir()) == [path]


def test_a_night_that_is_written_meanwhile_is_not_half_there(path: Path) -> None:
    with History.open(path) as writing, History.to_read(path) as reading:
        begin(writing, night(4))
        with connection.writing(writing._connection):
            writing._insert(night(4))
            assert [one.number for one in reading.nights()] == [1, 2, 3]
        assert [one.number for one in reading.nights()] == [1, 2, 3, 4]


READ_ONLY = """
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
shift
exec "$@"
"""
LOOK = """
import sys
from pathlib import Path
from orchestrator.history.database import History
from reproducibility.errors import InfrastructureError
path = Path(sys.argv[1])
try:
    with History.to_read(path) as history:
        print([one.number for one in history.nights(details=True)])
except InfrastructureError as error:
    print(error)
try:
    History.open(path)
except InfrastructureError as error:
    print(error)
"""


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.needs_tools("unshare", "mount")
def test_a_folder_that_cannot_be_written(path: Path, *, log: bool) -> None:
    if log:
        path.with_name(f"{FILE}-wal").write_bytes(b"what somebody wrote and did not take over")
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    done = subprocess.run(
        ["unshare", *own,  # noqa: S607 - found on PATH
         "--mount", "sh", "-ec", READ_ONLY, "sh", str(path.parent),
         sys.executable, "-c", LOOK, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    said = done.stdout.splitlines()
    if log:
        assert said[0] == "the history cannot be opened (unable to open database file)"
    else:
        assert said[0] == "[1, 2, 3]"
    assert f"  where: {path}" in said
    assert any(line.startswith("the history cannot be ") for line in said)
    assert any("as the user that it belongs to" in line for line in said)


# -- damage ----------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("content", [b"\0\0", b"these are no nights\n" * 20, b"\x89PNG" * 5000])
def test_what_is_no_database(
    tmp_path: Path, content: bytes, opening: Callable[..., History]
) -> None:
    path = tmp_path / FILE
    path.write_bytes(content)
    error = refused(path, opening)
    assert error.status == 4
    assert "the history is no SQLite database" in error.summary


class Overtaken:
    """A connection that another one overtakes, where it can, after one statement."""

    def __init__(
        self, connection: sqlite3.Connection, after: str, other: Callable[[], object]
    ) -> None:
        self._connection, self._after = connection, after
        self.other = threading.Thread(target=other)

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def execute(self, statement: str) -> sqlite3.Cursor:
        found = self._connection.execute(statement)
        if statement == self._after and not self.other.ident:
            self.other.start()
            # It may have to wait for this one, which is what is hoped for.
            self.other.join(0.5)
        return found


def test_a_history_that_another_process_is_just_making_is_no_other_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / FILE
    connect = sqlite3.connect
    made: list[Overtaken] = []

    def overtaken(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - those of SQLite
        found = connect(*arguments, **options)
        if made:
            return found
        made.append(Overtaken(found, "PRAGMA application_id", lambda: History.open(path).close()))
        return made[0]

    monkeypatch.setattr(sqlite3, "connect", overtaken)
    History.open(path).close()
    made[0].other.join()
    with History.open(path) as history:
        assert history.nights() == []


@BOTH
def test_the_database_of_another_program(tmp_path: Path, opening: Callable[..., History]) -> None:
    path = tmp_path / FILE
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE nights (number INTEGER)")
    assert refused(path, opening).summary == "this is the database of another program"
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE nights")
        other.execute("PRAGMA application_id = 7")
    assert refused(path, opening).summary == "this is the database of another program"


@BOTH
def test_what_is_no_file(tmp_path: Path, opening: Callable[..., History]) -> None:
    path = tmp_path / FILE
    os.mkfifo(path)
    assert "it is a named pipe, not a file" in refused(path, opening).summary
    path.unlink()
    path.mkdir()
    assert "it is a folder, not a file" in refused(path, opening).summary


def test_a_folder_that_is_none(path: Path) -> None:
    error = refused(path / FILE, History.open)
    assert error.summary == "the history cannot be used: File exists"


def test_an_empty_file_is_a_history_that_was_not_made_yet(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    with History.to_read(tmp_path / FILE) as history:
        assert history.nights() == []
    with History.open(tmp_path / FILE) as history:
        keep(history, NIGHTS)
        assert history.nights(details=True) == NIGHTS


@BOTH
@pytest.mark.parametrize("left", [50, 2000, 4096, 20_000])
def test_a_file_that_was_cut_short(path: Path, left: int, opening: Callable[..., History]) -> None:
    os.truncate(path, left)
    assert "no SQLite database" in (said := refused(path, opening).summary) or "damaged" in said


ALTERED = [
    ("UPDATE nights SET word = 'unchanged' WHERE number = 3", "night 3"),
    ("UPDATE nights SET seconds = seconds + 1 WHERE number = 1", "night 1"),
    ("UPDATE stages SET status = 1 WHERE night = 2 AND place = 0", "night 2"),
    ("DELETE FROM machines WHERE night = 1", "night 1"),
    ("UPDATE steps SET outputs = key WHERE night = 2", "the details of night 2"),
    ("DELETE FROM checks WHERE night = 1", "the details of night 1"),
    ("UPDATE nights SET details = NULL WHERE number = 1", "the details of night 1"),
    ("UPDATE steps SET place = 9 WHERE night = 1 AND place = 0", "the details of night 1"),
]


@pytest.mark.parametrize(("statement", "what"), ALTERED)
def test_a_night_that_somebody_changed(path: Path, statement: str, what: str) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(statement)
    words = f"the history is damaged: what it says of {what} is not what was written"
    with History.open(path) as history:
        with pytest.raises(InfrastructureError) as caught:
            history.nights(details=True)
        assert caught.value.summary == words
        number = int(what[-1])
        others = [one for one in NIGHTS if one.number != number]
        assert [history.night(one.number) for one in others] == others
        with pytest.raises(InfrastructureError):
            history.night(number)
        if what.startswith("night"):
            # Nothing is dropped on the word of a night that is not what was written.
            with pytest.raises(InfrastructureError):
                history.prune(Keep(1))
            assert history.kept() == {1, 2, 3}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE observations SET last = 1 WHERE number = 2",
        "UPDATE observations SET outputs = key WHERE number = 2",
        "DELETE FROM observations WHERE number = 2",
        "UPDATE keys SET audited = 9",
        "UPDATE observations SET key = (SELECT MAX(key) FROM keys WHERE key <> observations.key)",
    ],
)
def test_a_key_that_somebody_changed(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(statement)
    keys = [one.key for one in NIGHTS[0].steps]
    with History.to_read(path) as history:
        for asked in (history.gave, history.audited):
            with pytest.raises(InfrastructureError, match="what it says of the key blake3:"):
                asked(keys)


@settings(max_examples=examples(150))
@given(st.data())
def test_a_damaged_byte_is_noticed_or_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.sqlite"
    whole = _bytes(tmp_path_factory)
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        damaged[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    keys = [one.key for night in NIGHTS for one in night.steps]
    try:
        with History.to_read(path) as history:
            assert history.nights(details=True) == NIGHTS
            assert {key: len(seen) for key, seen in history.gave(keys).items()} == SEEN
            assert history.bisect().partings == ()
    except InfrastructureError as error:
        assert error.remedy
    finally:
        path.unlink()


SEEN = {
    step.key: 2 if step.audited else 1 for night in NIGHTS for step in night.steps
}  # fmt: skip
_WHOLE: list[bytes] = []


def _bytes(factory: pytest.TempPathFactory) -> bytes:
    """A history of three nights, made once."""
    if not _WHOLE:
        path = factory.mktemp("whole") / FILE
        with History.open(path) as history:
            keep(history, NIGHTS)
        _WHOLE.append(path.read_bytes())
    return _WHOLE[0]


# -- in use, full ----------------------------------------------------------------------------------


def test_somebody_else_is_writing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY", 0.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other, History.open(path) as one:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(InfrastructureError, match="another process is writing to the history"):
            begin(one, night(4))
        with pytest.raises(InfrastructureError, match="another process is writing to the history"):
            History.open(path)
        # Whoever reads does not wait.
        assert one.nights(details=True) == NIGHTS
        other.execute("ROLLBACK")
        keep(one, [night(4)])


def test_a_disk_that_is_full(path: Path) -> None:
    steps = tuple(
        MONTH[0].steps[0].model_copy(update={"name": "x" * 900 + str(n)}) for n in range(99)
    )
    made = night(4, steps=steps)
    with History.open(path) as history:
        begin(history, made)
        (pages,) = history._connection.execute("PRAGMA page_count").fetchone()
        history._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(InfrastructureError, match="the disk is full") as caught:
            history.end(made)
        assert "free some space" in caught.value.remedy
        assert history.nights(details=True) == NIGHTS
        history._connection.execute("PRAGMA max_page_count = 100000")
        history.end(made)
        assert history.night(4) == made


def _without_room() -> list[Exception]:
    """What SQLite and the kernel say of a full disk."""
    found: list[Exception] = [OSError(errno.ENOSPC, "No space left on device")]
    for code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE):
        said = sqlite3.OperationalError("as SQLite says it")
        said.sqlite_errorcode = code
        found.append(said)
    return found


@pytest.mark.parametrize("error", _without_room(), ids=["kernel", "file", "index of the log"])
def test_a_full_disk_is_never_called_another_fault(path: Path, error: Exception) -> None:
    with pytest.raises(InfrastructureError) as caught, connection.telling(path):
        raise error
    assert "free some space" in caught.value.remedy


def test_what_a_full_disk_holds_can_be_read(path: Path) -> None:
    """No file can grow, as on a full disk; the index of the log would have to."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(InfrastructureError, match="the disk is full"):
            History.open(path)
        with History.to_read(path) as history:
            assert history.nights(details=True) == NIGHTS
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with History.open(path) as history:
        keep(history, [night(4)])


def test_a_disk_that_fails_is_not_called_full(path: Path) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
    with pytest.raises(InfrastructureError) as caught, connection.telling(path):
        raise error
    assert "dmesg" in caught.value.remedy


def test_a_mistake_of_this_program_is_not_called_damage(path: Path) -> None:
    with History.open(path) as history:
        with pytest.raises(sqlite3.IntegrityError), history._writing():
            history._connection.execute("INSERT INTO nights SELECT * FROM nights")
        assert history.nights(details=True) == NIGHTS
