"""The Atom feed: what RFC 4287 asks for, and which nights are told."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.history.words import Word
from orchestrator.site import feed
from orchestrator.site.site import Site
from tests import nights
from tests.pages import HOSTILE
from tests.unit.orchestrator.site.sites import MONTH, site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.history.model import Night

BASE = "https://example.org/nightly/"
# Section 3.3 of RFC 4287: a date-time of RFC 3339.
TIME = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]Z")


def of(those: Sequence[Night], base: str = BASE, identity: str = "a history") -> ET.Element:
    return read(feed.feed(site(those), base=base, identity=identity))


def read(data: bytes) -> ET.Element:
    """A feed that has all that sections 4.1.1 and 4.1.2 of RFC 4287 ask for, and nothing else."""
    root = ET.fromstring(data)  # noqa: S314 - made by this program
    assert root.tag == f"{{{feed.NAMESPACE}}}feed"
    found = children(root)
    assert Counter(found) >= Counter(["author", "id", "link", "link", "title", "updated"])
    single = {"id", "title", "updated", "generator"}
    assert all(found.count(name) == 1 for name in single)
    assert set(found) <= single | {"author", "link", "entry"}
    assert inside(root, "author/name")
    ids = [inside(root, "id")]
    for entry in entries(root):
        names = children(entry)
        single = {"id", "title", "updated", "summary", "content"}
        assert all(names.count(name) == 1 for name in single)
        assert set(names) <= single | {"link", "category"}
        # Without an author of its own an entry has the feed's (4.1.2).
        assert "author" not in names
        ids.append(inside(entry, "id"))
        (link,) = entry.iter(f"{{{feed.NAMESPACE}}}link")
        assert link.get("rel") == "alternate"
    assert len(set(ids)) == len(ids)
    for one in ids:
        assert uuid.UUID(one).urn == one
        assert (uuid.UUID(one).version, uuid.UUID(one).variant) == (8, uuid.RFC_4122)
    for element in root.iter():
        name = element.tag.partition("}")[2]
        if name == "updated":
            assert TIME.fullmatch(element.text or "")
        if name in {"title", "summary", "content"}:
            # Text constructs without markup (3.1.1.1).
            assert element.get("type", "text") == "text"
            assert len(element) == 0
            assert (element.text or "").strip()
    return root


def children(of: ET.Element) -> list[str]:
    return [child.tag.partition("}")[2] for child in of]


def entries(root: ET.Element) -> list[ET.Element]:
    return root.findall(f"{{{feed.NAMESPACE}}}entry")


def inside(of: ET.Element, path: str) -> str:
    whole = "/".join(f"{{{feed.NAMESPACE}}}{name}" for name in path.split("/"))
    return of.findtext(whole) or ""


def numbers(root: ET.Element) -> list[int]:
    return [int(inside(entry, "title").split()[2]) for entry in entries(root)]


def test_every_change_of_word_and_every_bad_night_is_told() -> None:
    root = of(MONTH)
    before = [None, *MONTH]
    expected = [
        night.number
        for earlier, night in zip(before, MONTH, strict=False)
        if earlier is None or earlier.word is not night.word or not night.word.good
    ]
    assert numbers(root) == expected[::-1]
    assert {7, 8, 9, 12, 13, 14} <= set(expected)
    assert 11 not in expected
    (third,) = [one for one in entries(root) if inside(one, "title").startswith("not-") and
                " 14 " in inside(one, "title")]  # fmt: skip
    assert inside(third, "title") == "not-deterministic: night 14 (2026-03-14)"
    assert "So since night 12 (2026-03-12)." in inside(third, "content")
    assert "What to do first: read which step varies" in inside(third, "content")
    category = third.find(f"{{{feed.NAMESPACE}}}category")
    assert category is not None
    assert category.get("term") == "not-deterministic"


def test_a_feed_without_nights_is_one() -> None:
    root = of([])
    assert entries(root) == []
    assert inside(root, "updated") == "1970-01-01T00:00:00Z"


def test_links_are_whole_where_the_address_is_known() -> None:
    for base in (BASE, ""):
        root = read(feed.feed(site(MONTH, kept=[31]), base=base, identity="a history"))
        found = root.iter(f"{{{feed.NAMESPACE}}}link")
        links = [(one.get("rel"), one.get("href")) for one in found]
        assert links[:2] == [("self", f"{base}feed.atom"), ("alternate", f"{base}index.html")]
        assert links[2] == ("alternate", f"{base}nights/000031/index.html")
        assert set(links[3:]) == {("alternate", f"{base}index.html")}


def test_ids_stay_whatever_else_becomes_of_a_night() -> None:
    def ids(root: ET.Element) -> list[str]:
        return [inside(entry, "id") for entry in entries(root)]

    first = of(MONTH)
    elsewhere = of(MONTH, base="")
    later = of([*MONTH, nights.night(32, word=Word.BOOT_FAILED)])
    less = [night.model_copy(update={"steps": (), "line": "other"}) for night in MONTH]
    assert ids(first) == ids(elsewhere) == ids(later)[1:] == ids(of(less))
    assert inside(first, "id") == inside(later, "id")
    # Another history has other nights, and so has one that began anew under the same name.
    assert not set(ids(first)) & set(ids(of(MONTH, identity="another history")))
    anew = [night.model_copy(update={"began": "2027-01-01T00:00:00Z"}) for night in MONTH]
    assert not set(ids(first)) & set(ids(of(anew)))


def test_a_clock_that_jumps_back_does_not_make_the_feed_older() -> None:
    assert inside(of(MONTH[:28]), "updated") == MONTH[26].ended
    assert inside(of(MONTH), "updated") == MONTH[30].ended


@pytest.mark.parametrize("time", ["2026-02-30T00:00:00Z", "0000-00-00T99:99:99Z"])
def test_a_time_that_is_none_does_not_spoil_the_feed(time: str) -> None:
    root = of([nights.night(ended=time, began=time)])
    assert TIME.fullmatch(inside(entries(root)[0], "updated"))


def test_the_feed_is_bounded() -> None:
    those = nights.nights([Word.BOOT_FAILED] * 500, line="<" * 10_000)
    data = feed.feed(site(those), base=BASE, identity="a history")
    assert len(data) < 400_000
    assert numbers(read(data)) == list(range(500, 450, -1))


@pytest.mark.parametrize("words", [*HOSTILE, "\ufffe\uffff", "\U0001f3f4\U000e0067\U000e007f"])
def test_hostile_text_stays_text(words: str) -> None:
    made = Site((nights.hostile(words),), {}, words)
    root = read(feed.feed(made, base=BASE, identity=words))
    assert {element.tag.partition("}")[0] for element in root.iter()} == {f"{{{feed.NAMESPACE}"}


@given(st.text(min_size=1))
def test_any_text_is_well_formed(words: str) -> None:
    made = Site((nights.hostile(words),), {}, words)
    root = ET.fromstring(feed.feed(made, base=BASE, identity=words))  # noqa: S314 - our own
    (entry,) = entries(root)
    if words.isprintable() and words.strip() == words and len(words) < 120:
        assert inside(root, "title") == words
        assert inside(entry, "summary") == words
