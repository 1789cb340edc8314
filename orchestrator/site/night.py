"""The page of a night: what it found, what was done, and the files that lie beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.markup import words
from orchestrator.markup.addresses import Reach, within
from orchestrator.markup.html import EMPTY, Child, Html, element, join
from orchestrator.markup.tables import fold, part, section
from orchestrator.site import findings, signs, state, work
from orchestrator.site.frame import framed, way
from orchestrator.site.site import Links, Site

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orchestrator.history.model import LockedFrom, Night

_UP = "../../"
_LOGS = "logs/"
_MOST_FILES, _MOST_NOTES = 300, 20
_MEANINGS: Final = {
    "report.html": "the report of the build",
    "night.json": "this night, for programs",
    "result.json": "the result of the build",
    "audit.json": "what the audit found",
}
_LOCKED: Final[Mapping[LockedFrom, str]] = {
    "anew": "made anew in this night",
    "the night before": "that of the night before",
    "the project's lock": "the project's own",
}


def page(site: Site, night: Night) -> bytes:
    """The page of a night that is kept."""
    links = Links(site, _UP)
    parts = (
        ("night", f"Night {night.number}", _night(night, links)),
        ("stages", "Stages", work.stages(night)),
        ("varying", "What varies", findings.varying(night, links)),
        ("checks", "Checks", findings.checks(night)),
        ("changes", "What changed, and what follows", findings.changes(night, links)),
        ("machines", "Machines", work.machines(night)),
        ("steps", "Steps and inputs", join((work.steps(night, links), work.inputs(night)))),
        ("files", "Files", _files(site.kept[night.number])),
    )
    return framed(
        links,
        f"night {night.number}",
        [(name, title) for name, title, _ in parts],
        *(section(name, title, inside) for name, title, inside in parts),
        reach=Reach.SITE | Reach.WORLD,
        beside=_way(night, links),
    )


def _way(night: Night, links: Links) -> Html:
    earlier, later = links.site.neighbours(night)
    items: list[Child] = [element("a", "All nights", href=links.index("nights"))]
    if earlier is not None:
        items.append(links.night(earlier.number, f"← Night {earlier.number}"))
    if later is not None:
        items.append(links.night(later.number, f"Night {later.number} →"))
    return way("Nights before and after", *items)


def _night(night: Night, links: Links) -> Html:
    return join(
        (
            state.hero(night, links),
            _notes(night.notes),
            state.advised(night, links, here=True),
            part("What was built", words.facts(_facts(night, links))),
        )
    )


def _notes(notes: Sequence[str]) -> Html:
    if not notes:
        return EMPTY
    items = (element("li", signs.told(note)) for note in notes[:_MOST_NOTES])
    return join((element("ul", *items, class_="notes"),
                 signs.more(len(notes) - _MOST_NOTES, "note")))  # fmt: skip


def _facts(night: Night, links: Links) -> Iterable[tuple[Child, Child]]:
    image = night.image
    if image is None:
        yield "Image", "none was built"
    else:
        yield "Image", join((f"{words.size(image.size)} ", _digest(f"{image.blake3}")))
    if night.verdict is not None:
        yield "Verdict", words.mark(night.verdict)
    yield "Spec", _digest(night.spec)
    locked = "there was none" if night.locked is None else _LOCKED[night.locked]
    yield "Lock", join((_digest(night.lock), element("div", locked, class_="dim")))
    yield "Built by", join(("orchestrate ", signs.brief(night.tool.version), " ",
                            element("div", _digest(night.tool.digest), class_="dim")))  # fmt: skip
    if findings.nothing_built(night):
        yield "Compared with", "nothing: nothing was built"
    elif night.previous is not None:
        yield "Compared with", links.night(night.previous)
    else:
        yield "Compared with", "nothing: no night before built something"
    if night.attempts > 1:
        yield "Begun", words.many(night.attempts, "time")


def _digest(digest: object) -> Html:
    if digest is None:
        return element("span", "not known", class_="dim")
    return signs.code(str(digest))


def _files(names: Sequence[str]) -> Html:
    """Links to what lies in the night's folder; logs folded."""
    shown = sorted(names)[:_MOST_FILES]
    logs = [name for name in shown if name.startswith(_LOGS)]
    others = [name for name in shown if not name.startswith(_LOGS)]
    if not shown:
        return element("p", "Nothing else is kept of this night.")
    return join(
        (
            element("ul", *(_file(name) for name in others), class_="plain") if others else EMPTY,
            fold(words.many(len(logs), "log"),
                 element("ul", *(_file(name) for name in logs), class_="plain"))
            if logs
            else EMPTY,
            signs.more(len(names) - len(shown), "file"),
        )
    )  # fmt: skip


def _file(name: str) -> Html:
    address = within("", name)
    shown = signs.name(name)
    meaning = f": {_MEANINGS[name]}" if name in _MEANINGS else ""
    return element("li", shown if address is None else element("a", shown, href=address), meaning)
