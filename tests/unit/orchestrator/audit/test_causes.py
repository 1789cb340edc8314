"""The class of a cause, by the variations that were found, else by the bytes."""

from __future__ import annotations

import pytest

from orchestrator.audit import causes, model
from reproducibility.variations import NAMES

BYTES = model.Explanation(
    lines=("cause: order (likely): ...",), document={"cause": {"class": "order", "sure": "likely"}}
)
NOTHING = model.Explanation(lines=(), document={"cause": None})


def test_every_variation_has_a_class() -> None:
    assert set(causes.CLASSES) == set(NAMES)


@pytest.mark.parametrize(
    ("names", "explanation", "expected"),
    [
        (("umask",), BYTES, ("user", "certain")),
        (("host", "user"), None, ("user", "certain")),
        (("host", "order"), BYTES, ("order", "likely")),
        ((), BYTES, ("order", "likely")),
        ((), NOTHING, ("unknown", "possible")),
        (("host", "order"), None, ("unknown", "possible")),
    ],
)
def test_what_a_cause_is(
    names: tuple[str, ...], explanation: model.Explanation | None, expected: tuple[str, str]
) -> None:
    assert causes.of(names, explanation) == expected


def test_what_gives_something_else_each_time_has_no_certain_cause() -> None:
    assert causes.of(("umask",), BYTES, steady=False) == ("user", "likely")
