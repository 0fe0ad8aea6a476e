"""One filter bar for all views."""

from __future__ import annotations

import numpy as np
import pytest

from .conftest import OpenPage
from .made import CLASSES, COLOURS, Made
from .pages import set_page
from .visit import Visit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


@pytest.fixture
def visit(made: Made, open_page: OpenPage) -> Visit:
    return open_page(set_page(made), start="#samples")


def test_categories_add_up_and_go_off_again(visit: Visit, made: Made) -> None:
    values = visit.add_filter("label")
    for name in ("bag", "coat"):
        values.get_by_label(name).check()
    of = np.isin(made.label, [CLASSES.index("bag"), CLASSES.index("coat")])
    assert visit.shown == of.sum()
    values = visit.add_filter("meta:colour")
    values.get_by_label("red").check()
    assert visit.shown == (of & (made.colour == COLOURS.index("red"))).sum()
    visit.page.get_by_role("button", name="Remove the filter label").click()
    assert visit.shown == (made.colour == COLOURS.index("red")).sum()
    visit.clear()
    assert visit.shown == made.n


def test_samples_without_a_value_can_be_chosen(visit: Visit, made: Made) -> None:
    visit.add_filter("meta:colour").get_by_label("none").check()
    assert visit.shown == (made.colour < 0).sum()


def test_a_range_of_numbers(visit: Visit, made: Made) -> None:
    values = visit.add_filter("meta:price")
    values.get_by_label("Lowest").fill("20")
    values.get_by_label("Highest").fill("25.5")
    values.get_by_role("button", name="Apply").click()
    assert visit.shown == ((made.price >= 20) & (made.price <= 25.5)).sum()


def test_search_finds_ids_and_labels(visit: Visit, made: Made) -> None:
    box = visit.page.get_by_label("Search ids, texts, labels, predictions")
    box.fill("/00012")
    visit.page.locator(".chip").wait_for()
    assert visit.shown == 1
    assert visit.ids == [f"images/{CLASSES[made.label[12]].replace(' ', '-')}/00012.png"]
    box.fill("SNEAKER")
    visit.page.get_by_role("button", name="Remove the filter search: “SNEAKER”").wait_for()
    assert visit.shown == (made.label == CLASSES.index("sneaker")).sum()


def test_search_finds_texts(open_page: OpenPage) -> None:
    made = Made(50)
    visit = open_page(set_page(made, texts=True), start="#samples")
    visit.page.get_by_label("Search ids, texts, labels, predictions").fill("sample 7: the")
    visit.page.locator(".chip").wait_for()
    assert visit.shown == 1
    assert "Sample 7" in visit.panel.locator(".prose").inner_text()


def test_lists_turn_pages(visit: Visit) -> None:
    assert len(visit.ids) == 50
    assert visit.panel.get_by_text("1 to 50 of 400").is_visible()
    visit.panel.get_by_role("button", name="Last").click()
    assert visit.ids[-1].endswith("00399.png")


def test_views_share_the_filters(visit: Visit, made: Made) -> None:
    visit.add_filter("label").get_by_label("bag").check()
    n = int((made.label == CLASSES.index("bag")).sum())
    visit.open("Review").get_by_role("button", name="All that pass the filters").click()
    assert f"1 of {n}" in visit.panel.inner_text()


def test_the_whole_bar_works_by_keys_alone(visit: Visit, made: Made) -> None:
    page = visit.page
    page.get_by_role("button", name="Add a filter").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")  # from split to label
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert visit.shown == (made.label == 0).sum()
    page.keyboard.press("Escape")
    assert not page.locator(".filter-panel").is_visible()
