"""The file of the history, an SQLite database: opened, brought up to date, backed up before that.

A file that is no history of this version, or is damaged, is refused before anything is written.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from containers.host import durable
from orchestrator.history import migrations, seals
from orchestrator.history.header import APPLICATION
from orchestrator.history.seals import DamagedError
from reproducibility import regular
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from sqlite3 import Connection

# Seconds that another process may take for what it writes.
BUSY = 30.0
# Bytes that the log of what was written (`-wal`) may keep after it was taken over.
_LOG = 1 << 20
# The primary code is in the lowest byte (sqlite.org/rescode.html).
_PRIMARY = 0xFF
_BEGIN_ANEW = (
    "put a backup of it in its place, or keep it elsewhere and begin anew in another folder with "
    "--state"
)
_UNREADABLE = "mend it or its permissions, or run this as the user that it belongs to"
_ROOM = "free some space on its disk, and run it again: what was written before is whole"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_CANTOPEN}
# By the whole code, else by the primary one: what happened, and what to do.
_WORDS = {
    # The index of the log cannot grow (os_unix.c, unixShmMap), which only a full disk refuses.
    sqlite3.SQLITE_IOERR_SHMSIZE: ("the history cannot be written: the disk is full", _ROOM),
    sqlite3.SQLITE_NOTADB: ("the history is no SQLite database", _BEGIN_ANEW),
    sqlite3.SQLITE_CORRUPT: ("the history is damaged", _BEGIN_ANEW),
    sqlite3.SQLITE_ERROR: ("the history is damaged", _BEGIN_ANEW),
    sqlite3.SQLITE_FULL: ("the history cannot be written: the disk is full", _ROOM),
    sqlite3.SQLITE_CANTOPEN: ("the history cannot be opened", _UNREADABLE),
    sqlite3.SQLITE_PERM: ("the history cannot be opened", _UNREADABLE),
    sqlite3.SQLITE_READONLY: ("the history cannot be written", _UNREADABLE),
    sqlite3.SQLITE_IOERR: ("the disk of the history failed", "see the kernel's messages (`dmesg`)"),
    **dict.fromkeys(
        (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL),
        ("another process is writing to the history", "run it again later"),
    ),
}


def to_write(path: Path) -> Connection:
    """Open a history, make it where there is none, and bring it up to date.

    Raises:
        InfrastructureError: it cannot be written; it is damaged, of a newer version, or none.
    """
    with telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path):
            _require_file(path)
        with _closed_if_unusable(_connect(path, "mode=rwc")) as connection:
            before = version(connection, path)
            _check(connection)
            if before == 0:
                # Room that is free goes back to the disk; has to be said before there are tables.
                connection.execute("PRAGMA auto_vacuum = FULL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {_LOG}")
            with writing(connection):
                # Another process may have been faster.
                before = version(connection, path)
                if 0 < before < migrations.version():
                    _back_up(path)
                _migrate(connection, before)
            # Whose file it is stands in the file itself from the beginning (`header`), also where
            # whoever made it was killed right after.
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            durable.sync(path.parent)
            connection.execute("PRAGMA foreign_keys = ON")
        return connection


def to_read(path: Path) -> Connection:
    """Open a history to read from it. One of an earlier version is brought up to date in memory.

    Raises:
        InputError: there is none.
        InfrastructureError: it cannot be read; it is damaged, of a newer version, or none.
    """
    with telling(path):
        try:
            _require_file(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise InputError(
                "there is no history of nights",
                subject=str(path),
                remedy="name the folder that nights are kept in with --state",
                missing=True,
            ) from error
        with _closed_if_unusable(_readable(path)) as connection:
            before = version(connection, path)
            _check(connection)
            if before == migrations.version():
                connection.execute("PRAGMA query_only = ON")
                return connection
            later = _set_up(sqlite3.connect(":memory:", isolation_level=None))
            with closing(connection), _closed_if_unusable(later):
                connection.backup(later)
                # Another process may have brought it up to date since: what was copied counts.
                before = version(later, path)
                _check(later)
                _migrate(later, before)
                later.execute("PRAGMA query_only = ON")
        return later


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Context in which errors of SQLite get words.

    Raises:
        InfrastructureError: something is wrong with the history at `path`, its folder or disk.
    """
    try:
        yield
    except (DamagedError, UnicodeDecodeError) as error:
        raise InfrastructureError(
            f"the history is damaged: {error}", subject=str(path), remedy=_BEGIN_ANEW
        ) from error
    except OSError as error:
        raise InfrastructureError(
            f"the history cannot be used: {error.strerror}",
            subject=str(path),
            remedy=_ROOM if error.errno in _FULL else _UNREADABLE,
        ) from error
    except sqlite3.Error as error:
        # Errors of Python's own have no code: what should be text is none.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        if code not in _WORDS:
            code &= _PRIMARY
        if code not in _WORDS:
            raise
        summary, remedy = _WORDS[code]
        raise InfrastructureError(
            f"{summary} ({error})", subject=str(path), remedy=remedy
        ) from error


