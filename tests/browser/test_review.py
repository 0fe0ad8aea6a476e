"""The correction queue, and the file that comes out of it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import OpenPage
from .made import CLASSES, Made, category, packed
from .pages import HOSTILE, hostile_page, run_page, set_page, texts_run_page
from .visit import Visit

pytestmark = pytest.mark.slow
csv.field_size_limit(2_000_000)  # an id may be longer than Python expects
HEADER = ["key", "id", "label", "old", "new", "action", "note", "digest"]


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


@pytest.fixture
def visit(made: Made, open_page: OpenPage) -> Visit:
    visit = open_page(set_page(made))
    visit.open("Review")
    return visit


def download(visit: Visit, folder: Path) -> list[dict[str, str]]:
    """The rows of the file that the page gives."""
    if visit.page.get_by_role("tab", selected=True).inner_text() != "Review":
        visit.open("Review")
    with visit.page.expect_download() as found:
        visit.panel.get_by_role("button", name="Download corrections.csv").click()
    assert found.value.suggested_filename == "corrections.csv"
    found.value.save_as(folder / "corrections.csv")
    with (folder / "corrections.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        lines = list(rows)
    assert rows.fieldnames == HEADER
    return lines


def at(visit: Visit) -> int:
    """The sample in view."""
    return int(visit.panel.locator(".queue-stage figcaption .link").first.inner_text()[-9:-4])


def doubted(made: Made) -> list[int]:
    """Rows of the queue of label errors, in its order."""
    order: Any = np.argsort(made.probabilities[np.arange(made.n), made.label])
    return list(order[:24])


def test_one_key_decides_and_the_next_sample_comes(visit: Visit, made: Made, tmp_path: Path) -> None:
    rows = doubted(made)
    keyboard = visit.page.keyboard
    for place, key in enumerate("kdu"):
        assert at(visit) == rows[place]
        keyboard.press(key)
    assert at(visit) == rows[3]
    keyboard.press("r")
    keyboard.press("Enter")  # takes the guess
    found = download(visit, tmp_path)
    assert [row["action"] for row in found] == ["keep", "drop", "unsure", "relabel"]
    assert [int(row["id"][-9:-4]) for row in found] == rows[:4]
    assert [row["old"] for row in found] == [CLASSES[made.label[row]] for row in rows[:4]]
    assert found[3]["new"] == CLASSES[made.prediction[rows[3]]]
    assert {row["new"] for row in found[:3]} == {""}
    assert {(row["label"], row["digest"]) for row in found} == {("category", "0123456789abcdef")}
    assert all(len(row["key"]) == 32 and set(row["key"]) <= set("0123456789abcdef") for row in found)


def test_keys_of_the_file_are_those_of_the_samples(open_page: OpenPage, tmp_path: Path) -> None:
    import base64

    data = set_page(Made())
    keys = np.frombuffer(base64.b64decode(data["samples"]["keys"]["b64"]), np.uint8).reshape(-1, 16)
    visit = open_page(data)
    visit.open("Review")
    row = at(visit)
    visit.page.keyboard.press("k")
    [line] = download(visit, tmp_path)
    assert line["key"] == keys[row].tobytes().hex()


def test_typing_narrows_the_classes(visit: Visit, tmp_path: Path, made: Made) -> None:
    keyboard = visit.page.keyboard
    keyboard.press("r")
    keyboard.type("NDA")
    assert visit.panel.get_by_role("option").all_inner_texts() == ["sandal", "New class: NDA"]
    keyboard.press("Enter")
    assert download(visit, tmp_path)[0]["new"] == "sandal"


def test_a_whole_name_is_meant_where_it_is_a_part_of_others(visit: Visit, tmp_path: Path, made: Made) -> None:
    assert {"shirt", "t-shirt"} <= set(CLASSES)
    place = next(
        n for n, row in enumerate(doubted(made)) if CLASSES[made.label[row]] not in ("shirt", "t-shirt")
    )
    for _ in range(place):
        visit.page.keyboard.press("j")
    visit.page.keyboard.press("r")
    visit.page.keyboard.type("shirt")
    visit.page.keyboard.press("Enter")
    assert [row["new"] for row in download(visit, tmp_path)] == ["shirt"]


def test_a_new_class_is_said_to_be_new(visit: Visit, tmp_path: Path) -> None:
    keyboard = visit.page.keyboard
    keyboard.press("r")
    keyboard.type("umbrella")
    assert visit.panel.get_by_role("option").all_inner_texts() == ["New class: umbrella"]
    keyboard.press("Enter")
    assert download(visit, tmp_path)[0]["new"] == "umbrella"


def test_a_digit_takes_one_of_the_likeliest(visit: Visit, tmp_path: Path) -> None:
    name = visit.panel.locator(".likely button bdi").first.inner_text()
    visit.page.keyboard.press("1")
    assert download(visit, tmp_path)[0]["new"] == name


def test_undo_brings_the_sample_back(visit: Visit, made: Made) -> None:
    rows = doubted(made)
    visit.page.keyboard.press("k")
    visit.page.keyboard.press("d")
    visit.page.keyboard.press("z")
    assert at(visit) == rows[1]
    assert visit.panel.locator(".decisions li").count() == 1
    visit.panel.locator(".decisions li").get_by_role("button", name="Undo the decision").click()
    assert visit.panel.locator(".decisions li").count() == 0


def test_one_moves_back_and_forward(visit: Visit, made: Made) -> None:
    rows = doubted(made)
    for key, place in (("ArrowRight", 1), ("j", 2), ("ArrowLeft", 1), ("Shift+J", 0), ("ArrowLeft", 0)):
        visit.page.keyboard.press(key)
        assert at(visit) == rows[place]


def test_a_note_goes_with_the_decision_and_nowhere_else(visit: Visit, tmp_path: Path) -> None:
    keyboard = visit.page.keyboard
    keyboard.press("n")
    keyboard.type('sleeves are "odd", k d u')
    keyboard.press("Enter")
    keyboard.press("u")
    keyboard.press("k")
    assert [row["note"] for row in download(visit, tmp_path)] == ['sleeves are "odd", k d u', ""]


def test_pairs_show_the_twin(visit: Visit) -> None:
    visit.panel.get_by_role("button", name="Near duplicates").click()
    assert visit.panel.locator(".queue-stage figure").count() == 2


def test_a_sample_of_several_pairs_is_met_in_each(open_page: OpenPage) -> None:
    data = set_page(Made(60))
    [pairs] = [queue for queue in data["queues"] if queue["name"] == "duplicates"]
    pairs |= {
        "rows": packed([4, 7, 4, 4], "uint32"),
        "other": packed([5, 8, 9, 10], "uint32"),
        "score": None,
        "n": 4,
    }
    visit = open_page({**data, "queues": [pairs]}, start="#review")
    seen = []
    for key in "kjuk":
        links = visit.panel.locator(".queue-stage figcaption .link").all_inner_texts()
        seen.append([int(link[-9:-4]) for link in links])
        visit.page.keyboard.press(key)
    assert seen == [[4, 5], [7, 8], [4, 9], [4, 10]]
    assert "3 decided" in visit.panel.inner_text()  # those that hold sample 4


def test_single_keys_can_be_turned_off(visit: Visit) -> None:
    visit.panel.get_by_label("Single keys decide").uncheck()
    visit.page.keyboard.press("d")
    assert visit.panel.locator(".decisions li").count() == 0


def test_any_sample_can_be_corrected_from_its_card(made: Made, open_page: OpenPage, tmp_path: Path) -> None:
    visit = open_page(run_page(made), start="#mistakes")
    name = visit.ids[0]
    visit.panel.locator(".sample .link").first.click()
    card = visit.page.locator("#card")
    card.get_by_role("button", name="Relabel").click()
    card.get_by_role("option").filter(has_text="bag").click()
    assert visit.panel.locator(".sample").first.get_by_text("Relabel").is_visible()
    [row] = download(visit, tmp_path)
    assert (row["id"], row["new"]) == (name, "bag")


def test_the_page_warns_before_decisions_are_lost(visit: Visit, tmp_path: Path) -> None:
    asked: list[str] = []
    visit.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    visit.page.keyboard.press("k")
    visit.page.close(run_before_unload=True)
    visit.page.wait_for_timeout(500)
    assert asked == ["beforeunload"]
    download(visit, tmp_path)
    with visit.page.expect_event("close"):
        visit.page.close(run_before_unload=True)
    assert asked == ["beforeunload"]


def test_nothing_is_stored(visit: Visit) -> None:
    visit.page.keyboard.press("k")
    assert visit.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    with visit.page.expect_event("dialog") as asked:
        visit.page.evaluate("setTimeout(() => location.reload())")
    asked.value.accept()
    visit.page.get_by_role("tab", name="Review").click()
    assert visit.panel.locator(".decisions li").count() == 0


def test_hostile_samples_come_back_as_they_are(open_page: OpenPage, tmp_path: Path) -> None:
    data = hostile_page()
    visit = open_page(data, start="#review")
    visit.clear()
    visit.panel.get_by_role("button", name="Label errors").click()
    n = min(24, data["samples"]["n"])
    for _ in range(n - 1):
        visit.page.keyboard.press("k")
    visit.page.keyboard.press("1")
    known = {text.replace("\ud800", "\ufffd") for text in HOSTILE}  # half a pair is no UTF-8
    found = download(visit, tmp_path)
    assert len(found) == n
    assert {row["id"] for row in found} | {row["old"] for row in found} | {found[-1]["new"]} <= known


def test_labels_that_are_texts_are_written(open_page: OpenPage, tmp_path: Path) -> None:
    visit = open_page(texts_run_page(), start="#review")
    visit.clear()
    visit.page.keyboard.press("r")
    visit.page.keyboard.press("Control+a")
    visit.page.keyboard.type("another summary, with a comma")
    visit.page.keyboard.press("Enter")
    assert download(visit, tmp_path)[0]["new"] == "another summary, with a comma"


def test_labels_of_several_classes_are_json(open_page: OpenPage, tmp_path: Path) -> None:
    data = set_page(Made(40))
    data["label"] |= {"kind": "multi"}
    data["samples"]["labels"] = ['["bag"]'] * 40
    visit = open_page({**data, "queues": []}, start="#review")
    visit.page.keyboard.press("r")
    visit.panel.get_by_role("group", name="Labels").get_by_label("coat").check()
    visit.panel.get_by_role("button", name="Take these labels").click()
    assert download(visit, tmp_path)[0]["new"] == '["bag","coat"]'


def test_numbers_are_checked(open_page: OpenPage, tmp_path: Path) -> None:
    data = set_page(Made(40))
    data["label"] = {"column": "price", "kind": "regression", "names": []}
    data["samples"]["labels"] = ["3.5"] * 40
    visit = open_page({**data, "queues": []}, start="#review")
    visit.page.keyboard.press("r")
    visit.page.keyboard.press("Control+a")
    visit.page.keyboard.type("cheap")
    visit.page.keyboard.press("Enter")
    assert visit.panel.get_by_role("alert").inner_text() == "A number is needed, such as 3.5."
    visit.page.keyboard.press("Control+a")
    visit.page.keyboard.type("4")
    visit.page.keyboard.press("Enter")
    assert download(visit, tmp_path)[0]["new"] == "4"


def test_where_the_set_is_gone_the_page_says_why_nothing_can_be_corrected(open_page: OpenPage) -> None:
    visit = open_page({**set_page(Made(40)), "set": None}, start="#review")
    assert "the set that they are of is gone" in visit.panel.inner_text()
    visit.page.keyboard.press("k")
    assert visit.panel.locator(".decisions li").count() == 0


def test_a_set_without_labels_gets_them_and_offers_those_that_were_typed(
    open_page: OpenPage, made: Made, tmp_path: Path
) -> None:
    """As of suggestions: nobody has labelled anything, and a class is typed once."""
    data = set_page(made)
    column = category("label", [], np.full(made.n, -1), "label")
    others = [each for each in data["samples"]["columns"] if each["name"] != "label"]
    data["samples"] = {**data["samples"], "columns": [*others, column]}
    data["label"] = {"column": "label", "kind": "single", "names": []}
    queue = {
        **data["queues"][0],
        "name": "suggestions",
        "title": "To label next",
        "score": None,
        "other": None,
    }
    n = queue["rows"]["shape"][0]
    data["queues"] = [{**queue, "suggested": [""] * n}]
    visit = open_page(data)
    visit.open("Review")
    keyboard = visit.page.keyboard
    for typed in ("bee", "wasp"):
        keyboard.press("r")
        keyboard.insert_text(typed)
        keyboard.press("Enter")
    keyboard.press("r")
    assert {"bee", "wasp"} <= set(visit.panel.get_by_role("option").all_inner_texts())
    keyboard.insert_text("wa")
    keyboard.press("Enter")
    found = download(visit, tmp_path)
    assert [(row["label"], row["old"], row["new"], row["action"]) for row in found] == [
        ("label", "", name, "relabel") for name in ("bee", "wasp", "wasp")
    ]
