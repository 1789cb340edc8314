"""What the tests of pages share: Chromium as Debian has it, driven by Playwright, and axe-core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

# The newest rules that the tests were looked at with; older ones would find less.
OLDEST_RULES = (4, 8)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Tests run as root in containers, where Chromium's own sandbox cannot be made.
        found = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        yield found
        found.close()


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

    def violations(self) -> list[tuple[str, str]]:
        """Rules of accessibility that the page breaks, each with the first place."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response
        assert found["passes"], "rules were applied"
        version = tuple(int(part) for part in found["testEngine"]["version"].split(".")[:2])
        assert version >= OLDEST_RULES
        return [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]]
