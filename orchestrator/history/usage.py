"""Since when the last nights have used what their builds need, for `store gc --keep-nights`. Pure.

A store knows of each result only when it was used last, by the machine's clock. The history knows
when the nights began. Where the two cannot be held against each other, nothing is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.history.model import Night

# The clock of a file server is another one than that by which nights begin.
_MORE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Used:
    """Time since which all was used that the last nights used.

    `since`: None where that is not known; `reason`: why, in words, else empty. `lacking`: how many
    more nights have to make an image first, where that is the reason.
    """

    since: datetime | None
    reason: str = ""
    lacking: int = 0


def used(nights: Sequence[Night], keep: int, now: datetime) -> Used:
    """Return since when the last `keep` nights that made an image used what they did.

    A night without an image does not count: where the network is down for a week, seven nights may
    have used nothing. `nights`: all that ended, in the order of their numbers.
    """
    built = [place for place, night in enumerate(nights) if night.image is not None]
    if len(built) < keep:
        there = f"{len(built)} night has" if len(built) == 1 else f"{len(built)} nights have"
        told = f"{there} made an image, and what the last {keep} used is to be kept"
        return Used(None, told, keep - len(built))
    # Their numbers count up whatever the clock says, so the last one may have begun first.
    began: dict[datetime, Night] = {}
    for night in nights[built[-keep] :]:
        try:
            began[datetime.fromisoformat(night.began).astimezone(UTC) - _MORE] = night
        except (ValueError, OverflowError):
            return _unknown(night, "is no time")
    if max(began) > now - _MORE:
        return _unknown(began[max(began)], "is still to come by this machine's clock")
    return Used(min(began))


def _unknown(night: Night, why: str) -> Used:
    what = "so it does not say what was used since"
    return Used(None, f"night {night.number} began at {night.began}, which {why}, {what}")
