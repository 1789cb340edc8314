"""What a night says in one sentence: its word, since when it is so, whose matter that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.history import advice
from orchestrator.markup import words
from orchestrator.markup.html import Child, Html, element, join
from orchestrator.site import signs
from orchestrator.site.site import named

if TYPE_CHECKING:
    from orchestrator.history.model import Night
    from orchestrator.site.site import Links, Site


def hero(night: Night, links: Links) -> Html:
    """A night's word, what it means, since when it is so, and the night's line."""
    site = links.site
    return element(
        "div",
        element("p", signs.mark(night.word), class_="verdict"),
        element("p", _sentence(night, links), class_="meaning"),
        element("div", signs.told(night.line), class_="line"),
        element("p", _measure(site, night), class_="counts"),
        class_=f"hero {night.word.value}",
    )


def _sentence(night: Night, links: Links) -> Html:
    many = links.site.since(night)
    head = f"{named(links.site, night.number).capitalize()}: {night.word.meaning}"
    if night.since == night.number or many < 2:  # noqa: PLR2004 - a row has two at least
        return join((f"{head}.",))
    since = links.night(night.since)
    return join((f"{head}; so since ", since, f", {words.many(many, 'night')} in a row."))


def _measure(site: Site, night: Night) -> str:
    back = "; its clock stood earlier than that of the night before"
    gone = back if site.clock_went_back(night) else ""
    began, ended = (f"{when[:10]} {when[11:16]}" for when in (night.began, night.ended))
    same = began[:10] == ended[:10]
    until = ended[11:] if same else ended
    return f"{began} to {until} UTC, {words.duration(night.seconds)}{gone}"


def advised(night: Night, links: Links, *, here: bool = False) -> Html:
    """Whose matter a night is, what to do first, and what was before. `here`: on its own page."""
    facts: list[tuple[Child, Child]] = [
        ("Whose matter", advice.OWNERS[night.word]),
        ("What to do first", _told(advice.FIRST[night.word])),
    ]
    address = links.address(night.number)
    if address is not None and not here:
        all_of_it = element("a", f"all that night {night.number} found", href=address)
        facts.append(("To read", all_of_it))
    other = _before(links.site, night)
    if other is not None:
        facts.append(("Before that", join((signs.mark(other.word), " in ",
                                           links.night(other.number)))))  # fmt: skip
    return words.facts(facts)


def _told(text: str) -> Html:
    """Words in which commands stand between backticks."""
    parts = text.split("`")
    return join(element("code", one) if at % 2 else one for at, one in enumerate(parts))


def _before(site: Site, night: Night) -> Night | None:
    """The last night of another word."""
    return next((one for one in reversed(site.nights) if one.number < night.since), None)
