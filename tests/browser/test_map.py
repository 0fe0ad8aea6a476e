"""The map of a set: drawn, hovered, pressed, drawn around, by pointer and by keys."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from .conftest import OpenPage
from .made import CLASSES, Made
from .pages import large_page, runs_page, set_page
from .visit import Visit

pytestmark = pytest.mark.slow
WITHOUT_WEBGL = """
const real = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
  return kind.startsWith("webgl") ? null : real.call(this, kind, ...more);
};
"""


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


@pytest.fixture
def visit(made: Made, open_page: OpenPage) -> Visit:
    visit = open_page(set_page(made))
    visit.settle()
    return visit


def box(visit: Visit) -> dict[str, float]:
    found = visit.page.locator(".stage").bounding_box()
    assert found
    return dict(found)


def coloured(visit: Visit) -> float:
    """The share of the map that is not its background."""
    pixels = np.asarray(Image.open(io.BytesIO(visit.page.locator(".stage").screenshot())).convert("RGB"), int)
    return float((np.abs(pixels - pixels[3, 3]).sum(2) > 60).mean())


def place_of(visit: Visit, made: Made, row: int) -> tuple[float, float]:
    """Where a sample is on the screen while all of the map is shown."""
    stage = box(visit)
    low, high = made.place.min(0), made.place.max(0)
    half = (high - low).max() / 2
    extent = (high - low) / 2 / half
    scale = 0.46 * min((stage["width"] - 2) / extent[0], (stage["height"] - 2) / extent[1])
    x, y = (made.place[row] - (low + high) / 2) / half * scale
    return stage["x"] + stage["width"] / 2 + x, stage["y"] + stage["height"] / 2 - y


def drag(visit: Visit, path: list[tuple[float, float]]) -> None:
    mouse = visit.page.mouse
    mouse.move(*path[0])
    mouse.down()
    for x, y in path[1:]:
        mouse.move(x, y, steps=5)
    mouse.up()


def test_a_set_opens_on_its_map(visit: Visit) -> None:
    assert visit.page.get_by_role("tab", selected=True).inner_text() == "Map"
    assert visit.page.locator(".stage").get_attribute("data-renderer") == "WebGL2"
    assert 0.005 < coloured(visit) < 0.5


def test_hover_says_what_a_point_is_and_a_press_opens_it(visit: Visit, made: Made) -> None:
    row = int(np.argmax(made.place[:, 0]))
    visit.page.mouse.move(*place_of(visit, made, row))
    tip = visit.page.locator(".tip")
    assert f"{row:05d}" in tip.inner_text()
    assert tip.locator("img").count() == 1
    visit.page.mouse.click(*place_of(visit, made, row))
    assert f"{row:05d}" in visit.page.locator("#card h2").inner_text()
    visit.page.keyboard.press("Escape")
    assert not visit.page.locator("#card").is_visible()


def test_a_lasso_filters_all_views(visit: Visit, made: Made) -> None:
    visit.panel.get_by_role("button", name="Lasso").click()
    stage = box(visit)
    left, middle = stage["x"] + 2, stage["x"] + stage["width"] / 2
    top, bottom = stage["y"] + 2, stage["y"] + stage["height"] - 2
    drag(visit, [(left, top), (middle, top), (middle, bottom), (left, bottom), (left, top)])
    x = made.place[:, 0]
    expected = int((x < (x.min() + x.max()) / 2).sum())
    assert abs(visit.shown - expected) <= 3  # those under the line itself
    visit.open("Samples")
    rows = [int(name[-9:-4]) for name in visit.ids]
    assert (x[rows] < (x.min() + x.max()) / 2 + 0.1).all()
    visit.clear()
    assert visit.shown == made.n


def test_a_rectangle_by_keys(visit: Visit, made: Made) -> None:
    page = visit.page
    page.locator(".stage").focus()
    page.keyboard.press("c")
    page.keyboard.press("Space")
    for _ in range(30):
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Space")
    middle = (made.place.min(0) + made.place.max(0)) / 2
    expected = int((made.place > middle).all(1).sum())
    assert abs(visit.shown - expected) <= 3
    visit.open("Samples")
    rows = [int(name[-9:-4]) for name in visit.ids]
    assert (made.place[rows] > middle - 0.1).all()


def test_keys_move_and_open(visit: Visit) -> None:
    page = visit.page
    page.locator(".stage").focus()
    before = page.locator(".stage").screenshot()
    for key in ("+", "+", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    visit.settle()
    assert page.locator(".stage").screenshot() != before
    page.keyboard.press("0")
    visit.settle()
    assert page.locator(".stage").screenshot() == before


def test_the_wheel_zooms_in_and_out(visit: Visit) -> None:
    before = coloured(visit)
    stage = box(visit)
    visit.page.mouse.move(stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2)
    visit.page.mouse.wheel(0, -1200)
    visit.settle()
    assert coloured(visit) != before


def test_two_fingers_zoom(made: Made, open_page: OpenPage) -> None:
    visit = open_page(set_page(made), has_touch=True)
    visit.settle()
    before = coloured(visit)
    stage, cdp = box(visit), visit.context.new_cdp_session(visit.page)
    x, y = stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2

    def touch(kind: str, apart: float) -> None:
        fingers = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers if apart else []})

    touch("touchStart", 40)
    for apart in range(50, 240, 10):
        touch("touchMove", apart)
    touch("touchEnd", 0)
    visit.settle()
    assert coloured(visit) < 0.9 * before  # most points are out of sight
    visit.panel.get_by_role("button", name="Show all").click()
    visit.settle()
    assert coloured(visit) == before


def test_the_legend_filters(visit: Visit, made: Made) -> None:
    entry = visit.panel.locator(".legend .entry", has_text="sandal")
    n = int((made.label == CLASSES.index("sandal")).sum())
    assert str(n) in entry.inner_text()
    entry.click()
    assert visit.shown == n
    visit.panel.get_by_label("Hide what is filtered out").check()
    visit.settle()
    few = coloured(visit)
    visit.clear()
    visit.settle()
    assert few < coloured(visit)


@pytest.mark.parametrize("column", ["split", "label", "meta:price", "meta:colour"])
def test_it_is_coloured_by_any_column(visit: Visit, column: str) -> None:
    visit.panel.get_by_label("Colour").select_option(column)
    visit.settle()
    assert visit.panel.locator(".legend h3").inner_text() == column.removeprefix("meta:")
    assert coloured(visit) > 0.005


def test_a_lost_context_comes_back(visit: Visit) -> None:
    visit.page.evaluate(
        """() => new Promise(done => {
          const gl = document.querySelector(".stage canvas").getContext("webgl2");
          const lose = gl.getExtension("WEBGL_lose_context");
          gl.canvas.addEventListener("webglcontextrestored", () => done(), {once: true});
          lose.loseContext();
          setTimeout(() => lose.restoreContext(), 100);
        })"""
    )
    visit.settle()
    assert coloured(visit) > 0.005


def test_without_webgl_there_is_a_plain_picture(made: Made, open_page: OpenPage) -> None:
    visit = open_page(set_page(made), init=WITHOUT_WEBGL)
    visit.settle()
    assert visit.page.locator(".stage").get_attribute("data-renderer") == "a plain canvas"
    assert 0.005 < coloured(visit) < 0.5


def test_a_large_map_without_a_graphics_card_is_a_plain_picture_too(open_page: OpenPage) -> None:
    visit = open_page(large_page(100_000, 100))
    visit.settle()
    assert visit.page.locator(".stage").get_attribute("data-renderer") == "a plain canvas"
    assert 0.05 < coloured(visit) < 0.8
    visit.panel.get_by_role("button", name="Lasso").click()
    stage = box(visit)
    x, y, middle = stage["x"] + 2, stage["y"] + 2, stage["x"] + stage["width"] / 2
    bottom = y + stage["height"] - 4
    drag(visit, [(x, y), (middle, y), (middle, bottom), (x, bottom)])
    assert 1000 < visit.shown < 99_000
    visit.page.locator(".stage").focus()
    for key in ("+", "ArrowLeft", "ArrowLeft", "0"):
        visit.page.keyboard.press(key)
    visit.settle()
    assert coloured(visit) > 0.02


def test_samples_without_a_place_are_left_out(made: Made, open_page: OpenPage) -> None:
    data = set_page(made)
    place = made.place.copy()
    place[:100] = np.nan
    data["points"] |= {"x": _packed(place[:, 0]), "y": _packed(place[:, 1])}
    visit = open_page(data)
    assert "100 samples without a place" in visit.panel.inner_text()
    assert coloured(visit) > 0.003


@pytest.mark.parametrize("n", [1, 2])
def test_a_map_of_hardly_a_sample(open_page: OpenPage, n: int) -> None:
    made = Made(n)
    visit = open_page({**set_page(made), "queues": [], "neighbours": None})
    visit.settle()
    assert coloured(visit) > 0


def test_flips_are_on_the_map(open_page: OpenPage) -> None:
    visit = open_page(runs_page())
    visit.open("Flips").get_by_role("button", name="Show on the map").click()
    assert visit.panel.locator(".legend h3").inner_text() == "flip"


def _packed(values: Any) -> dict[str, Any]:
    from .made import packed

    return packed(values, "float32")
