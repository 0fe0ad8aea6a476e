"""Every page in every dress: two runs, hostile data, dark, narrow, and what a screen reader is told."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from headstart.reporting.html import page_html

from .conftest import OpenPage
from .made import Made, Page
from .pages import empty_page, hostile_page, multi_page, run_page, runs_page, set_page, texts_run_page
from .visit import NARROW, WIDE

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow
PAGES: dict[str, Callable[[], Page]] = {
    "run": run_page,
    "set": set_page,
    "texts": lambda: set_page(Made(60), texts=True),
    "classified texts": lambda: run_page(Made(60), texts=True),
    "written": texts_run_page,
    "several labels": multi_page,
    "two runs": runs_page,
    "hostile": hostile_page,
    "empty": empty_page,
}
SERIOUS = ("serious", "critical")
NARROWEST = 150
"""Pixels of a column of words."""


@pytest.mark.parametrize("kind", PAGES)
@pytest.mark.parametrize("dress", ["light wide", "dark narrow"])
def test_no_view_complains_or_overflows(open_page: OpenPage, kind: str, dress: str) -> None:
    scheme, width = dress.split()
    visit = open_page(PAGES[kind](), color_scheme=scheme, viewport=WIDE if width == "wide" else NARROW)
    for view in visit.views:
        visit.open(view)
        visit.settle()
        beyond = visit.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert beyond <= 0, f"{view} is {beyond} px wider than the window"
        widths = visit.panel.locator(".sample-words").evaluate_all("all => all.map(one => one.clientWidth)")
        assert min(widths, default=NARROWEST) >= NARROWEST, f"{view} squeezes what is said of a sample"


@pytest.mark.parametrize("kind", ["run", "set", "two runs", "hostile"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page: OpenPage, axe: str, kind: str, scheme: str) -> None:
    visit = open_page(PAGES[kind](), color_scheme=scheme, bypass_csp=True, init=axe)
    found: list[Any] = []
    for view in ["Overview", "Flips"] if kind == "two runs" else visit.views:
        panel = visit.open(view)
        if view == "Samples" and panel.locator(".sample .link").count():
            panel.locator(".sample .link").first.click()  # with its card
        result = visit.page.evaluate("axe.run({resultTypes: ['violations']})")
        assert result["passes"]
        found += [
            (view, violation["id"], node["html"][:200])
            for violation in result["violations"]
            if violation["impact"] in SERIOUS
            for node in violation["nodes"]
        ]
    assert found == []


def test_hostile_data_stays_words(open_page: OpenPage) -> None:
    visit = open_page(hostile_page())
    for view in visit.views:
        visit.open(view)
        visit.settle()
    assert visit.page.evaluate("window.broken") is None
    assert visit.page.locator("script").count() == 2
    assert visit.page.evaluate(
        "[...document.querySelectorAll('img')].every(image => image.src.startsWith('data:'))"
    )
    visit.clear()
    visit.open("Samples")
    visit.settle()
    pictures = visit.panel.locator(".sample .picture.small")
    sizes = {
        (box["width"], box["height"]) for picture in pictures.all()[:8] if (box := picture.bounding_box())
    }
    assert sizes == {(72, 72)}  # decoded or not
    assert visit.panel.locator(".no-picture").count() > 0


def test_the_policy_forbids_what_it_should(open_page: OpenPage) -> None:
    visit = open_page(set_page(Made(20)))
    tried = """async () => {
      const script = document.createElement("script");
      script.textContent = "window.broken = 4";
      document.body.append(script);
      document.body.setAttribute("style", "color: red");
      let connected = await fetch("data:text/plain,x").then(() => true, () => false);
      return [window.broken === undefined, getComputedStyle(document.body).color !== "rgb(255, 0, 0)", !connected];
    }"""
    assert visit.page.evaluate(tried) == [True, True, True]
    assert visit.problems
    visit.problems.clear()  # that it complained is the point


def test_two_runs_say_who_is_better_and_where(open_page: OpenPage) -> None:
    data = runs_page()
    visit = open_page(data)
    comparison = data["comparison"]
    words = visit.panel.inner_text()
    assert f"{comparison['figures'][0]['difference']:+.4f}" in words
    assert "McNemar's p is 0.014" in words
    panel = visit.open("Flips")
    gained = panel.get_by_role("button", name=f"gained {comparison['only_b']}")
    assert gained.get_attribute("aria-pressed") == "true"
    assert len(visit.ids) == comparison["only_b"]
    panel.get_by_role("button", name=f"lost {comparison['only_a']}").click()
    assert len(visit.ids) == comparison["only_a"]
    panel.locator("section .table-box tbody button").first.click()
    assert visit.page.locator(".chip").count() == 2


def test_views_of_a_run_choose_the_run(open_page: OpenPage) -> None:
    visit = open_page(runs_page())
    panel = visit.open("Confusion")
    right = panel.locator("button.hit").all_inner_texts()
    panel.get_by_label("Run").select_option("1")
    assert panel.locator("button.hit").all_inner_texts() != right


def test_a_page_works_within_a_page(browser: Browser, tmp_path: Path) -> None:
    """As notebooks show it."""
    file = tmp_path / "notebook.html"
    file.write_text(
        f'<iframe width=900 height=700 srcdoc="{html.escape(page_html(set_page(Made(30))))}"></iframe>'
    )
    page = browser.new_context(offline=True).new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    frame = page.frame_locator("iframe")
    frame.get_by_role("tab", name="Samples").click()
    frame.locator(".sample .link").first.click()
    assert frame.locator("#card").is_visible()
    assert errors == []
    page.context.close()


def test_the_theme_can_be_chosen(open_page: OpenPage) -> None:
    visit = open_page(set_page(Made(50)), color_scheme="light")
    light = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    visit.page.get_by_role("button", name="Dark colours").click()
    visit.settle()
    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert visit.page.get_by_role("button", name="Light colours").is_visible()


def test_views_open_by_keys(open_page: OpenPage) -> None:
    visit = open_page(run_page())
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    visit.page.get_by_role("tab", selected=True).focus()
    for view in visit.views[1:]:
        visit.page.keyboard.press("ArrowRight")
        assert visit.page.get_by_role("tab", selected=True).inner_text() == view
        assert visit.panel.is_visible()


def test_samples_of_which_one_has_nothing(open_page: OpenPage) -> None:
    made = Made(30)
    data = set_page(made)
    data["samples"] |= {"thumbs": None}
    data |= {"points": None, "neighbours": None, "queues": [], "notes": [], "about": []}
    visit = open_page(data)
    assert "Map" not in visit.views
    visit.open("Samples")
    assert len(visit.ids) == 30


def test_a_run_without_probabilities(open_page: OpenPage) -> None:
    data = run_page(Made(200), probabilities=None)
    visit = open_page(data)
    visit.open("Threshold")
    assert visit.panel.get_by_label("What it decides").locator("option").count() == 1
    data["runs"][0]["confidence"] = None
    visit = open_page(data)
    assert {"Threshold", "Reliability"}.isdisjoint(visit.views)
    assert np.all([visit.open(view).is_visible() for view in visit.views])
