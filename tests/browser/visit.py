"""A page that is open in a browser, and what one can do with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Route

SETTLED = """() => new Promise(done => {
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 250)));
})"""
WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 360, "height": 740}


class Visit:
    """A page opened from the disk without a network; `problems` says what it must not have done."""

    def __init__(self, browser: Browser, file: Path, start: str, init: str, options: dict[str, Any]) -> None:
        self.problems: list[str] = []
        self.context = browser.new_context(**{"viewport": WIDE, **options})
        self.context.set_offline(True)
        self.context.set_default_timeout(20_000)
        self.context.route("**/*", lambda route: self._route(route, file))
        if init:
            self.context.add_init_script(init)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.goto(f"{file.as_uri()}{start}")
        self.page.get_by_role("tab").first.wait_for()

    def _route(self, route: Route, file: Path) -> None:
        """Only the file itself: whatever else is asked for is a problem."""
        if route.request.url.partition("#")[0] == file.as_uri():
            return route.continue_()
        self.problems.append(f"asked for {route.request.url[:200]}")
        return route.abort()

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and "GPU stall" not in message.text:
            self.problems.append(f"{message.type}: {message.text[:500]}")

    def close(self) -> None:
        self.context.close()

    @property
    def views(self) -> list[str]:
        """The names of all views."""
        return self.page.get_by_role("tab").all_inner_texts()

    def open(self, view: str) -> Locator:
        """Opens a view; its panel."""
        self.page.get_by_role("tab", name=view, exact=True).click()
        return self.panel

    @property
    def panel(self) -> Locator:
        return self.page.locator("[role=tabpanel]:not([hidden])")

    @property
    def shown(self) -> int:
        """How many samples the filters let through."""
        return int(self.page.locator(".total strong").inner_text().replace(",", ""))

    @property
    def ids(self) -> list[str]:
        """Ids of the samples listed in the view that is open."""
        return self.panel.locator(".samples .sample-head > .link").all_inner_texts()

    def clear(self) -> None:
        """Takes all filters off."""
        while self.page.locator(".chip").count():
            self.page.locator(".chip").first.click()

    def add_filter(self, column: str) -> Locator:
        """Opens the filter of a column; what its values are chosen in."""
        if not self.page.locator(".filter-panel").is_visible():
            self.page.get_by_role("button", name="Add a filter").click()
        self.page.get_by_label("Column", exact=True).select_option(column)
        return self.page.locator(".filter-panel .values")

    def settle(self) -> None:
        """Waits for the frames in which the page draws."""
        self.page.evaluate(SETTLED)
