"""The tables of the history (SQLite), as the migrations that lead from one version to the next.

A migration is never changed once a night was kept with it: what is to be otherwise is another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.history.header import APPLICATION

if TYPE_CHECKING:
    from sqlite3 import Connection

_DATE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_TIME = f"{_DATE}T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]Z"
_OF_NIGHT = "night INTEGER NOT NULL REFERENCES nights (number) ON DELETE CASCADE"
_PLACED = f"{_OF_NIGHT}, place INTEGER NOT NULL"
_BY_PLACE = "PRIMARY KEY (night, place)) WITHOUT ROWID"

# Columns are named as the fields in `model`. What holds lists or tables is JSON; `cached` is 0 or
# 1. What `seal` is, and `details`, is in `orchestrator.history.seals`.
_FIRST = (
    """CREATE TABLE nights (
        number INTEGER PRIMARY KEY, date TEXT NOT NULL, began TEXT NOT NULL, ended TEXT NOT NULL,
        seconds REAL NOT NULL, attempts INTEGER NOT NULL, word TEXT NOT NULL, line TEXT NOT NULL,
        since INTEGER NOT NULL, previous INTEGER, tool_version TEXT NOT NULL,
        tool_digest TEXT NOT NULL, spec TEXT, lock TEXT, locked TEXT, image_blake3 TEXT,
        image_size INTEGER, verdict TEXT, notes TEXT NOT NULL, seal TEXT NOT NULL, details TEXT
    )""",
    # The night that has begun and not ended, of which there is at most one. `latest`: the beginning
    # of its last attempt.
    f"""CREATE TABLE begun (
        one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL CHECK (number >= 1),
        date TEXT NOT NULL CHECK (date GLOB '{_DATE}'),
        began TEXT NOT NULL CHECK (began GLOB '{_TIME}'),
        attempts INTEGER NOT NULL CHECK (attempts >= 1),
        latest TEXT NOT NULL CHECK (latest GLOB '{_TIME}'),
        tool_version TEXT NOT NULL, tool_digest TEXT NOT NULL
    )""",
    f"""CREATE TABLE stages (
        {_PLACED}, name TEXT NOT NULL, state TEXT NOT NULL, status INTEGER, seconds REAL NOT NULL,
        reason TEXT NOT NULL, command TEXT NOT NULL, {_BY_PLACE}""",
    f"""CREATE TABLE changes (
        {_PLACED}, what TEXT NOT NULL, first TEXT, second TEXT, link TEXT NOT NULL, {_BY_PLACE}""",
    f"""CREATE TABLE consequences (
        {_PLACED}, step TEXT NOT NULL, chain TEXT NOT NULL, {_BY_PLACE}""",
    f"""CREATE TABLE varying (
        {_PLACED}, step TEXT NOT NULL, key TEXT NOT NULL, first TEXT, second TEXT,
        seen TEXT NOT NULL, first_night INTEGER NOT NULL, cause TEXT NOT NULL, lines TEXT NOT NULL,
        {_BY_PLACE}""",
    f"""CREATE TABLE steps (
        {_PLACED}, name TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL REFERENCES keys (key),
        outputs TEXT NOT NULL, seconds REAL NOT NULL, cached INTEGER NOT NULL, audited INTEGER,
        verdict TEXT, others TEXT NOT NULL, {_BY_PLACE}""",
    "CREATE INDEX steps_by_key ON steps (key)",
    f"""CREATE TABLE checks (
        {_PLACED}, stage TEXT NOT NULL, code TEXT NOT NULL, subject TEXT NOT NULL,
        verdict TEXT NOT NULL, reason TEXT NOT NULL, {_BY_PLACE}""",
    f"""CREATE TABLE inputs (
        {_PLACED}, kind TEXT NOT NULL, name TEXT NOT NULL, host TEXT NOT NULL,
        version TEXT NOT NULL, content TEXT NOT NULL, {_BY_PLACE}""",
    f"""CREATE TABLE machines (
        {_PLACED}, platform TEXT NOT NULL, verdict TEXT NOT NULL, seconds REAL NOT NULL,
        commands TEXT NOT NULL, {_BY_PLACE}""",
    # Keys of steps: the last audit of each, and what each was seen to give.
    """CREATE TABLE keys (
        key TEXT PRIMARY KEY, audited INTEGER, verdict TEXT, seal TEXT NOT NULL
    ) WITHOUT ROWID""",
    # `number` is the order in which they were seen; `step` and `place`: of the first night. `tool`:
    # the program that made a computation; empty for an action.
    """CREATE TABLE observations (
        number INTEGER PRIMARY KEY, key TEXT NOT NULL REFERENCES keys (key) ON DELETE CASCADE,
        tool TEXT NOT NULL, outputs TEXT NOT NULL, seen TEXT NOT NULL, step TEXT NOT NULL,
        place INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        UNIQUE (key, tool, outputs, seen)
    )""",
)

# The statements of each; the version of the tables is how many of them were carried out.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)


def version() -> int:
    """Return the version of the tables that this program reads and writes."""
    return len(MIGRATIONS)


def carry_out(connection: Connection, version_before: int) -> None:
    """Lead the tables from a version to that of this program, in the transaction that is open."""
    for statements in MIGRATIONS[version_before:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {version()}")
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
