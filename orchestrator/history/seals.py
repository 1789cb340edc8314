"""Seals: the BLAKE3 of rows that belong together, kept beside them, so that a change is noticed.

SQLite notices a damaged page, but not another digit in one. A night has two seals, since its
details go before it does: `nights.seal`, and `nights.details`, which is null where they went. A key
has one, `keys.seal`. They are of the rows as they lie there, whatever columns a version has.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orchestrator.history.model import DETAILS
from reproducibility import digest as digests

if TYPE_CHECKING:
    from collections.abc import Iterable
    from sqlite3 import Connection

# Rows, each by the names of its columns, by their tables.
Rows = dict[str, list[dict[str, Any]]]

SUMMARY = ("nights", "stages", "changes", "varying", "machines")
# Tables that hold seals, and the columns in which they do.
_SEALED = {"nights", "keys"}
_SEALS = {"seal", "details"}
# The largest number of a night that SQLite can hold.
LAST = (1 << 63) - 1


class DamagedError(Exception):
    """What lies in the database is not what was written there."""


def seal(rows: Rows) -> str:
    """Return the seal of rows, without the seals that are in them."""
    bare = dict(rows)
    for table in _SEALED & rows.keys():
        bare[table] = [{name: row[name] for name in row.keys() - _SEALS} for row in rows[table]]
    # What is no JSON was not written by this program, and so has no seal that fits.
    return str(digests.of_bytes(json.dumps(bare, sort_keys=True, default=repr).encode()))


def require_night(number: int, summary: Rows, details: Rows | None = None) -> None:
    """Compare the rows of a night with its seals. `details`: None where they are not looked at.

    Raises:
        DamagedError: they are others.
    """
    (own,) = summary.get("nights") or [{}]
    _require(summary, own.get("seal"), f"night {number}")
    if details or (details is not None and own["details"] is not None):
        _require(details, own["details"], f"the details of night {number}")


def require_key(key: str, rows: Rows) -> None:
    """Compare the rows of a key with its seal.

    Raises:
        DamagedError: they are others.
    """
    (own,) = rows.get("keys") or [{}]
    _require(rows, own.get("seal"), f"the key {key}")


def rows_of_nights(
    connection: Connection, tables: Iterable[str], first: int, last: int
) -> dict[int, Rows]:
    """Read what some tables say of the nights from `first` to `last`, by their numbers."""
    found: dict[int, Rows] = {}
    for table in tables:
        number, order = ("number", "number") if table == "nights" else ("night", "night, place")
        query = f"SELECT * FROM {table} WHERE {number} BETWEEN ? AND ? ORDER BY {order}"  # noqa: S608 - names of its own
        for row in connection.execute(query, (first, last)):
            found.setdefault(row[number], {}).setdefault(table, []).append(dict(row))
    return found


def rows_of_key(connection: Connection, key: str) -> Rows:
    """Read what is known of a key; nothing where it is not known."""
    queries = {
        "keys": "SELECT * FROM keys WHERE key = ?",
        "observations": "SELECT * FROM observations WHERE key = ? ORDER BY number",
    }
    found = {table: connection.execute(query, (key,)) for table, query in queries.items()}
    return {table: those for table, rows in found.items() if (those := [*map(dict, rows)])}


def seal_night(connection: Connection, number: int, *, details: bool) -> None:
    """Write the seals of a night. `details`: whether it has any, be it none."""
    columns = {"seal": SUMMARY, "details": DETAILS} if details else {"seal": SUMMARY}
    for column, tables in columns.items():
        rows = rows_of_nights(connection, tables, number, number).get(number, {})
        connection.execute(
            f"UPDATE nights SET {column} = ? WHERE number = ?",  # noqa: S608 - names of its own
            (seal(rows), number),
        )


def seal_key(connection: Connection, key: str) -> None:
    """Write the seal of a key."""
    made = seal(rows_of_key(connection, key))
    connection.execute("UPDATE keys SET seal = ? WHERE key = ?", (made, key))


def check(connection: Connection) -> None:
    """Compare everything in a database, of this version or an earlier one, with its seals.

    Raises:
        DamagedError: something is otherwise than it was written.
    """
    there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    summaries = rows_of_nights(connection, [t for t in SUMMARY if t in there], 0, LAST)
    details = rows_of_nights(connection, [t for t in DETAILS if t in there], 0, LAST)
    for number, rows in summaries.items():
        require_night(number, rows, details.get(number, {}))
    for (key,) in connection.execute("SELECT key FROM keys").fetchall():
        require_key(key, rows_of_key(connection, key))


def renew(connection: Connection) -> None:
    """Write every seal anew, after a migration changed tables."""
    for number, details in connection.execute("SELECT number, details FROM nights").fetchall():
        seal_night(connection, number, details=details is not None)
    for (key,) in connection.execute("SELECT key FROM keys").fetchall():
        seal_key(connection, key)


def _require(rows: Rows, expected: object, what: str) -> None:
    if seal(rows) != expected:
        raise DamagedError(f"what it says of {what} is not what was written")
