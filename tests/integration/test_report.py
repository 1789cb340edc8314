"""`report.html` in a real browser: accessible, quiet, alone, and usable without a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.report.page import page
from tests import pages
from tests.integration.browsing import Seen

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.needs_tools("chromium")

FAILING = pages.failing()
CASES = {
    "plain": (pages.build(), None, ()),
    "failing": (FAILING, pages.audit(FAILING), ()),
    "hostile": pages.hostile(pages.HOSTILE[2]),
    "long": pages.hostile("a" * 10_000),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pages")
    for name, parts in CASES.items():
        (made / f"{name}.html").write_bytes(page(*parts))
    return made


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
    assert seen.violations() == []
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
    assert [rule for rule, _ in seen.violations()] == ["html-has-lang"]
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