@contextmanager
def writing(connection: Connection) -> Iterator[None]:
    """Transaction that nobody else writes in; whole or not at all, and on the disk at the end."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have rolled it back itself.
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


@contextmanager
def reading(connection: Connection) -> Iterator[None]:
    """Transaction in which everything is read as of one moment."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def version(connection: Connection, path: Path) -> int:
    """Return the version of the tables; 0 where there are none yet.

    Raises:
        InfrastructureError: it is that of another program, or of a newer version of this one.
    """
    with _at_one_moment(connection):
        ((application,),) = connection.execute("PRAGMA application_id")
        ((found,),) = connection.execute("PRAGMA user_version")
        ((tables,),) = connection.execute("SELECT COUNT(*) FROM sqlite_master")
    if application != APPLICATION and (application or found or tables):
        raise InfrastructureError(
            "this is the database of another program", subject=str(path), remedy=_BEGIN_ANEW
        )
    if found > migrations.version():
        raise InfrastructureError(
            f"the history has tables of version {found}, and this program knows those up to "
            f"{migrations.version()}",
            subject=str(path),
            remedy="use a version of this program that is as new as the one that wrote it",
        )
    return int(found)


def size(path: Path) -> int:
    """Return how many bytes a history takes, with its log and its backups."""
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*"))


def _require_file(path: Path) -> None:
    os.close(regular.descriptor(path))


def _connect(path: Path, how: str) -> Connection:
    address = f"{path.absolute().as_uri()}?{how}"
    return _set_up(sqlite3.connect(address, uri=True, timeout=BUSY, isolation_level=None))


def _set_up(connection: Connection) -> Connection:
    connection.row_factory = sqlite3.Row
    # Nothing that lies in the file is carried out.
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _readable(path: Path) -> Connection:
    """Open a history that is not written to, also where it could not be."""
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        # The log and what is shared of it, which a reader makes too, go with the last who reads.
        connection = _connect(path, "mode=rw")
        try:
            connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            connection.close()
            if error.sqlite_errorcode not in _NO_ROOM or _log(path):
                raise
            # What a full disk holds is what somebody will want to read.
            return _connect(path, "mode=ro&immutable=1")
        return connection
    if path.with_name(f"{path.name}-wal").exists():
        return _connect(path, "mode=ro")
    # Nobody is writing to it: whoever does has a log.
    return _connect(path, "mode=ro&immutable=1")


def _log(path: Path) -> bool:
    """Return whether a log has something that is not in the file itself yet."""
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


@contextmanager
def _closed_if_unusable(connection: Connection) -> Iterator[Connection]:
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


@contextmanager
def _at_one_moment(connection: Connection) -> Iterator[None]:
    """Context in which all that is read is of one moment, whatever another process writes."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        # SQLite may have rolled it back itself.
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _check(connection: Connection) -> None:
    ((found,),) = connection.execute("PRAGMA integrity_check(1)")
    if found != "ok":
        raise DamagedError(found)


def _back_up(path: Path) -> None:
    """Copy the history beside it, whole and on the disk, while nobody can write to it."""
    place = path.with_name(f"{path.name}.before-{migrations.version()}")
    made = place.with_name(f".{place.name}")
    made.unlink(missing_ok=True)
    with closing(_connect(path, "mode=ro")) as now, closing(_connect(made, "mode=rwc")) as copy:
        now.backup(copy)
    durable.sync(made)
    made.replace(place)
    durable.sync(place.parent)


def _migrate(connection: Connection, before: int) -> None:
    """Bring the tables up to date, and what seals them.

    Raises:
        DamagedError: something in them is not what was written.
    """
    if before == migrations.version():
        return
    if before:
        seals.check(connection)
    migrations.carry_out(connection, before)
    if before:
        seals.renew(connection)
