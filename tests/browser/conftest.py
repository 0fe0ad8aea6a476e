"""A real Chromium without a network, and pages opened in it from the disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headstart.reporting.html import page_html

from .visit import Visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser

AXE = "axe-core@4.14.1"
ARGUMENTS = (
    "--disable-dev-shm-usage",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-sandbox",
)

OpenPage = Callable[..., Visit]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Debian's Chromium, installed where it is missing."""
    if not shutil.which("chromium"):
        root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        for words in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run([*root, "apt-get", *words], check=False, capture_output=True)
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("these tests need a browser, and it cannot be installed: apt-get install chromium")
    return path


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """One browser for all tests of a process."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[OpenPage]:
    """Opens the page of some data; whatever it did wrong is said at the end."""
    visits: list[Visit] = []

    def open_page(data: dict[str, Any], start: str = "", init: str = "", **options: Any) -> Visit:
        file = tmp_path / f"page-{len(visits)}.html"
        file.write_text(page_html(data), "utf-8")
        visits.append(Visit(browser, file, start, init, options))
        return visits[-1]

    yield open_page
    for visit in visits:
        visit.close()
    assert [problem for visit in visits for problem in visit.problems] == []


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, from npm."""
    folder = tmp_path_factory.mktemp("axe")
    npm = shutil.which("npm") or pytest.fail(
        "the test of the accessibility tree needs npm: apt-get install npm"
    )
    done = subprocess.run([npm, "pack", AXE], cwd=folder, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tgz"))
    if not archives:
        pytest.fail(f"npm pack {AXE} failed: {done.stderr[-500:]}")
    shutil.unpack_archive(archives[0], folder, filter="data")
    return (folder / "package" / "axe.min.js").read_text("utf-8")
