"""Sites for tests: a month of nights, and what a browser's parser sees of a page."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from orchestrator.site.pages import pages
from orchestrator.site.site import Site
from tests.month import month as month_of_nights
from tests.unit.orchestrator.markup.parsing import Page, parsed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.history.model import Night

FILES = ("audit.json", "logs/F1.log", "logs/of a boot.log", "night.json", "report.html",
         "result.json")  # fmt: skip
TITLE = "Nightly builds"
MONTH = tuple(month_of_nights())


@functools.cache
def month() -> Mapping[str, bytes]:
    """The pages of a month, of which the first nights are not kept."""
    return pages(MONTH, kept={night.number: FILES for night in MONTH[3:]}, title=TITLE)


def site(those: Sequence[Night], *, kept: Sequence[int] | None = None) -> Site:
    """A site of nights, all of them kept unless `kept` says otherwise."""
    numbers = [night.number for night in those] if kept is None else kept
    return Site(tuple(those), dict.fromkeys(numbers, FILES), TITLE)


def text(data: bytes) -> str:
    """The text of a page, without its head, on one line."""
    return " ".join(parsed(data).text.partition("Skip to: ")[2].split())


def of_night(night: Night, *others: Night) -> str:
    """The text of a night's page."""
    those = sorted((night, *others), key=lambda one: one.number)
    made = pages(those, kept={night.number: FILES}, title=TITLE)
    return text(made[f"nights/{night.number:06}/index.html"])


__all__ = ["FILES", "MONTH", "TITLE", "Page", "month", "of_night", "parsed", "site", "text"]
