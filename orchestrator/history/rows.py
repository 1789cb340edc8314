"""Nights as rows of the database's tables, and back: what is read is equal to what was written.

A table that a night has several rows of is named as the field, and its columns as the fields of
what that holds. Lists and tables in those are JSON.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orchestrator.history import seals
from orchestrator.history.model import DETAILS, FORMAT, Night
from orchestrator.history.seals import SUMMARY, DamagedError
from orchestrator.history.words import Word

if TYPE_CHECKING:
    from collections.abc import Mapping
    from sqlite3 import Connection

_PARTS = (*SUMMARY[1:], *DETAILS)
_JSON = {"chain", "command", "commands", "lines", "notes", "others"}
# Columns of `nights` that are fields of the night; tool and image have two each, besides.
_FIELDS = (
    *("number", "date", "began", "ended", "seconds", "attempts", "word", "line", "since"),
    *("previous", "spec", "lock", "locked", "verdict", "notes"),
)


def insert(connection: Connection, night: Night) -> None:
    """Write a night and its details; the keys of its steps are there already."""
    document = night.document()
    tool, image = document["tool"], document["image"] or {}
    own = {
        **{name: document[name] for name in _FIELDS},
        "tool_version": tool["version"],
        "tool_digest": tool["digest"],
        "image_blake3": image.get("blake3"),
        "image_size": image.get("size"),
        "seal": "",
    }
    _put(connection, "nights", own)
    for table in _PARTS:
        for place, part in enumerate(document[table]):
            _put(connection, table, {"night": night.number, "place": place, **part})
    seals.seal_night(connection, night.number, details=True)


def read(connection: Connection, first: int, last: int, *, details: bool) -> list[Night]:
    """Read the nights from `first` to `last`, with details where they are wanted and kept.

    Raises:
        DamagedError: a night is not what was written.
    """
    summaries = seals.rows_of_nights(connection, SUMMARY, first, last)
    parts = seals.rows_of_nights(connection, DETAILS, first, last) if details else {}
    for number, rows in summaries.items():
        seals.require_night(number, rows, parts.get(number, {}) if details else None)
    return [_night(rows | parts.get(number, {})) for number, rows in summaries.items()]


def drop_details(connection: Connection, number: int) -> None:
    """Drop the details of a night; its own row stays."""
    for table in DETAILS:
        connection.execute(f"DELETE FROM {table} WHERE night = ?", (number,))  # noqa: S608 - names of its own
    connection.execute("UPDATE nights SET details = NULL WHERE number = ?", (number,))


def _night(rows: seals.Rows) -> Night:
    (own,) = rows["nights"]
    blake3, size = own["image_blake3"], own["image_size"]
    try:
        return Night.model_validate(
            {
                **_decoded({name: own[name] for name in _FIELDS}),
                "schema": FORMAT,
                "word": Word(own["word"]),
                "tool": {"version": own["tool_version"], "digest": own["tool_digest"]},
                "image": None if blake3 is None else {"blake3": blake3, "size": size},
                **{table: [_part(row) for row in rows.get(table, ())] for table in _PARTS},
            }
        )
    except ValueError as error:
        raise DamagedError(f"what it says of night {own['number']} is no night") from error


def _decoded(row: Mapping[str, Any]) -> dict[str, Any]:
    decoded = dict(row)
    for name in _JSON & row.keys():
        decoded[name] = json.loads(row[name])
    return decoded


def _part(row: Mapping[str, Any]) -> dict[str, Any]:
    part = _decoded(row)
    del part["night"], part["place"]
    if "cached" in part:
        part["cached"] = bool(part["cached"])
    return part


def _put(connection: Connection, table: str, row: Mapping[str, Any]) -> None:
    values = [
        json.dumps(value) if isinstance(value, list | dict) else value for value in row.values()
    ]
    names = ", ".join(row)
    marks = ", ".join("?" for _ in row)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)  # noqa: S608 - names of its own
