"""Carries out `orchestrate history`: the list of nights, one of them, where steps parted."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from orchestrator.cli.streams import Marked
from orchestrator.cli.views.night import lines_of
from orchestrator.cli.wording import short
from orchestrator.history.database import History
from orchestrator.history.header import FILE
from orchestrator.history.words import Word
from orchestrator.markup.words import duration, many
from reproducibility.errors import ComparisonError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from orchestrator.cli.session import Session
    from orchestrator.history.database import Begun
    from orchestrator.history.model import Night
    from orchestrator.history.partings import Bisected, Parting

SCHEMA = 1
# How many nights, characters of a night's line, and further partings are shown without -v.
_NIGHTS = 30
_LINE = 72
_PARTINGS = 8
_NEAR = 3
_WIDTH = max(map(len, Word))
_NOW = {
    "still": "the last build still has it",
    "no longer": "what looked at it since saw what it gave before",
    "not looked at since": "no audit has looked at it since",
    "not built any more": "the step is given something else now",
}


def nights(state: Path, since: int | str | None, session: Session) -> int:
    """List nights, the newest last.

    Raises:
        InputError: there is no history.
    """
    with History.to_read(state / FILE) as history:
        found, every = history.nights(since), history.dates()
        going_on, kept, size = history.going_on(), history.kept(), history.size()
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "nights": [night.document() for night in found],
        "kept": sorted(kept),
        "going_on": _begun(going_on),
        "bytes": size,
    }
    lines = [*_list(found, every, everything=session.manner.verbose)]
    if going_on is not None:
        attempts = "" if going_on.attempts == 1 else f" ({going_on.attempts} times)"
        lines.append(
            f"night {going_on.number} of {going_on.date} was begun{attempts} and has not ended"
        )
    if every:
        lines.append(f"details of {many(len(kept), 'night')} are kept, in {short(size)}")
    session.result(document, lines)
    return 0


def show(state: Path, named: int | str | None, session: Session) -> int:
    """Show a night. `named`: its number or its date; None: the last one.

    Raises:
        InputError: there is no such night, or no history.
    """
    with History.to_read(state / FILE) as history:
        number, others = _found(named, history.dates(), history.path)
        night, kept = history.night(number), number in history.kept()
    if others:
        listed = ", ".join(map(str, others))
        session.note(f"of that date there is more than one night; the others: {listed}")
    session.result(
        {"schema": SCHEMA, "kept": kept, "night": night.document()},
        lines_of(night, kept=kept, verbose=session.manner.verbose),
    )
    return 0


def bisect(state: Path, since: int | str | None, session: Session) -> int:
    """Tell where something that was given the same came out otherwise; exit status 1 if it did.

    Raises:
        InputError: there is no history.
    """
    with History.to_read(state / FILE) as history:
        found, dates = history.bisect(since), history.dates()
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "night": found.night,
        "partings": [_parting(one) for one in found.partings],
    }
    lines: Iterator[str] = _bisected(found, dates, everything=session.manner.verbose)
    if since is not None and found.night is not None and not _any_since(since, dates):
        # Nothing was looked at, and that is no success.
        last = _told(max(dates), dates)
        lines = iter([Marked("SKIP", f"  no night since then; the last one is {last}")])
    session.result(document, lines)
    return ComparisonError.status if found.partings else 0


# -- the list


def _list(found: Sequence[Night], every: Mapping[int, str], *, everything: bool) -> Iterator[str]:
    if not every:
        yield "no night has ended yet"
        return
    if not found:
        last = max(every)
        yield f"no night since then; the last one is night {last} of {every[last]}"
        return
    shown = found if everything else found[-_NIGHTS:]
    digits = len(str(found[-1].number))
    for night in shown:
        line = night.line if everything or len(night.line) <= _LINE else f"{night.line[:_LINE]}..."
        rest = " " * (_WIDTH - len(night.word))
        yield Marked(
            night.word,
            f"{rest}  {night.number:>{digits}}  {night.date}  "
            f"{duration(night.seconds):>11}  {line}",
        )
    if len(shown) < len(found):
        yield f"and {len(found) - len(shown)} before these; -v shows all"
    yield ""
    bad = sum(not night.word.good for night in found)
    present = found[-1]
    yield (
        f"{many(len(found), 'night')}, {bad or 'none'} of them bad; "
        f"{present.word} since night {present.since}"
    )


def _begun(going_on: Begun | None) -> dict[str, Any] | None:
    if going_on is None:
        return None
    return {
        "number": going_on.number,
        "date": going_on.date,
        "began": going_on.began,
        "attempts": going_on.attempts,
    }


# -- one night by its name


def _found(
    named: int | str | None, dates: Mapping[int, str], path: Path
) -> tuple[int, tuple[int, ...]]:
    """Return the number of the night that is meant, and others of the same date."""
    if isinstance(named, int):
        return named, ()
    numbers = [number for number, date in dates.items() if named in {None, date}]
    if numbers:
        return numbers[-1], tuple(numbers[:-1]) if named is not None else ()
    near = sorted(dates, key=lambda number: _days_between(dates[number], named))[:_NEAR]
    told = ", ".join(f"{number} of {dates[number]}" for number in sorted(near))
    raise InputError(
        f"there is no night of {named}" if named is not None else "no night has ended yet",
        subject=str(path),
        remedy=f"name another one: the nearest are {told}"
        if told
        else "run `orchestrate nightly` to its end first",
        missing=True,
    )


def _days_between(first: str, second: str | None) -> int:
    try:
        days = date.fromisoformat(first) - date.fromisoformat(str(second))
    except ValueError:  # no day of any month
        return date.max.toordinal()
    return abs(days.days)


# -- bisection


def _bisected(found: Bisected, dates: Mapping[int, str], *, everything: bool) -> Iterator[str]:
    if found.night is None:
        yield Marked("SKIP", "  no night has built anything yet")
        return
    if not found.partings:
        what = "nothing that was given the same came out otherwise"
        yield Marked("PASS", f"  {what}, as far as it is kept, until night {found.night}")
        return
    first, *others = found.partings
    yield Marked("FAIL", f"  {first.step} came out otherwise in {_told(first.night, dates)}")
    yield f"      given the same   {first.key}"
    yield f"      gave before      {first.before}"
    by = "an audit of that night" if first.seen == "audit" else "the build of that night"
    yield f"      and then         {first.after}, seen by {by}"
    yield f"      seen until       {_told(first.until, dates)}; {_NOW[first.now]}"
    yield f"      more of it       orchestrate history show {first.night}"
    if others:
        yield ""
        yield f"      {many(len(others), 'other step')} came out otherwise then or later:"
        width = max(len(one.step) for one in others)
        for one in others if everything else others[:_PARTINGS]:
            yield f"        {one.step:<{width}}  {_told(one.night, dates)}; {_NOW[one.now]}"
        if not everything and len(others) > _PARTINGS:
            yield f"        and {len(others) - _PARTINGS} more; -v shows all"


def _any_since(since: int | str, dates: Mapping[int, str]) -> bool:
    if isinstance(since, int):
        return any(number >= since for number in dates)
    return any(date >= since for date in dates.values())


def _told(number: int, dates: Mapping[int, str]) -> str:
    return f"night {number} of {dates[number]}" if number in dates else f"night {number}"


def _parting(one: Parting) -> dict[str, Any]:
    return {
        "step": one.step,
        "place": one.place,
        "key": str(one.key),
        "night": one.night,
        "before": str(one.before),
        "after": str(one.after),
        "seen": one.seen,
        "until": one.until,
        "now": one.now,
    }
