"""The page of a run: each view says of the samples what the data says."""

from __future__ import annotations

import re

import numpy as np
import pytest

from headstart.metrics.calibration import reliability

from .conftest import OpenPage
from .made import CLASSES, Made
from .pages import many_classes_page, multi_page, run_page, texts_run_page
from .visit import Visit

pytestmark = pytest.mark.slow
TEST = 2


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


@pytest.fixture
def visit(made: Made, open_page: OpenPage) -> Visit:
    return open_page(run_page(made))


def tiles(visit: Visit) -> dict[str, str]:
    """The figures in boxes of a view, by name."""
    boxes = visit.panel.locator(".tile")
    return {
        box.locator(".tile-name").inner_text().partition(" (")[0]: box.locator(".tile-value").inner_text()
        for box in boxes.all()
    }


def test_it_opens_on_the_figures_of_the_test_split_with_their_intervals(visit: Visit, made: Made) -> None:
    of = made.split == TEST
    row = visit.panel.get_by_role("row", name="accuracy").first.inner_text()
    accuracy = made.right[of].mean()
    assert f"{accuracy:.4f}" in row
    assert " to " in row
    assert "too few samples of a class" in visit.panel.inner_text()
    assert visit.shown == of.sum()
    assert visit.page.locator(".chip").inner_text().replace("\n", "").startswith("split: test")


def test_curves_of_the_run_are_a_table_that_sorts(visit: Visit) -> None:
    table = visit.panel.get_by_role("table", name="Few shots")
    heads = table.get_by_role("columnheader").all_inner_texts()
    assert [head.strip() for head in heads] == [
        "Head",
        "Of each class",
        "Draws",
        "accuracy",
        "95 %",
        "log loss",
    ]
    rows = [row.inner_text().split("\t") for row in table.locator("tbody tr").all()]
    assert rows[0] == ["ridge", "1", "5", "0.5000 ± 0.0125", "0.4500 to 0.5500", "–"]
    assert rows[3][0] == "<b>knn</b>"
    assert "From 4 of each class on ridge is ahead." in visit.panel.inner_text()
    table.get_by_role("button", name="accuracy").click()
    first = visit.panel.get_by_role("table", name="Few shots").locator("tbody tr").first.inner_text()
    assert first.startswith("ridge\t16")


def test_every_view_opens(visit: Visit) -> None:
    assert visit.views == [
        "Overview",
        "Confusion",
        "Mistakes",
        "Threshold",
        "Reliability",
        "Slices",
        "Classes",
        "Map",
        "Samples",
        "Review",
    ]
    for view in visit.views:
        assert visit.open(view).locator("h2").first.is_visible()


def test_a_cell_of_the_confusion_matrix_opens_its_samples(visit: Visit, made: Made) -> None:
    of = made.split == TEST
    wrong = np.flatnonzero(of & ~made.right)
    label, said = made.label[wrong[0]], made.prediction[wrong[0]]
    expected = np.flatnonzero(of & (made.label == label) & (made.prediction == said))
    panel = visit.open("Confusion")
    cell = panel.locator(f'[data-cell="{label},{said}"]')
    assert cell.inner_text() == str(len(expected))
    cell.click()
    by_confidence = expected[np.argsort(-made.probabilities[expected].max(1), kind="stable")]
    assert [int(name[-9:-4]) for name in visit.ids] == by_confidence.tolist()
    panel.get_by_role("button", name="Filter all views by this").click()
    assert visit.shown == len(expected)


