"""The pages of nightly builds in a real browser: accessible, quiet, alone, and by keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.site.pages import pages
from tests import nights
from tests.integration.browsing import Seen
from tests.month import month
from tests.pages import HOSTILE

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.needs_tools("chromium")

TITLE = "Nightly builds"
FILES = ("audit.json", "logs/F1.log", "logs/of a boot.log", "night.json", "report.html",
         "result.json")  # fmt: skip
# By name: the nights, and what they are called.
SITES = {
    "month": (month(), TITLE),
    "fault": (month(14), TITLE),
    "hostile": ([nights.hostile(HOSTILE[2])], HOSTILE[2]),
    "long": ([nights.hostile("a" * 10_000, number) for number in (1, 2)], "a" * 10_000),
    "empty": ([], TITLE),
}
NIGHT_12, NIGHT_15 = "nights/000012/index.html", "nights/000015/index.html"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sites")
    for name, (those, title) in SITES.items():
        files = pages(those, kept={night.number: FILES for night in those}, title=title)
        for path, data in files.items():
            (made / name / path).parent.mkdir(parents=True, exist_ok=True)
            (made / name / path).write_bytes(data)
    return made


# Each takes seconds.
LOOKED_AT = [
    *(
        (path, width, scheme)
        for path in ("month/index.html", f"month/{NIGHT_12}")
        for width in (390, 1400)
        for scheme in ("light", "dark")
    ),
    (f"month/{NIGHT_15}", 390, "dark"),
    ("month/years/2026.html", 1400, "light"),
    ("hostile/index.html", 390, "light"),
    ("hostile/nights/000001/index.html", 390, "light"),
    ("empty/index.html", 390, "light"),
]
EVERY_KIND = sorted({path for path, _, _ in LOOKED_AT} | {
    "fault/index.html", "long/index.html", "long/nights/000001/index.html", "long/years/2026.html",
})  # fmt: skip


@pytest.mark.parametrize(("path", "width", "scheme"), LOOKED_AT)
def test_it_is_accessible_quiet_and_alone(
    browser: Browser,
    folder: Path,
    path: str,
    width: int,
    scheme: Any,  # noqa: ANN401 - one of two
) -> None:
    size = {"width": width, "height": 900}
    seen = Seen(browser, folder / path, viewport=size, color_scheme=scheme)
    seen.unfold()
    assert seen.violations() == []
    assert seen.told == []
    assert seen.requests == [seen.address]
    seen.context.close()


@pytest.mark.parametrize("path", EVERY_KIND)
def test_nothing_is_to_be_scrolled_sideways(browser: Browser, folder: Path, path: str) -> None:
    seen = Seen(browser, folder / path)
    seen.unfold()
    for width in (320, 390, 768, 1400):
        seen.page.set_viewport_size({"width": width, "height": 900})
        assert seen.width <= width
    assert seen.told == []
    seen.context.close()


def test_a_fault_is_found(browser: Browser, folder: Path) -> None:
    data = (folder / "month" / "index.html").read_bytes()
    spoiled = folder / "month" / "spoiled.html"
    # A night in the calendar that has its sign and nothing else.
    words = b"night 12: not-deterministic"
    assert data.count(words) == 2
    for part in (b'title="%b" ' % words, b'<span class="unseen">%b</span>' % words):
        data = data.replace(part, b"")
    spoiled.write_bytes(data)
    seen = Seen(browser, spoiled)
    assert [rule for rule, _ in seen.violations()] == ["link-name"]
    seen.context.close()


def test_a_morning_without_a_script_and_by_keyboard(browser: Browser, folder: Path) -> None:
    """From the index to what is wrong, to the night that it began in, and back."""
    seen = Seen(browser, folder / "fault" / "index.html", java_script_enabled=False)
    shown = seen.page
    shown.keyboard.press("Tab")
    skip = shown.locator("a.to-verdict")
    assert skip.evaluate("one => one === document.activeElement")
    assert skip.evaluate("one => one.getBoundingClientRect().top >= 0"), "it is seen when focused"
    shown.keyboard.press("Enter")
    shown.wait_for_url("**/index.html#now")
    assert shown.locator("#now .verdict").inner_text() == "≠ not-deterministic"
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.textContent") == "night 12 (2026-03-12)"
    shown.keyboard.press("Enter")
    shown.wait_for_url(f"**/{NIGHT_12}")
    assert "class of the cause: time (certain)" in shown.locator("#varying pre").inner_text()
    shown.get_by_role("link", name="Night 13 →").press("Enter")
    shown.wait_for_url("**/nights/000013/index.html")
    shown.get_by_role("link", name="All nights").press("Enter")
    shown.wait_for_url("**/fault/index.html#nights")
    fold = shown.locator("#trends details").first
    fold.locator("summary").focus()
    shown.keyboard.press("Enter")
    assert fold.locator("table").is_visible()
    assert seen.told == []
    seen.context.close()


def test_a_night_is_found_in_the_calendar(browser: Browser, folder: Path) -> None:
    seen = Seen(browser, folder / "month" / "index.html")
    cell = seen.page.locator("#calendar").get_by_role("link", name="night 17: check-failed")
    box = cell.bounding_box()
    assert box is not None
    # What fingers hit (WCAG 2.2, 2.5.8).
    assert min(box["width"], box["height"]) >= 24
    colours = "one => [getComputedStyle(one).color, getComputedStyle(one).backgroundColor]"
    other = seen.page.locator("#calendar").get_by_role("link", name="night 18: unchanged")
    assert cell.evaluate(colours) != other.evaluate(colours)
    cell.click()
    seen.page.wait_for_url("**/nights/000017/index.html")
    assert seen.page.locator("#checks td").nth(1).inner_text().startswith("3 paths differ")
    seen.context.close()


def test_charts_are_drawn_to_scale(browser: Browser, folder: Path) -> None:
    seen = Seen(browser, folder / "month" / "index.html", viewport={"width": 390, "height": 900})
    size = seen.page.locator(".charts li", has_text="Image").locator("svg.trend")
    assert size.get_attribute("role") == "img"
    # The image grows: the line ends above where it began, and within the picture.
    first, last = size.evaluate("""one => {
        const lines = [...one.querySelectorAll('polyline')];
        const at = (line, place) => {
            const point = line.points.getItem(place < 0 ? line.points.length - 1 : place);
            const seen = point.matrixTransform(line.getScreenCTM());
            const box = one.getBoundingClientRect();
            return [(seen.x - box.x) / box.width, (seen.y - box.y) / box.height];
        };
        return [at(lines[0], 0), at(lines[lines.length - 1], -1)];
    }""")
    assert first[1] > last[1]
    assert 0 <= first[0] < 0.01
    assert 0.99 < last[0] <= 1
    assert all(0 < height < 1 for _, height in (first, last))
    seen.context.close()


def test_on_paper_nothing_is_folded(browser: Browser, folder: Path) -> None:
    seen = Seen(browser, folder / "month" / NIGHT_15)
    cell = seen.page.locator("#steps details td").first
    assert not cell.is_visible()
    seen.page.emulate_media(media="print")
    assert cell.is_visible()
    assert not seen.page.locator("nav").first.is_visible()
    printed = seen.page.pdf(format="A4")
    assert printed.startswith(b"%PDF-")
    seen.context.close()


def test_the_badge_is_a_picture_and_the_feed_is_found(browser: Browser, folder: Path) -> None:
    badge = Seen(browser, folder / "fault" / "badge.svg")
    root = badge.page.locator("svg")
    assert root.get_attribute("aria-label") == "nightly: not-deterministic"
    assert badge.page.locator("text").last.evaluate(
        "one => one.getBBox().x + one.getBBox().width <= one.ownerSVGElement.width.baseVal.value"
    )
    badge.context.close()
    seen = Seen(browser, folder / "month" / NIGHT_12)
    feed = seen.page.locator("link[rel=alternate]").evaluate("one => one.href")
    assert feed == (folder / "month" / "feed.atom").as_uri()
    seen.context.close()


def test_the_words_of_an_axis_are_not_cut_off(browser: Browser, folder: Path) -> None:
    seen = Seen(browser, folder / "month" / "index.html")
    words = seen.page.locator("svg.axis text")
    boxes = words.evaluate_all("""those => those.map(one => {
        const [word, picture] = [one, one.ownerSVGElement].map(it => it.getBoundingClientRect());
        return [one.textContent, word.left - picture.left, picture.right - word.right];
    })""")
    assert "1.66 GiB" in {text for text, _, _ in boxes}
    assert [text for text, left, right in boxes if min(left, right) < 0] == []
    seen.context.close()
