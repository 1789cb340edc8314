"""Observations: what the keys of steps were seen to give, by which night, and by what.

They outlive the details of the nights that they are from, as long as a night whose details are
kept uses the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.history import seals
from reproducibility.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from sqlite3 import Connection
    from typing import Any

    from orchestrator.artifacts.model import Word as Verdict
    from orchestrator.history.model import Night, Seen, Step


@dataclass(frozen=True, slots=True)
class Observation:
    """Outputs that a key was seen to give.

    `tool`: the program that made them, which the key of a computation does not name; None for an
    action, which the program does not matter to. `seen`: by a build, which may have remembered
    them, or by an audit, which ran the step again. `night`, `until`: the first and the last night
    that saw them so; there may have been other outputs between. `step`, `place`: its name, and
    where it stood in the plan, in that first night.
    """

    tool: Digest | None
    outputs: Digest
    seen: Seen
    night: int
    until: int
    step: str
    place: int


@dataclass(frozen=True, slots=True)
class Audited:
    """Last audit of a key: in which night, and what came of it."""

    night: int
    verdict: Verdict


def note(connection: Connection, night: Night) -> None:
    """Write down what each key of a night's steps was seen to give."""
    for place, step in enumerate(night.steps):
        key = str(step.key)
        connection.execute(
            "INSERT INTO keys (key, seal) VALUES (?, '') ON CONFLICT DO NOTHING", (key,)
        )
        tool = str(night.tool.digest) if step.kind == "computation" else ""
        for outputs, seen in _seen(step, night.number):
            connection.execute(
                "INSERT INTO observations (key, tool, outputs, seen, step, place, first, last) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (key, tool, outputs, seen) DO UPDATE SET last = excluded.last",
                (key, tool, str(outputs), seen, step.name, place, night.number, night.number),
            )
        if step.audited is not None and step.verdict is not None:
            connection.execute(
                "UPDATE keys SET audited = ?, verdict = ? "
                "WHERE key = ? AND (audited IS NULL OR audited <= ?)",
                (step.audited, step.verdict, key, step.audited),
            )
        seals.seal_key(connection, key)


def gave(connection: Connection, keys: Iterable[Digest]) -> dict[Digest, tuple[Observation, ...]]:
    """Return what keys were seen to give, in the order in which it was; nothing of unknown ones.

    Raises:
        DamagedError: it is not what was written.
    """
    found = {key: _rows(connection, str(key)).get("observations", ()) for key in keys}
    return {key: tuple(map(_observation, rows)) for key, rows in found.items() if rows}


def audited(connection: Connection, keys: Iterable[Digest]) -> dict[Digest, Audited]:
    """Return the last audit of keys; nothing of those that no audit looked at.

    Raises:
        DamagedError: it is not what was written.
    """
    found = {key: row for key in keys for row in _rows(connection, str(key)).get("keys", ())}
    return {
        key: Audited(row["audited"], row["verdict"])
        for key, row in found.items()
        if row["audited"] is not None
    }


def varying(connection: Connection) -> dict[Digest, tuple[Observation, ...]]:
    """Return what those keys were seen to give that gave more than one thing, as `gave`.

    Raises:
        DamagedError: it is not what was written.
    """
    query = "SELECT key FROM observations GROUP BY key HAVING COUNT(DISTINCT outputs) > 1"
    keys = [key for (key,) in connection.execute(query).fetchall()]
    found = {key: _rows(connection, key)["observations"] for key in keys}
    return {Digest.parse(key): tuple(map(_observation, rows)) for key, rows in found.items()}


def forget(connection: Connection, besides: Collection[Digest]) -> int:
    """Forget the keys that no step has any more, except some; returns how many that were."""
    query = "SELECT key FROM keys WHERE key NOT IN (SELECT key FROM steps)"
    unused = {key for (key,) in connection.execute(query)} - {*map(str, besides)}
    connection.executemany("DELETE FROM keys WHERE key = ?", [(key,) for key in unused])
    return len(unused)


def _seen(step: Step, number: int) -> list[tuple[Digest, Seen]]:
    """What a night saw a step give. That an audit passed says that it saw the same."""
    passed = step.audited == number and step.verdict == "PASS"
    found: list[tuple[Digest, Seen]] = [(step.outputs, "build")]
    found += [(step.outputs, "audit")] if passed else []
    return [*found, *((other, "audit") for other in step.others)]


def _rows(connection: Connection, key: str) -> seals.Rows:
    rows = seals.rows_of_key(connection, key)
    if rows:
        seals.require_key(key, rows)
    return rows


def _observation(row: Mapping[str, Any]) -> Observation:
    return Observation(
        tool=Digest.parse(row["tool"]) if row["tool"] else None,
        outputs=Digest.parse(row["outputs"]),
        seen=row["seen"],
        night=row["first"],
        until=row["last"],
        step=row["step"],
        place=row["place"],
    )
