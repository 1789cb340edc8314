"""The history: every night by its number, what its steps gave, what of it is kept and how long.

One row a night, a step, a check, an input, a stage, in an SQLite database. Each method is one
transaction: a program that is killed has done it, or has not. docs/history.md has the tables.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from orchestrator.history import connection as files
from orchestrator.history import observations, partings, retention, rows
from orchestrator.history.model import Night, Tool
from orchestrator.history.partings import Bisected
from orchestrator.history.retention import Brief
from orchestrator.history.seals import LAST
from orchestrator.history.words import Word
from reproducibility.digest import Digest
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path
    from sqlite3 import Connection

    from orchestrator.history.observations import Audited, Observation
    from orchestrator.history.partings import Parting
    from orchestrator.history.retention import Keep

_NEAR = 3
_BUILT = (
    "(image_blake3 IS NOT NULL AND EXISTS (SELECT 1 FROM steps WHERE steps.night = nights.number))"
)
_LAST_BUILT = f"SELECT MAX(number) FROM nights WHERE {_BUILT}"  # noqa: S608 - its own words


@dataclass(frozen=True, slots=True)
class There:
    """Nights whose evidence is there, by their numbers; 0 where there is none.

    `newest`: the last. `ended`: the last of those that a history has certainly known to have ended.
    """

    newest: int = 0
    ended: int = 0


NOTHING = There()


@dataclass(frozen=True, slots=True)
class Begun:
    """Night that has begun and not ended.

    `date`, `began`: of its first attempt. `attempts`: how many there were, with this one. `closed`:
    an earlier night that never ended and was written down as such now, if there was one.
    `forgotten`: the number of one that was going on here, and ended where this history, a backup,
    does not know it; if there was one.
    """

    number: int
    date: str
    began: str
    attempts: int
    closed: Night | None = None
    forgotten: int | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """Nights of which retention dropped the details just now, and those that have theirs still.

    What lies elsewhere of a night that is not in `kept` is of no use any more: a process that was
    killed after an earlier pruning may have left some. `keys`: how many were forgotten.
    """

    went: tuple[int, ...]
    kept: tuple[int, ...]
    keys: int


class History:
    """The history in a file. Made by `open` or `to_read`, and closed at the end.

    Every method raises InfrastructureError where the file is damaged, or cannot be read or written.
    """

    def __init__(self, path: Path, connection: Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a history, make it where there is none, and bring its tables up to date.

        Before tables are changed, the file is copied to `<name>.before-<version>`.

        Raises:
            InfrastructureError: it cannot be written; it is damaged, of a newer version, or none.
        """
        return cls(path, files.to_write(path))

    @classmethod
    def to_read(cls, path: Path) -> Self:
        """Open a history that is there, and change nothing about it.

        Raises:
            InputError: there is none.
            InfrastructureError: it cannot be read; it is damaged, of a newer version, or none.
        """
        return cls(path, files.to_read(path))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing -------------------------------------------------------------------------------

    def begin(self, *, date: str, began: str, tool: Tool, there: There = NOTHING) -> Begun:
        """Begin a night, or go on with one of the same date that never ended.

        One of another date that never ended is closed: it was a night, of the word
        `infrastructure`. Numbers count up, whatever the dates are.

        This history may come from a backup that was made while a night was going on. Where there is
        evidence that it ended then, or a later one's, it is forgotten: it is one of those that this
        history does not know.

        `date`, `began`: as in a night. `there`: the evidence, of whatever history.
        """
        with self._writing():
            left = self._left()
            closed = forgotten = None
            # A night is begun with a number above all that are there.
            if left is not None and (
                there.newest > left["number"] or there.ended >= left["number"]
            ):
                forgotten = left["number"]
                left = None
            elif left is not None and left["date"] != date:
                closed = self._close(left)
                left = None
            if left is None:
                newest = max(self._one("SELECT MAX(number) FROM nights") or 0, there.newest)
                left = {"number": newest + 1, "date": date, "began": began, "attempts": 0}
            begun = Begun(
                *(left["number"], left["date"], left["began"], left["attempts"] + 1),
                closed=closed,
                forgotten=forgotten,
            )
            self._connection.execute(
                "REPLACE INTO begun (one, number, date, began, attempts, latest, tool_version, "
                "tool_digest) VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(begun.number, begun.date, begun.began, begun.attempts, began),
                    *(tool.version, str(tool.digest)),
                ),
            )
            return begun

    def end(self, night: Night) -> None:
        """Write down a night that has begun, with everything that it saw.

        Raises:
            InfrastructureError: it is not this attempt at this night that is going on.
        """
        with self._writing():
            left = self._left()
            if left is None or (left["number"], left["attempts"]) != (night.number, night.attempts):
                raise InfrastructureError(
                    f"attempt {night.attempts} at night {night.number} is not going on any more: "
                    "another process went on with it, or ended it",
                    subject=str(self.path),
                    remedy="run one at a time",
                )
            self._insert(night)
            self._connection.execute("DELETE FROM begun")

    def prune(self, keep: Keep, *, besides: Collection[int] = ()) -> Pruned:
        """Drop the details of nights that are not to be kept, and what was seen of keys by then.

        `besides`: numbers of nights that are kept besides.
        """
        with self._writing():
            nights = self._briefs()
            # Of the present row of bad nights, where it parted is what everybody will ask.
            bad = retention.present_row_of_bad(nights)
            recent = [one for one in self._partings() if bad and one.night >= bad[0].number]
            named = [one.night for one in recent[:1]]
            kept = retention.kept(nights, keep, [*besides, *named])
            there = self._kept()
            went = sorted(there - kept)
            for number in went:
                rows.drop_details(self._connection, number)
            keys = observations.forget(self._connection, [one.key for one in recent])
            return Pruned(tuple(went), tuple(sorted(there & kept)), keys)

    # -- reading -------------------------------------------------------------------------------

    def night(self, number: int) -> Night:
        """Return a night with its details, if they are kept.

        Raises:
            InputError: there is none; says which are near.
        """
        with self._reading():
            found = self._read(number, number) if 0 < number <= LAST else []
            if found:
                return found[0]
            there = self._dates()
        near = sorted(sorted(there, key=lambda one: abs(one - number))[:_NEAR])
        raise InputError(
            f"there is no night {number}",
            subject=str(self.path),
            remedy=f"name another one: the nearest are {', '.join(map(str, near))}"
            if near
            else "no night has ended yet",
            missing=True,
        )

    def nights(self, since: int | str | None = None, *, details: bool = False) -> list[Night]:
        """Return the nights in the order of their numbers.

        `since`: the number of the first one, or its date: then the first night of that date or a
        later one, and all after it, whatever their dates are. `details`: with steps, checks, inputs
        and consequences, where they are kept; without, all nights of years take a moment.
        """
        with self._reading():
            return self._read(self._first(since), LAST, details=details)

    def dates(self) -> Mapping[int, str]:
        """Return the dates of the nights by their numbers, in order."""
        with self._reading():
            return self._dates()

    def last(self) -> Night | None:
        """Return the last night that ended; None where there is none."""
        with self._reading():
            return self._at("SELECT MAX(number) FROM nights")

    def last_built(self) -> Night | None:
        """Return the last night that made an image, with its steps; None where there is none."""
        with self._reading():
            return self._at(_LAST_BUILT)

    def going_on(self) -> Begun | None:
        """Return the night that has begun and not ended; None where there is none."""
        with self._reading():
            left = self._left()
        if left is None:
            return None
        return Begun(left["number"], left["date"], left["began"], left["attempts"])

    def since(self, word: Word, number: int) -> int:
        """Return the first of the row of nights with one word that a new night belongs to.

        `number`: that night's, which is the last of the row.
        """
        with self._reading():
            return self._since(word, number)

    def kept(self) -> frozenset[int]:
        """Return the numbers of the nights whose details are kept."""
        with self._reading():
            return frozenset(self._kept())

    def gave(self, keys: Iterable[Digest]) -> Mapping[Digest, tuple[Observation, ...]]:
        """Return what keys of steps were seen to give, each in the order in which it was.

        By builds and audits of the nights that ended. Unknown keys are left out.
        """
        with self._reading():
            return observations.gave(self._connection, keys)

    def audited(self, keys: Iterable[Digest]) -> Mapping[Digest, Audited]:
        """Return the last audit of each key; those that none looked at are left out."""
        with self._reading():
            return observations.audited(self._connection, keys)

    def bisect(self, since: int | str | None = None) -> Bisected:
        """Return where steps gave something else than the same key had given before.

        `since`: only what was seen to do so in this night, as `nights` has it, or later ones.
        """
        with self._reading():
            first = self._first(since)
            found = [one for one in self._partings() if one.until >= first]
            return Bisected(tuple(found), self._one(_LAST_BUILT))

    def size(self) -> int:
        """Return how many bytes the history takes on the disk, with log and backups."""
        with files.telling(self.path):
            return files.size(self.path)

    # -- within a transaction ------------------------------------------------------------------

    def _close(self, left: Mapping[str, Any]) -> Night:
        """Write down a night that never ended: of its last attempt, only its beginning is known."""
        number, attempts = left["number"], left["attempts"]
        times = "once" if attempts == 1 else f"{attempts} times"
        word = Word.INFRASTRUCTURE
        since = self._since(word, number)
        night = Night(
            number=number,
            date=left["date"],
            began=left["began"],
            ended=left["latest"],
            seconds=0.0,
            attempts=attempts,
            word=word,
            line=f"It was begun {times} and never came to its end, since night {since}",
            since=since,
            previous=self._one("SELECT MAX(number) FROM nights WHERE image_blake3 IS NOT NULL"),
            tool=Tool(version=left["tool_version"], digest=left["tool_digest"]),
            spec=None,
            lock=None,
            locked=None,
            image=None,
            verdict=None,
            stages=(),
            changes=(),
            consequences=(),
            varying=(),
            steps=(),
            checks=(),
            inputs=(),
            machines=(),
            notes=(),
        )
        self._insert(night)
        return night

    def _insert(self, night: Night) -> None:
        observations.note(self._connection, night)
        rows.insert(self._connection, night)

    def _left(self) -> dict[str, Any] | None:
        """The night that has begun and not ended."""
        row = self._connection.execute("SELECT * FROM begun").fetchone()
        return None if row is None else dict(row)

    def _briefs(self) -> list[Brief]:
        query = "SELECT DISTINCT night FROM steps"
        built = {number for (number,) in self._connection.execute(query)}
        return [
            Brief(
                one.number, one.date, one.word, built=one.image is not None and one.number in built
            )
            for one in self._read(1, LAST, details=False)
        ]

    def _partings(self) -> tuple[Parting, ...]:
        night = self._one(_LAST_BUILT)
        query = "SELECT key FROM steps WHERE night = ?"
        keys = {Digest.parse(key) for (key,) in self._connection.execute(query, (night,))}
        return partings.partings(observations.varying(self._connection), night, keys)

    def _dates(self) -> dict[int, str]:
        query = "SELECT number, date FROM nights ORDER BY number"
        return dict(self._connection.execute(query).fetchall())

    def _kept(self) -> set[int]:
        query = "SELECT number FROM nights WHERE details IS NOT NULL"
        return {number for (number,) in self._connection.execute(query)}

    def _first(self, since: int | str | None) -> int:
        if isinstance(since, str):
            since = self._one("SELECT MIN(number) FROM nights WHERE date >= ?", since) or LAST
        return min(since or 1, LAST)

    def _since(self, word: Word, number: int) -> int:
        query = "SELECT MAX(number) FROM nights WHERE word <> ? AND number < ?"
        other = self._one(query, word, number) or 0
        query = "SELECT MIN(number) FROM nights WHERE number > ? AND number < ?"
        return self._one(query, other, number) or number

    def _read(self, first: int, last: int, *, details: bool = True) -> list[Night]:
        return rows.read(self._connection, first, last, details=details)

    def _at(self, query: str) -> Night | None:
        number = self._one(query)
        return None if number is None else self._read(number, number)[0]

    def _one(self, query: str, *values: object) -> int | None:
        ((found,),) = self._connection.execute(query, values)
        return None if found is None else int(found)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with files.telling(self.path), files.writing(self._connection):
            # A newer program may have changed the tables since this one opened the file.
            files.version(self._connection, self.path)
            yield

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with files.telling(self.path), files.reading(self._connection):
            files.version(self._connection, self.path)
            yield
