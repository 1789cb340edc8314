"""`report.html` in a real browser: accessible, quiet, alone, and usable without a script.

Chromium as Debian has it is driven by Playwright; axe-core looks for what is not accessible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from orchestrator.report.page import page
from tests import pages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.needs_tools("chromium")

FAILING = pages.failing()
CASES = {
    "plain": (pages.build(), None, ()),
    "failing": (FAILING, pages.audit(FAILING), ()),
    "hostile": pages.hostile(pages.HOSTILE[2]),
    "long": pages.hostile("a" * 10_000),
}
# The newest rules that the tests were looked at with; older ones would find less.
OLDEST_RULES = (4, 8)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Tests run as root in containers, where Chromium's own sandbox cannot be made.
        found = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        yield found
        found.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pages")
    for name, parts in CASES.items():
        (made / f"{name}.html").write_bytes(page(*parts))
    return made


class Seen:
    """An open page, and what the browser told of it."""

    def __init__(self, browser: Browser, place: Path, **context: Any) -> None:  # noqa: ANN401
        self.context = browser.new_context(**context)
        self.page: Page = self.context.new_page()
        self.told: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.told.append(message.text))
        self.page.on("pageerror", lambda error: self.told.append(str(error)))
        self.page.on("dialog", lambda dialog: self.told.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.address = place.as_uri()
        self.page.goto(self.address)

    def unfold(self) -> None:
        self.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")

    @property
    def width(self) -> int:
        """How wide the page is, in pixels, what lies outside of the window too."""
        return int(self.page.evaluate("document.documentElement.scrollWidth"))


# Each takes seconds; the failing build has something of everything.
LOOKED_AT = [
    *(("failing", width, scheme) for width in (390, 1400) for scheme in ("light", "dark")),
    ("hostile", 390, "light"),
]


@pytest.mark.parametrize(("case", "width", "scheme"), LOOKED_AT)
def test_it_is_accessible_quiet_and_alone(
    browser: Browser,
    folder: Path,
    case: str,
    width: int,
    scheme: Any,  # noqa: ANN401 - one of two
) -> None:
    size = {"width": width, "height": 900}
    seen = Seen(browser, folder / f"{case}.html", viewport=size, color_scheme=scheme)
    seen.unfold()
    found = Axe().run(seen.page).response
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
    assert found["passes"], "rules were applied"
    version = tuple(int(part) for part in found["testEngine"]["version"].split(".")[:2])
    assert version >= OLDEST_RULES
    assert seen.told == []
    assert seen.requests == [seen.address]
    seen.context.close()


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_to_be_scrolled_sideways(browser: Browser, folder: Path, case: str) -> None:
    seen = Seen(browser, folder / f"{case}.html")
    seen.unfold()
    for width in (320, 390, 1400):
        seen.page.set_viewport_size({"width": width, "height": 900})
        assert seen.width <= width
    assert seen.told == []
    seen.context.close()


def test_a_fault_is_found(browser: Browser, tmp_path: Path) -> None:
    data = page(*CASES["plain"]).replace(b'<html lang="en">', b"<html>")
    (tmp_path / "spoiled.html").write_bytes(data)
    seen = Seen(browser, tmp_path / "spoiled.html")
    found = Axe().run(seen.page).response["violations"]
    assert [one["id"] for one in found] == ["html-has-lang"]
    seen.context.close()


def test_it_is_usable_without_a_script_and_by_keyboard(browser: Browser, folder: Path) -> None:
    seen = Seen(browser, folder / "failing.html", java_script_enabled=False)
    shown = seen.page
    assert shown.locator("h1").inner_text() == "Build report"
    shown.keyboard.press("Tab")
    skip = shown.locator("a.to-verdict")
    assert skip.evaluate("one => one === document.activeElement")
    assert skip.evaluate("one => one.getBoundingClientRect().top >= 0"), "it is seen when focused"
    outline = skip.evaluate("one => getComputedStyle(one).outlineStyle")
    assert outline == "solid"
    shown.keyboard.press("Enter")
    assert shown.url.endswith("#verdict")
    fold = shown.locator("#chain > details")
    fold.locator("> summary").focus()
    assert fold.get_attribute("open") is None
    shown.keyboard.press("Enter")
    assert fold.get_attribute("open") is not None
    assert fold.locator("table").first.is_visible()
    assert seen.told == []
    seen.context.close()


def test_on_paper_nothing_is_folded(browser: Browser, folder: Path) -> None:
    seen = Seen(browser, folder / "failing.html")
    cell = seen.page.locator("#chain details td").first
    assert not cell.is_visible()
    seen.page.emulate_media(media="print")
    assert cell.is_visible()
    assert not seen.page.locator("nav").is_visible()
    printed = seen.page.pdf(format="A4")
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") > 2
    seen.context.close()


def test_the_policy_stops_what_a_page_should_not_do(browser: Browser, folder: Path) -> None:
    seen = Seen(browser, folder / "plain.html")
    seen.page.evaluate("""() => {
        const add = (tag, change) => {
            const one = document.createElement(tag);
            change(one);
            document.body.append(one);
        };
        add('script', one => one.textContent = 'window.ran = true');
        add('style', one => one.textContent = 'body{display:none}');
        add('img', one => one.src = 'there.png');
        document.body.setAttribute('style', 'display:none');
    }""")
    assert seen.page.evaluate("window.ran") is None
    assert seen.page.locator("h1").is_visible()
    assert len(seen.told) == 4
    assert all("Content Security Policy" in words for words in seen.told)
    seen.context.close()
