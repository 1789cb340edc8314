"""All files of a site: complete, deterministic, bounded, and steered by nothing foreign."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.history.words import Word
from orchestrator.site.pages import pages
from reproducibility import visible
from reproducibility.errors import InputError
from tests import nights
from tests.conftest import examples
from tests.month import month as month_of_nights
from tests.pages import HOSTILE
from tests.unit.orchestrator.site.sites import FILES, MONTH, TITLE, month, parsed

FOREIGN = nights.change().link
CASES = {
    "month": month(),
    "nothing": pages([], kept={}, title=TITLE),
    "not kept": pages(MONTH, kept={}, title=TITLE),
    **{
        f"hostile {number}": pages([nights.hostile(words)], kept={1: (words, *FILES)}, title=words)
        for number, words in enumerate(HOSTILE)
    },
}
HTML = [(case, path) for case, made in CASES.items() for path in made if path.endswith(".html")]


def test_the_files_of_a_site() -> None:
    kept = [f"nights/{night.number:06}/index.html" for night in MONTH[3:]]
    assert list(month()) == ["badge.svg", "feed.atom", "index.html", *kept, "years/2026.html"]
    assert list(CASES["nothing"]) == ["badge.svg", "feed.atom", "index.html"]
    assert list(CASES["not kept"]) == ["badge.svg", "feed.atom", "index.html", "years/2026.html"]


@pytest.mark.parametrize(("case", "path"), HTML)
def test_a_page_loads_nothing_and_leads_where_it_should(case: str, path: str) -> None:
    made = CASES[case]
    found = parsed(made[path])
    tags = {tag for tag, _ in found.elements}
    assert tags.isdisjoint({"script", "img", "iframe", "object", "form", "base", "input"})
    names = {name for _, attributes in found.elements for name in attributes}
    assert not any(name.startswith("on") for name in names)
    assert names.isdisjoint({"style", "src", "srcdoc", "action"})
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labels = " ".join(
        str(a["aria-labelledby"]) for _, a in found.elements if "aria-labelledby" in a
    )
    assert set(labels.split()) <= set(ids)
    assert [one["rel"] for one in found.named("link")] == ["alternate"]
    folder = posixpath.dirname(path)
    there = {*made, *(f"{folder}/{name}" for name in (*FILES, *HOSTILE))}
    for one in (*found.named("a"), *found.named("link")):
        address = urlsplit(str(one["href"]))
        if address.scheme or address.netloc:
            assert (one["href"], one["rel"]) == (FOREIGN, "noreferrer")
            assert path.startswith("nights/")
        elif address.path:
            target = posixpath.normpath(posixpath.join(folder, unquote(address.path)))
            assert target in there
            if address.fragment:
                assert f'id="{address.fragment}"'.encode() in made[target]
        else:
            assert address.fragment in ids
    # A control character that a browser or a reader of the source would obey.
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", found.text)


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_text_is_shown_as_text(number: int) -> None:
    words = HOSTILE[number]
    shown = visible.line(words)[:60]
    made = CASES[f"hostile {number}"]
    for path in ("index.html", "nights/000001/index.html"):
        assert shown in parsed(made[path]).text


PLAIN = pages([nights.hostile("x" * 300)], kept={1: FILES}, title="x")


@settings(max_examples=examples(40))
@given(st.text(min_size=1))
def test_any_text_leaves_pages_in_one_piece(words: str) -> None:
    made = pages([nights.hostile(words)], kept={1: (words,)}, title=words)
    for path, data in made.items():
        if path.endswith(".html"):
            tags = {tag for tag, _ in parsed(data).elements}
            assert tags <= {tag for tag, _ in parsed(PLAIN[path]).elements}


def test_the_same_values_give_the_same_bytes() -> None:
    kept = {night.number: FILES[::-1] for night in MONTH[:2:-1]}
    again = pages(list(month_of_nights()), kept=kept, title=TITLE)
    assert again == month()
    turned = [
        night.model_copy(
            update={
                "machines": tuple(
                    one.model_copy(update={"commands": dict(reversed(one.commands.items()))})
                    for one in night.machines
                )
            }
        )
        for night in MONTH
    ]
    assert pages(turned, kept=kept, title=TITLE) == month()


@pytest.mark.once
def test_five_years_stay_small() -> None:
    words = [list(Word)[number % 97 % len(Word)] for number in range(5 * 365)]
    plain = nights.nights(words, steps=(), checks=(), inputs=())
    full = [night.model_copy(update={"line": "x" * 2000}) for night in plain[:-90]]
    full += [night.model_copy(update={"line": "<" * 2000}) for night in nights.nights(words)[-90:]]
    made = pages(full, kept={night.number: FILES for night in full[-90:]}, title=TITLE)
    assert len(made["index.html"]) < 400_000
    years = [path for path in made if path.startswith("years/")]
    assert len(years) == 5
    assert all(len(made[path]) < 1_000_000 for path in years)
    assert max(len(data) for data in made.values()) < 1_000_000
    assert len(made["feed.atom"]) < 400_000


def test_a_night_of_very_much_stays_small() -> None:
    words = "<" * 10_000
    one = nights.hostile(words)
    many = {
        name: value * 5_000
        for name, value in ((name, getattr(one, name)) for name in one.__class__.model_fields)
        if isinstance(value, tuple)
    }
    huge = one.model_copy(update=many)
    made = pages([huge], kept={1: (words,) * 5_000}, title=words)
    assert len(made["nights/000001/index.html"]) < 8_000_000
    assert len(made["index.html"]) < 400_000


def test_more_nights_than_days() -> None:
    plain = nights.nights([Word.UNCHANGED, Word.BOOT_FAILED] * 1000, steps=(), checks=())
    those = [night.model_copy(update={"date": "2026-03-01"}) for night in plain]
    made = pages(those, kept={}, title=TITLE)
    text = parsed(made["years/2026.html"]).text
    assert "2,000 nights, 1,000 of them bad. The 800 worst are listed." in text
    assert len(made["years/2026.html"]) < 1_000_000


def test_nights_that_no_calendar_has_are_listed() -> None:
    for date in ("2026-02-30", "0000-00-00"):
        night = nights.night(date=date, began=f"{date}T99:99:99Z", ended=f"{date}T99:99:99Z")
        made = pages([night], kept={1: ()}, title=TITLE)
        assert "Night 1" in parsed(made["years/undated.html"]).text
        assert date in parsed(made["index.html"]).text


def test_a_page_that_is_there_already_is_not_a_file_beside_itself() -> None:
    those = [nights.night()]
    first = pages(those, kept={1: FILES}, title=TITLE)
    assert pages(those, kept={1: ("index.html", *FILES)}, title=TITLE) == first


def test_what_is_no_base_is_refused() -> None:
    for base in (
        "example.org", "https://example.org", "ftp://example.org/", "https://a/?b/",
        "javascript:alert(1)/", "https://user@example.org/", "//example.org/",
    ):  # fmt: skip
        with pytest.raises(InputError, match="no public address") as found:
            pages([], kept={}, title=TITLE, base=base)
        assert found.value.remedy
    assert pages([], kept={}, title=TITLE, base="http://localhost:8000/nightly/")
