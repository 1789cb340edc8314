"""The index of a compile seed: actions of the go command, and the outputs that were recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness
from orchestrator.golang import seed_index

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.diagnosis.model import Collector
    from orchestrator.diagnosis.source import Pair, Source

_ID = 32
_DIGITS = 16
_RECORD = 72


def is_index(source: Source) -> bool:
    """Tell whether bytes begin as a seed's index does."""
    return source.read(0, len(seed_index.MAGIC)) == seed_index.MAGIC


def explain(pair: Pair, to: Collector, _: Callable[[Pair], None]) -> None:
    """Add which recorded actions and outputs differ.

    Raises:
        InputError: one is no index.
    """
    whole = pair.whole(to.limits.whole)
    if whole is None:
        return
    first, second = (seed_index.records(data) for data in whole)
    places = {action: n * _RECORD + len(seed_index.MAGIC) for n, action in enumerate(first)}
    for action in sorted(first.keys() & second.keys()):
        if first[action] != second[action]:
            judged = Judgement(
                UNKNOWN.cause, Sureness.POSSIBLE,
                "the same compilation gave another output: the outputs, beside the index, say why",
            )  # fmt: skip
            values = first[action][:_ID].hex(), second[action][:_ID].hex()
            where = f"the output of the go command's action {action.hex()[:_DIGITS]}"
            to.say(pair.path, where, judged, values, offset=places[action] + _ID, kind="output")
    alone = Judgement(
        Cause.INPUT, Sureness.POSSIBLE,
        "an action's name is a digest of what the compiler was given, and only one side has it",
    )  # fmt: skip
    for action in sorted(first.keys() - second.keys()):
        value = action.hex()[:_DIGITS]
        to.say(pair.path, "an action", alone, (value, None), offset=places[action], kind="alone")
    for action in sorted(second.keys() - first.keys()):
        to.say(pair.path, "an action", alone, (None, action.hex()[:_DIGITS]), kind="alone too")


def renamed(first: bytes, second: bytes) -> list[tuple[str, str]]:
    """Return the outputs of the same actions that differ: their places beside the two indexes.

    Raises:
        InputError: one is no index.
    """
    one, other = seed_index.records(first), seed_index.records(second)
    both = sorted(action for action in one.keys() & other.keys() if one[action] != other[action])
    return [(_place(one[action]), _place(other[action])) for action in both]


def _place(record: bytes) -> str:
    name = record[:_ID].hex()
    return f"{name[:2]}/{name[2:]}"