def test_the_most_confident_mistakes_come_first_with_their_neighbours(visit: Visit, made: Made) -> None:
    wrong = np.flatnonzero((made.split == TEST) & ~made.right)
    visit.open("Mistakes")
    by_confidence = wrong[np.argsort(-made.probabilities[wrong].max(1), kind="stable")]
    assert [int(name[-9:-4]) for name in visit.ids] == by_confidence[:50].tolist()
    first = visit.panel.locator(".sample").first
    assert first.locator("img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 56
    assert first.locator(".near").count() == 5
    first.locator(".near").first.click()
    assert visit.page.locator("#card").is_visible()
    assert "split\ntrain" in visit.page.locator("#card .facts-list").inner_text()


def test_a_threshold_recomputes_what_stands(visit: Visit, made: Made) -> None:
    of = made.split == TEST
    panel = visit.open("Threshold")
    panel.get_by_label("Cost of a wrong answer").fill("5")
    panel.get_by_label("Cost of an abstention").fill("0.5")
    panel.get_by_label("Threshold as a number").fill("0.8")
    panel.get_by_label("Threshold as a number").press("Enter")
    stands = made.probabilities.max(1)[of] >= 0.8
    right = made.right[of]
    found = tiles(visit)
    assert found["coverage"] == f"{100 * stands.mean():.1f} %"
    assert found["accuracy"] == f"{right[stands].mean():.3f}"
    cost = 5 * (stands & ~right).sum() + 0.5 * (~stands).sum()
    assert float(found["cost"].replace(",", "")) == pytest.approx(cost, rel=1e-3)


def test_the_slider_moves_by_keys(visit: Visit) -> None:
    panel = visit.open("Threshold")
    slider = panel.get_by_label("Threshold", exact=True)
    before = tiles(visit)["coverage"]
    slider.focus()
    slider.press("End")
    assert tiles(visit)["coverage"] != before


def test_a_threshold_on_one_class(visit: Visit, made: Made) -> None:
    of, code = made.split == TEST, CLASSES.index("shirt")
    panel = visit.open("Threshold")
    panel.get_by_label("What it decides").select_option(str(code))
    panel.get_by_label("Threshold as a number").fill("0.3")
    panel.get_by_label("Threshold as a number").press("Enter")
    said, is_it = made.probabilities[of, code] >= 0.3, made.label[of] == code
    found = tiles(visit)
    assert found["precision"] == f"{is_it[said].mean():.3f}"
    assert found["recall"] == f"{said[is_it].mean():.3f}"


def test_a_threshold_on_a_class_of_several(open_page: OpenPage) -> None:
    made, code = Made(200), CLASSES.index("bag")
    visit = open_page(multi_page())
    panel = visit.open("Threshold")
    panel.get_by_label("What it decides").select_option(str(code))
    panel.get_by_label("Threshold as a number").fill("0.3")
    panel.get_by_label("Threshold as a number").press("Enter")
    rows = np.flatnonzero((made.split == TEST) & (np.arange(200) % 11 > 0))
    said, is_it = made.probabilities[rows, code] >= 0.3, (made.label[rows] == code) | (rows % 3 == code)
    found = tiles(visit)
    assert found["precision"] == f"{is_it[said].mean():.3f}"
    assert found["recall"] == f"{said[is_it].mean():.3f}"


def test_the_cheapest_threshold_costs_no_more_than_any_other(visit: Visit) -> None:
    panel = visit.open("Threshold")
    panel.get_by_role("button", name="Go to the cheapest").click()
    best = float(tiles(visit)["cost"])
    for threshold in ("0", "0.4", "0.6", "0.9", "1"):
        panel.get_by_label("Threshold as a number").fill(threshold)
        panel.get_by_label("Threshold as a number").press("Enter")
        assert best <= float(tiles(visit)["cost"]) + 1e-6


def test_reliability_is_that_of_the_package(visit: Visit, made: Made) -> None:
    of = made.split == TEST
    visit.open("Reliability")
    ece = reliability(made.probabilities[of].max(1), made.right[of]).ece
    assert float(tiles(visit)["expected calibration error"]) == pytest.approx(ece, abs=6e-4)


def test_slices_come_worst_first_and_filter(visit: Visit, made: Made) -> None:
    panel = visit.open("Slices")
    values = [float(text) for text in panel.locator("tbody td:nth-child(5)").all_inner_texts()]
    assert values == sorted(values)
    panel.get_by_role("button", name="price 12 to 30").click()
    of = (made.split == TEST) & (made.price >= 12) & (made.price <= 30)
    assert visit.shown == of.sum()
    coats = made.right[of & (made.label == CLASSES.index("coat"))]
    row = panel.get_by_role("row").filter(has=visit.page.get_by_role("button", name="label coat"))
    assert row.locator("td").last.inner_text() == f"{coats.mean():.4f} of {len(coats)}"


def test_the_table_of_classes_sorts_by_any_head(visit: Visit, made: Made) -> None:
    panel = visit.open("Classes")
    of = made.split == TEST
    for head, down in (("Samples", True), ("Samples", False), ("Recall", True)):
        panel.get_by_role("button", name=head).click()
        column = ["Class", "Samples", "Precision", "Recall"].index(head) + 1
        values = [
            float(text) for text in panel.locator(f"tbody > tr > :nth-child({column})").all_inner_texts()
        ]
        assert values == sorted(values, reverse=down)
    shirts = (
        panel.get_by_role("row", name="shirt", exact=False).filter(has_not_text="t-shirt").first.inner_text()
    )
    hits = made.right[of & (made.label == CLASSES.index("shirt"))]
    assert f"{hits.mean():.3f}" in shirts


def test_figures_follow_the_filters(visit: Visit, made: Made) -> None:
    visit.clear()
    visit.open("Classes")
    said = int((made.split > 0).sum())
    assert f"Of {said:,} predictions, all splits" in visit.panel.inner_text()


def test_more_classes_than_a_matrix_shows(open_page: OpenPage) -> None:
    visit = open_page(many_classes_page())
    panel = visit.open("Confusion")
    assert panel.locator("table.confusion thead th").count() == 30
    panel.get_by_label(re.compile("All 120 classes")).check()
    assert panel.locator("canvas.heat").is_visible()
    panel.locator(".table-box tbody button").first.click()
    assert visit.ids


def test_a_run_that_writes_texts_has_its_mistakes(open_page: OpenPage) -> None:
    visit = open_page(texts_run_page())
    assert "Confusion" not in visit.views
    visit.open("Mistakes")
    assert "something else about" in visit.panel.locator(".sample").first.inner_text()
