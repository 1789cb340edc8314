"""Tables of records of one size: the same records in another order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.diagnosis.model import Cause, Judgement, Sureness
from orchestrator.diagnosis.source import first_difference

if TYPE_CHECKING:
    from orchestrator.diagnosis.model import Collector
    from orchestrator.diagnosis.source import Pair

_FEWEST = 2
_MOST = 2_000_000


def explain(pair: Pair, to: Collector, size: int) -> bool:
    """Add that two tables hold the same records in another order; False where they do not.

    `size`: bytes of a record.
    """
    at = first_difference(pair.first, pair.second)
    if at is None or pair.first.size != pair.second.size or pair.first.size % size:
        return False
    count = pair.first.size // size
    whole = pair.whole(to.limits.whole)
    if whole is None or not _FEWEST <= count <= _MOST or size == 1:
        return False
    one, other = (
        sorted(data[start : start + size] for start in range(0, len(data), size)) for data in whole
    )
    if one != other:
        return False
    start = at - at % size
    reason = f"the same {count} records of {size} bytes, in another order"
    to.say(
        pair.path, f"record {at // size}", Judgement(Cause.ORDER, Sureness.CERTAIN, reason),
        (whole[0][start : start + size], whole[1][start : start + size]), offset=at,
    )  # fmt: skip
    return True
