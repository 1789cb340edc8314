"""Times as documents have them: in UTC, to the second, `2026-01-31T02:00:00Z` (RFC 3339).

Reads no clock.
"""

from __future__ import annotations

from datetime import UTC, datetime

_FORM = "%Y-%m-%dT%H:%M:%SZ"


def written(moment: datetime) -> str:
    """Return a time, which knows its zone, in that form; parts of a second are left out."""
    # `strftime` writes years before 1000 with fewer digits.
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def of_epoch(seconds: int) -> str:
    """Return in that form the time that is so many seconds after 1970-01-01 UTC."""
    return written(datetime.fromtimestamp(seconds, UTC))


def read(text: str) -> datetime:
    """Return the time of that form.

    Raises:
        ValueError: it is in another form, or no calendar has it.
    """
    return datetime.strptime(text, _FORM).replace(tzinfo=UTC)
