"""The page of a run: what it says of its samples, and what it is made of where things are gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.cache.store import Cache
from headstart.errors import ConfigError, DataError, StorageError
from headstart.types import SPLITS

from ..made_sets import clouds, make_set
from .conftest import TEXTS, data_of, some_rows, write_rows
from .contract import column_of, decoded, none_of, queue_of


def ids_of(page: dict[str, Any], rows: Any) -> list[str]:
    return [page["samples"]["ids"][row] for row in rows]


def test_every_prediction_is_on_the_page_as_the_run_has_it(text_run: hs.Run) -> None:
    page = data_of(text_run)
    [run] = page["runs"]
    rows, predicted = decoded(run["rows"]).tolist(), {}
    for split in SPLITS:
        predicted |= {row["id"]: row for row in text_run.predictions_of(split).to_pylist()}
    assert len(rows) == len(predicted) == 240
    labels, said, probabilities = (decoded(run[name]) for name in ("label", "prediction", "probabilities"))
    for place, name in enumerate(ids_of(page, rows)):
        row = predicted[name]
        assert run["classes"][labels[place]] == row["label"]
        assert run["classes"][said[place]] == row["prediction"]
        for code, each in enumerate(run["classes"]):
            assert abs(probabilities[place, code] / 255 - row[f"p:{each}"]) <= 0.5 / 255 + 1e-6
    by_id = dict(zip(page["samples"]["ids"], column_of(page, "right"), strict=True))
    assert {name: value == "right" for name, value in by_id.items()} == {
        name: row["label"] == row["prediction"] for name, row in predicted.items()
    }


def test_figures_are_those_of_the_report(text_run: hs.Run) -> None:
    [run] = data_of(text_run)["runs"]
    accuracy = next(f for f in run["figures"] if (f["split"], f["name"]) == ("test", "accuracy"))
    metrics = text_run.report["metrics"]["test"]
    assert accuracy["value"] == metrics["accuracy"]
    assert accuracy["interval"] == metrics["intervals"]["accuracy"]
    assert {figure["split"] for figure in run["figures"]} == set(SPLITS)
    assert run["figures"][0]["split"] == "test"
    assert all(f["interval"] is None for f in run["figures"] if f["split"] == "train")


def test_curves_are_those_of_the_report(cache_root: Path) -> None:
    X, y = clouds(90, 3)
    features = make_set(cache_root, X, {"kind": [f"c{code}" for code in y]})
    run = hs.fit_head(
        features, sweep={"head": ["ridge", "centroid"]}, shots=[1, 2], curve=["50%"], seeds=2, plots="none"
    )
    shots, learning = data_of(run)["runs"][0]["curves"]
    assert (shots["title"], shots["noun"], learning["title"]) == (
        "Few shots",
        "of each class",
        "Learning curve",
    )
    assert [(row["name"], row["size"], row["draws"]) for row in shots["rows"]] == [
        (name, size, 2) for name in ("ridge", "centroid") for size in (1, 2)
    ]
    assert learning["rows"][0]["share"] == "50%"
    reported = run.report["curves"][0]["shots"][0]
    value = shots["rows"][0]["values"][shots["figures"].index("accuracy")]
    assert value["mean"] == reported["mean"]["accuracy"]
    assert value["interval"] == reported["interval"]["accuracy"]
    assert run.report["ahead"]["shots"][0] in shots["notes"]


def test_the_most_confident_mistakes_come_first_with_what_the_run_says(text_run: hs.Run) -> None:
    page = data_of(text_run)
    queue = queue_of(page, "mistakes")
    reported = [one["id"] for one in text_run.report["errors"]["mistakes"]]
    rows, scores = decoded(queue["rows"]).tolist(), decoded(queue["score"])
    splits = column_of(page, "split")
    in_test = [row for row in rows if splits[row] == text_run.report["errors"]["split"]]
    assert ids_of(page, in_test) == reported
    assert (np.diff(scores) <= 0).all()
    said = column_of(page, "prediction")
    assert queue["suggested"] == [said[row] for row in rows]
    assert queue["n"] == column_of(page, "right").count("wrong")


def test_slices_are_of_each_column_and_the_worst_comes_first(tmp_path: Path) -> None:
    rows = some_rows(600)
    for place, row in enumerate(rows):
        if row["camera"] == "blue" and place % 8 == 3:  # every second blue one
            row["label"] = "class 0" if row["label"] == "class 1" else "class 1"
    write_rows(tmp_path / "t.jsonl", rows)
    features = hs.extract(tmp_path / "t.jsonl", TEXTS, set="t", label_column="label", text_column="text")
    page = data_of(hs.fit_head(features, "ridge", plots="none"))
    slices = page["runs"][0]["slices"]
    of_test = [one for one in slices if one["column"] != "split"]
    assert (of_test[0]["column"], of_test[0]["value"]) == ("meta:camera", "blue")
    values = [one["figure_value"] for one in slices]
    assert values == sorted(values)
    assert {"label", "meta:camera", "meta:price", "split"} == {one["column"] for one in slices}
    blue = of_test[0]
    splits, cameras, right = (column_of(page, name) for name in ("split", "meta:camera", "right"))
    in_test = [row for row, split in enumerate(splits) if split == "test"]
    inside = [right[row] == "right" for row in in_test if cameras[row] == "blue"]
    outside = [right[row] == "right" for row in in_test if cameras[row] != "blue"]
    assert (blue["n"], blue["figure_value"]) == (len(inside), pytest.approx(np.mean(inside)))
    assert blue["rest"] == pytest.approx(np.mean(outside))
    assert blue["interval"][0] <= blue["figure_value"] <= blue["interval"][1]
    bins = [one for one in slices if one["column"] == "meta:price"]
    assert len(bins) == 10
    prices = [
        value for value, split in zip(column_of(page, "meta:price"), splits, strict=True) if split == "test"
    ]
    for one in bins:  # what a click on it filters by are the samples that it is of
        low, high = map(float, one["value"].split(" to "))
        assert sum(np.float32(low) <= np.float32(price) <= np.float32(high) for price in prices) == one["n"]


def test_nearest_training_samples_are_of_train_and_near(text_run: hs.Run, text_set: hs.FeatureSet) -> None:
    page = data_of(text_run)
    near = page["neighbours"]
    splits = np.array(column_of(page, "split"))
    found = decoded(near["near"])
    assert (splits[found[found != none_of(near["near"])]] == "train").all()
    X, _ = text_set.arrays()
    train = np.flatnonzero(splits == "train")
    centred = X - X[train].mean(axis=0)
    units = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    for row, cosine in zip(decoded(near["rows"]).tolist(), decoded(near["cosine"])[:, 0], strict=True):
        others = train[train != row]
        assert cosine == pytest.approx((units[others] @ units[row]).max(), abs=1e-5)


def test_a_set_that_is_gone_leaves_what_the_run_kept(text_run: hs.Run, text_set: hs.FeatureSet) -> None:
    whole = data_of("runs/ridge")
    shutil.rmtree(text_set.path.parent)
    page = data_of("runs/ridge")
    assert page["set"] is None
    assert (page["points"], page["neighbours"], page["samples"]["texts"]) == (None, None, None)
    assert any("gone" in note for note in page["notes"])
    assert page["samples"]["n"] == 240
    assert page["runs"][0]["figures"] == whole["runs"][0]["figures"]
    mistakes = [ids_of(each, decoded(queue_of(each, "mistakes")["rows"])) for each in (whole, page)]
    assert sorted(mistakes[0]) == sorted(mistakes[1])


def test_a_run_is_looked_at_in_the_state_that_it_was_fitted_on(text_run: hs.Run, table: Path) -> None:
    rows = some_rows(240)
    rows[0]["label"] = "class 9"
    write_rows(table, rows)
    later = hs.extract(table, TEXTS, set="texts", text_column="text", label_column="label")
    assert later.digest != text_run.features["digest"]
    page = data_of(text_run)
    assert page["set"]["digest"] == text_run.features["digest"]
    assert "class 9" not in page["label"]["names"]
    shutil.rmtree(later.path.parent / text_run.features["digest"])
    gone = data_of(text_run)
    assert gone["set"] is None
    assert any(text_run.features["digest"] in note for note in gone["notes"])


def test_data_that_is_gone_or_changed_leaves_a_page_without_it(text_run: hs.Run, table: Path) -> None:
    rows = some_rows(240)
    assert data_of(text_run)["samples"]["texts"][7] == rows[7]["text"]
    rows[7]["text"] = "another text"
    write_rows(table, rows)
    page = data_of(text_run)
    assert page["samples"]["texts"][7] == ""
    assert page["samples"]["texts"][8] == rows[8]["text"]
    assert any(note.startswith("1 of 240 samples are not in the data any more") for note in page["notes"])
    moved = table.rename(table.with_name("moved.jsonl"))
    page = data_of(text_run)
    assert page["samples"]["texts"] is None
    assert any("--data says where it is now" in note for note in page["notes"])
    assert data_of(text_run, data=str(moved))["samples"]["texts"][8] == rows[8]["text"]
    table.write_bytes(b"\x00\xff{{{")
    assert data_of(text_run)["samples"]["texts"] is None


def test_texts_are_cut_at_what_is_asked_for(text_run: hs.Run) -> None:
    page = data_of(text_run, text_length=10)
    assert all(len(text) <= 10 for text in page["samples"]["texts"])
    assert page["samples"]["texts"][0] == "xyw numbe…"
    assert any("cut at 10 letters" in note for note in page["notes"])


def test_few_samples_are_those_to_look_at_and_figures_are_of_all(text_run: hs.Run) -> None:
    whole, page = data_of(text_run), data_of(text_run, samples=40)
    assert page["samples"]["n"] == 40
    assert any(note.startswith("40 of 240 samples are on this page") for note in page["notes"])
    assert queue_of(page, "mistakes")["n"] == len(decoded(queue_of(page, "mistakes")["rows"])) == 12
    assert page["runs"][0]["slices"] == whole["runs"][0]["slices"]
    assert set(page["samples"]["ids"]) < set(whole["samples"]["ids"])
    assert set(column_of(page, "split")) == set(SPLITS)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_handful_of_samples_is_a_page(text_run: hs.Run, text_set: hs.FeatureSet, n: int) -> None:
    for subject in (text_run, text_set):
        page = data_of(subject, samples=n)
        assert page["samples"]["n"] == n


def test_a_run_in_memory_has_a_page(text_set: hs.FeatureSet) -> None:
    page = data_of(hs.fit_head(text_set, "centroid", plots="none"))
    assert page["title"] == "texts-centroid"
    assert page["set"]["name"] == "texts"


def test_without_a_test_split_slices_are_of_validation(cache_root: Path) -> None:
    X, y = clouds(120, apart=2)
    splits = ["train"] * 80 + ["validation"] * 40
    made = make_set(cache_root, X, {"kind": [f"c{c}" for c in y]}, splits=splits)
    page = data_of(hs.fit_head(made, "ridge", plots="none"))
    slices = page["runs"][0]["slices"]
    assert {one["split"] for one in slices if one["column"] != "split"} == {"validation"}
    assert {one["value"] for one in slices if one["column"] == "split"} == {"train", "validation"}


def test_samples_without_a_label_are_there_without_a_prediction(cache_root: Path) -> None:
    X, y = clouds(90)
    kinds = [None if row % 9 == 0 else f"c{c}" for row, c in enumerate(y)]
    made = make_set(cache_root, X, {"kind": kinds})
    page = data_of(hs.fit_head(made, "ridge", plots="none"))
    assert page["samples"]["n"] == 90
    assert column_of(page, "label") == kinds
    assert [value is None for value in column_of(page, "prediction")] == [kind is None for kind in kinds]
    assert len(decoded(page["runs"][0]["rows"])) == 80


def test_a_class_that_train_lacks_is_a_label_without_probability(cache_root: Path) -> None:
    X, y = clouds(100)
    names = [f"c{c}" for c in y]
    names[8] = names[9] = "rare"  # of test
    made = make_set(cache_root, X, {"kind": names})
    page = data_of(hs.fit_head(made, "ridge", plots="none"))
    [run] = page["runs"]
    assert run["classes"] == ["c0", "c1", "c2", "rare"]
    assert not decoded(run["probabilities"])[:, 3].any()
    assert column_of(page, "right")[8] == "wrong"


def test_samples_of_one_content_keep_their_own_labels(cache_root: Path) -> None:
    X, y = clouds(60)
    contents = [f"text {row // 2}" for row in range(60)]
    X = X[np.arange(60) // 2 * 2]
    splits = ["train"] * 40 + ["test"] * 20
    made = make_set(cache_root, X, {"kind": [f"c{c}" for c in y]}, splits, contents)
    page = data_of(hs.fit_head(made, "ridge", plots="none"))
    [run] = page["runs"]
    labels = [run["classes"][code] for code in decoded(run["label"])]
    given = column_of(page, "label")
    assert [given[row] for row in decoded(run["rows"])] == labels


def test_probabilities_of_too_many_classes_are_left_out(
    text_run: hs.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.reporting.content.MOST_PROBABILITIES", 479)
    page = data_of(text_run)
    assert page["runs"][0]["probabilities"] is None
    assert decoded(page["runs"][0]["confidence"]).shape == (240,)
    assert any("480 probabilities" in note for note in page["notes"])


def test_an_audit_of_the_set_comes_where_it_is_asked_for(text_run: hs.Run) -> None:
    names = {queue["name"] for queue in data_of(text_run, audit=True)["queues"]}
    assert {"mistakes", "duplicates", "outliers"} <= names
    assert [queue["name"] for queue in data_of(text_run)["queues"]] == ["mistakes"]


def test_broken_runs_are_refused_by_what_is_wrong(text_run: hs.Run) -> None:
    (Path("runs/ridge") / "predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(StorageError, match="truncated or damaged"):
        data_of("runs/ridge")
    labels = json.loads(Path("runs/ridge/labels.json").read_text("utf-8"))
    Path("runs/ridge/labels.json").write_text(json.dumps({k: v for k, v in labels.items() if k != "names"}))
    with pytest.raises(StorageError, match="lacks 'names'"):
        data_of("runs/ridge")


def test_subjects_that_are_both_or_neither_are_named(text_run: hs.Run) -> None:
    with pytest.raises(DataError, match="neither a run directory nor a set 'textes'; did you mean 'texts'"):
        data_of("textes")
    with pytest.raises(DataError, match="did you mean runs/ridge"):
        data_of("runs/rigde")
    with pytest.raises(DataError, match="no run directory"):
        data_of("runs")
    with pytest.raises(ConfigError, match="a run, a set, or two runs"):
        data_of(3)
    shutil.copytree("runs/ridge", "texts")
    with pytest.raises(ConfigError, match=r"write \./texts for the run"):
        data_of("texts")
    assert data_of("./texts")["kind"] == "run"
    shutil.rmtree("texts")
    text_run.evaluate("texts", name="again", plots="none", split="test")
    with pytest.raises(DataError, match="is an evaluation"):
        data_of("runs/ridge/evaluations/again")
    with pytest.raises(ConfigError, match="does not predict 'labl'; did you mean 'label'"):
        data_of(text_run, label="labl")


def test_a_cache_elsewhere_is_found_where_the_run_says(
    text_run: hs.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(Path("empty").absolute()))
    assert Cache().set_names() == []
    assert data_of("runs/ridge")["set"]["name"] == "texts"
    assert data_of("runs/ridge", cache="empty")["set"] is None
