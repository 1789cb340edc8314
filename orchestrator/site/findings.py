"""What a night found: steps that vary, checks that did not pass, changes and what follows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestrator.markup import words
from orchestrator.markup.addresses import https
from orchestrator.markup.html import EMPTY, Child, Html, element, join
from orchestrator.markup.tables import fold, part, table
from orchestrator.site import signs
from reproducibility import codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.history.model import Check, Consequence, InputChange, Night, Varying
    from orchestrator.site.site import Links

_MOST_VARYING, _MOST_CHECKS, _MOST_CHANGES = 50, 200, 200
# Chains on a page, those of one cause that are seen at once, and links of one chain.
_MOST_CHAINS, _AT_ONCE, _LONGEST_CHAIN = 300, 5, 12
_SEEN = {"audit": "by an audit", "build": "between builds of different nights"}


def nothing_built(night: Night) -> bool:
    """Return whether a night that has its details ended without a build."""
    return night.image is None and not night.steps


def varying(night: Night, links: Links) -> Html:
    """Steps that were given the same and made something else, with the explanation."""
    if nothing_built(night):
        return element("p", "Nothing was built, so no step was looked at.")
    if not night.varying:
        audited = sum(step.audited == night.number for step in night.steps)
        return element(
            "p",
            "No step that was given the same was seen to make something else. "
            f"{audited:,} of {words.many(len(night.steps), 'step')} were audited in this night.",
        )
    cards = (_varying(one, links) for one in night.varying[:_MOST_VARYING])
    return join((*cards, signs.more(len(night.varying) - _MOST_VARYING, "step")))


def _varying(one: Varying, links: Links) -> Html:
    facts: list[tuple[Child, Child]] = [
        ("Class of the cause", signs.brief(one.cause)),
        ("Seen", join((f"{_SEEN[one.seen]}, first in ", links.night(one.first_night)))),
        ("Given the same", signs.code(str(one.key))),
        ("Made", _outputs(one)),
    ]
    why = EMPTY
    if one.lines:
        told = element("p", "Why, as far as the bytes tell:", class_="dim")
        why = join((told, signs.lines(one.lines)))
    name = element("h3", signs.name(one.step))
    return element("div", name, words.facts(facts), why, class_="card")


def _outputs(one: Varying) -> Html:
    sides = ("nothing" if side is None else str(side) for side in (one.first, one.second))
    return join(element("div", signs.code(side)) for side in sides)


def checks(night: Night) -> Html:
    """How many checks passed, and each that did not."""
    if nothing_built(night) and not night.checks:
        return element("p", "Nothing was built, so nothing was compared.")
    order = words.VERDICTS
    those = [check for check in night.checks if check.verdict != "PASS"]
    those.sort(key=lambda check: -order.index(check.verdict))
    counts = ", ".join(
        f"{sum(check.verdict == one for check in night.checks):,} {one}" for one in order
    )
    told = element("p", f"{words.many(len(night.checks), 'comparison')}: {counts}.")
    if not those:
        return told
    rows = [
        (_check(one), words.mark(one.verdict), signs.told(one.reason))
        for one in those[:_MOST_CHECKS]
    ]
    left = signs.more(len(those) - len(rows), "check")
    columns = ("Check", "Verdict", "Reason")
    return join((told, table("Checks that are no PASS", columns, rows, kind="checks"), left))


def _check(check: Check) -> Html:
    known = codes.CODES.get(check.code)
    meaning = f": {known.meaning}" if known is not None else ""
    return join(
        (
            signs.name(check.code),
            element("div", signs.name(check.subject)),
            element("div", f"{check.stage}{meaning}", class_="dim"),
        )
    )


def changes(night: Night, links: Links) -> Html:
    """What changed since the night before, and which outputs follow from what."""
    if night.previous is None:
        return element("p", "There is no night before that built something.")
    if nothing_built(night):
        return element("p", "Nothing was built, so it is not known what changed.")
    nothing = "" if night.changes else " Nothing that it was built from is known to have changed."
    compared = element("p", "Compared with ", links.night(night.previous), ".", nothing)
    columns = ("What", "Before", "Now", "To read")
    rows = [_change(one) for one in night.changes[:_MOST_CHANGES]]
    listed = table("What changed", columns, rows, kind="changed") if rows else EMPTY
    left = signs.more(len(night.changes) - len(rows), "change")
    return join((compared, listed, left, _consequences(night.consequences)))


def _change(one: InputChange) -> tuple[Child, ...]:
    return signs.name(one.what), _side(one.first), _side(one.second), _link(one.link)


def _side(value: str | None) -> Html:
    return element("span", "not there", class_="dim") if value is None else signs.code(value)


def _link(link: str) -> Html:
    """What is between two versions, where that is an address; the address as text otherwise."""
    address = https(link)
    if address is None:
        return signs.brief(link) if link else EMPTY
    return element("a", f"what is between both, at {urlsplit(link).hostname}", href=address)


def _consequences(those: Sequence[Consequence]) -> Html:
    """Outputs that changed, under what they follow from."""
    counts = Counter(_cause(one) for one in those)
    found: dict[str, list[Consequence]] = {}
    for one in those[:_MOST_CHAINS]:
        found.setdefault(_cause(one), []).append(one)
    parts = (_following(cause, counts[cause], shown) for cause, shown in found.items())
    return join((*parts, signs.more(len(those) - _MOST_CHAINS, "changed output")))


def _cause(one: Consequence) -> str:
    return one.chain[0] if one.chain else one.step


def _following(cause: str, many: int, shown: Sequence[Consequence]) -> Html:
    follow = "follows" if many == 1 else "follow"
    title = join((f"{words.many(many, 'changed output')} {follow} from ", signs.brief(cause)))
    chains = [_chain(one) for one in shown]
    first, rest = chains[:_AT_ONCE], chains[_AT_ONCE:]
    folded = fold(words.many(len(rest), "more output"), element("ul", *rest, class_="plain"))
    return part(title, element("ul", *first, class_="plain"), folded if rest else EMPTY)


def _chain(one: Consequence) -> Html:
    links = list(one.chain or (one.step,))
    if len(links) > _LONGEST_CHAIN:
        half = _LONGEST_CHAIN // 2
        links = [*links[:half], "…", *links[-half:]]
    items = (element("li", signs.name(link)) for link in links)
    return element("li", element("ol", *items, class_="way"))
