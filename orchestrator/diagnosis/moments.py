"""Reads moments in texts and in binary fields, and judges whether a clock or a zone differs. Pure.

A zone shows as a difference of whole quarters of an hour with nothing else changed: all zones in
use are such.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from orchestrator.diagnosis.model import Cause, Judgement, Sureness

_QUARTER = 900
# Between the zones that are the furthest apart: UTC-12 and UTC+14.
_WIDEST = 26 * 3600
_CLOSE = 400 * 86_400
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# 2001-09-09, from which on there are ten digits, to 2065.
_EARLIEST, _LATEST = 1_000_000_000, 3_000_000_000
_FIRST_BUILD, _LAST_BUILD = 1_577_836_800, 2_208_988_800
_ZONES = {
    "Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "BST": 60, "CET": 60, "WEST": 60, "CEST": 120, "EET": 120,
    "EEST": 180, "MSK": 180, "IST": 330, "JST": 540, "EST": -300, "EDT": -240, "CST": -360,
    "CDT": -300, "MST": -420, "MDT": -360, "PST": -480, "PDT": -420,
}  # fmt: skip
_ZONE = r"(?P<zone>Z\b|[ ]?[+-]\d\d:?\d\d\b|[ ](?:[A-Z]{3,4})\b)?"
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d{1,9})?)?"
_SECONDS = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:[.,]\d{1,9})?(?![\w:])"
_TIME = _CLOCK + _ZONE
# As in 20261128T120000Z.
_COMPACT = (
    r"\b(?P<year>(?:19|20)\d\d)(?P<month>[01]\d)(?P<day>[0-3]\d)"
    r"(?:[T.-]?(?P<hour>[0-2]\d)(?P<minute>[0-5]\d)(?P<second>[0-5]\d)?)?Z?\b"
)
_MONTH = r"(?P<name>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_DAYS = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*"

# The fullest forms first: what a fuller one explains is not left to a shorter one.
PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # ISO 8601, as in 2026-11-28T12:00:00+01:00.
        rf"\b(?P<year>\d{{4}})[-/](?P<month>\d\d)[-/](?P<day>\d\d)[T ]{_CLOCK}{_ZONE}",
        # date(1) and ctime(3), as in Sat Nov 28 12:00:00 UTC 2026.
        rf"\b{_DAYS},? +{_MONTH} +(?P<day>\d{{1,2}}),? {_CLOCK}{_ZONE},? (?P<year>\d{{4}})\b",
        # Electronic mail, as in Sat, 28 Nov 2026 12:00:00 +0000.
        rf"\b(?:{_DAYS},? )?(?P<day>\d{{1,2}})[ -]{_MONTH}[ -](?P<year>\d{{4}})[ ,]+{_TIME}",
        # The C preprocessor's __DATE__ and __TIME__, as in Nov 28 2026 12:00:00.
        rf"\b{_MONTH} +(?P<day>\d{{1,2}}),? (?P<year>\d{{4}})(?:[ ,]+{_CLOCK}{_ZONE})?",
        _COMPACT,
        r"\b(?P<year>\d{4})[-/](?P<month>\d\d)[-/](?P<day>\d\d)\b",
        # A clock alone has seconds: two numbers with a colon are lines and columns, too.
        rf"(?<![\w.:]){_SECONDS}{_ZONE}",
        # Seconds, milli-, micro- or nanoseconds since 1970.
        r"(?<![\w.])(?P<unix>\d{10}|\d{13}|\d{16}|\d{19})(?:\.\d+)?(?![\w])",
    )
)
# The last of them, which other numbers match too.
NUMBERS = PATTERNS[-1]


def judge(pairs: list[tuple[str, str]]) -> Judgement | None:
    """Judge pairs of texts that match one pattern; None where one is no moment."""
    seconds, zoned = [], False
    moments = []
    for first, second in pairs:
        one, other = _moment(first), _moment(second)
        if one is None or other is None:
            return None
        zoned = zoned or one[1] != other[1]
        seconds.append(abs(one[0] - other[0]))
        moments.append((first, second))
    if not seconds:
        return None
    shown = f"{moments[0][0]!r} and {moments[0][1]!r}"
    if zoned and not any(seconds):
        return Judgement(
            Cause.LOCALE, Sureness.CERTAIN, f"the same moments, in other time zones: {shown}"
        )
    # A day has no zone, and what says its zone is not in another one unseen.
    local = all(_is_local(text) for pair in moments for text in pair)
    return gap(max(seconds), shown, sure=Sureness.LIKELY, local=local)


def gap(seconds: float, shown: str, *, sure: Sureness, local: bool = True) -> Judgement:
    """Judge two moments by how far they are apart. `local`: they may be in local time."""
    if local and 0 < seconds <= _WIDEST and seconds % _QUARTER == 0:
        return Judgement(
            Cause.LOCALE,
            Sureness.POSSIBLE,
            f"moments that are whole quarters of an hour apart, as time zones are: {shown}",
        )
    if seconds > _CLOSE and sure is not Sureness.CERTAIN:
        sure = Sureness.POSSIBLE
    return Judgement(Cause.TIME, sure, f"moments: {shown}")


def of_a_build(number: int) -> bool:
    """Tell whether seconds since 1970 are within 2020 to 2040: others are hardly a time."""
    return _FIRST_BUILD <= number <= _LAST_BUILD


def unix(number: int) -> str | None:
    """Return a moment in words, for seconds since 1970 that can be one of a build; else None."""
    if not _EARLIEST <= number <= _LATEST:
        return None
    return datetime.fromtimestamp(number, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _moment(text: str) -> tuple[float, int | None] | None:
    """Seconds since 1970, and minutes of the zone where it is said; None where it is no moment."""
    found = next((match for one in PATTERNS if (match := one.fullmatch(text))), None)
    if found is None:
        return None
    parts = found.groupdict()
    if parts.get("unix"):
        digits = parts["unix"]
        number = int(digits[:10])
        return (float(number), None) if of_a_build(number) else None
    zone = _offset(parts.get("zone"))
    month = parts.get("month")
    name = parts.get("name")
    try:
        moment = datetime(
            int(parts.get("year") or 2000),
            int(month) if month else _MONTHS.index(name[:3].lower()) + 1 if name else 1,
            int(parts.get("day") or 1),
            int(parts.get("hour") or 0),
            int(parts.get("minute") or 0),
            int(parts.get("second") or 0),
            tzinfo=timezone(timedelta(minutes=zone or 0)),
        )
        return moment.timestamp(), zone
    except (ValueError, OverflowError):
        return None


def _is_local(text: str) -> bool:
    """Tell whether a moment has a clock, and no zone."""
    found = next((match for one in PATTERNS if (match := one.fullmatch(text))), None)
    parts = found.groupdict() if found else {}
    return bool(parts.get("hour")) and not parts.get("zone") and not text.endswith("Z")


def _offset(zone: str | None) -> int | None:
    """Minutes east of Greenwich; None where no zone is said or its name is not known."""
    if not zone:
        return None
    zone = zone.strip()
    if zone[0] in "+-":
        digits = zone[1:].replace(":", "")
        minutes = int(digits[:2]) * 60 + int(digits[2:])
        return -minutes if zone[0] == "-" else minutes
    return _ZONES.get(zone)
