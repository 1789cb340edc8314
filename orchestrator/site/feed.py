"""The Atom feed (RFC 4287): every night that is bad, and every one whose word is another.

Entries are named by UUIDs (version 8, RFC 9562) made from what the history is called and from the
night's number and beginning: the same night has the same id, wherever its pages are served.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from orchestrator.history import advice
from orchestrator.markup import words
from orchestrator.site import index, xml
from orchestrator.site.frame import GENERATOR
from orchestrator.site.site import LONGEST_TITLE, named, night_path
from reproducibility import canonical, digest, utc, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.history.model import Night
    from orchestrator.site.site import Site

PATH: Final = "feed.atom"
NAMESPACE: Final = "http://www.w3.org/2005/Atom"
# Entries, the newest ones; characters of a night's line.
_MOST, _LONGEST_LINE = 50, 500
# Of a night whose record has a time that is none, and of a feed without entries.
_NO_TIME = "1970-01-01T00:00:00Z"


def feed(site: Site, *, base: str, identity: str) -> bytes:
    """The feed, in UTF-8.

    `base`: the public address of the site's folder, empty where it is not known: links are relative
    then. `identity`: what the history is called in ids.
    """
    title = words.cut(site.title, LONGEST_TITLE)
    shown = _told(site.nights)[-_MOST:][::-1]
    root = ET.Element("feed", xmlns=NAMESPACE)
    xml.add(root, "id", _urn(identity))
    xml.add(root, "title", title)
    # The latest of all times: a clock that jumps back does not make the feed older.
    xml.add(root, "updated", max((_time(night) for night in site.nights), default=_NO_TIME))
    xml.add(xml.add(root, "author"), "name", title)
    xml.add(root, "link", rel="self", type="application/atom+xml", href=f"{base}{PATH}")
    xml.add(root, "link", rel="alternate", type="text/html", href=f"{base}{index.PATH}")
    xml.add(root, "generator", GENERATOR)
    for night in shown:
        _entry(root, night, site, base=base, identity=identity)
    return xml.document(root)


def _told(nights: Sequence[Night]) -> list[Night]:
    """The nights that are worth an entry."""
    before: list[Night | None] = [None, *nights]
    return [
        night
        for earlier, night in zip(before, nights, strict=False)
        if not night.word.good or earlier is None or earlier.word is not night.word
    ]


def _entry(root: ET.Element, night: Night, site: Site, *, base: str, identity: str) -> None:
    entry = xml.add(root, "entry")
    xml.add(entry, "id", _urn(identity, night.number, night.began))
    name = named(site, night.number)
    xml.add(entry, "title", f"{night.word.value}: {name}")
    xml.add(entry, "updated", _time(night))
    page = night_path(night.number) if night.number in site.kept else index.PATH
    xml.add(entry, "link", rel="alternate", type="text/html", href=f"{base}{page}")
    xml.add(entry, "category", term=night.word.value)
    xml.add(entry, "summary", words.cut(night.line, _LONGEST_LINE), type="text")
    since = "" if night.since == night.number else f" So since {named(site, night.since)}."
    advised = advice.FIRST[night.word].replace("`", "")
    told = (
        f"{words.cut(night.line, _LONGEST_LINE)} ({night.word.meaning}.){since} "
        f"Whose matter: {advice.OWNERS[night.word]}. What to do first: {advised}."
    )
    xml.add(entry, "content", told, type="text")


def _urn(*parts: str | int) -> str:
    those = [visible.line(part) if isinstance(part, str) else part for part in parts]
    made = bytes.fromhex(digest.of_bytes(canonical.dumps(those)).hex)[:16]
    number = int.from_bytes(made, "big")
    # Version and variant: sections 4.1, 4.2 and 5.8 of RFC 9562.
    number = number & ~(0xF << 76) | 0x8 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=number).urn


def _time(night: Night) -> str:
    """When a night ended; a record may hold a time that no calendar has."""
    try:
        return utc.written(utc.read(night.ended))
    except ValueError:
        return _NO_TIME
