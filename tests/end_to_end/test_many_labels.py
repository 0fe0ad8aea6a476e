"""Several labels in one run, as a user meets them: fit-head, predict, evaluate, compare, export, runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import headstart as hs
from headstart.errors import ConfigError, MismatchError

from .conftest import TEXTS, Result

Runner = Callable[..., Result]
LABELS = ["mood", "topics", "stars"]


def rows_of(n: int, said: str = "number") -> list[dict[str, Any]]:
    """Texts whose first letters say what their labels are; every fifth has no stars."""
    words = ["glad", "sad", "odd"]
    return [
        {
            "text": f"{words[row % 3] * (1 + row % 2)} {said} {row}",
            "mood": words[row % 3],
            "topics": ["short"] * (row % 2 == 0) + ["glad"] * (row % 3 == 0),
            "stars": None if row % 5 == 0 else (row % 3) * 1.5 + row % 2,
        }
        for row in range(n)
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture
def fitted(headstart: Runner, in_a_fresh_folder: Path) -> Runner:
    """A set of texts with three labels, a run of all, and one of the mood alone."""
    write(Path("texts.jsonl"), rows_of(120))
    columns = ("--label-column", ",".join(LABELS), "--text-column", "text")
    assert headstart("extract", "texts.jsonl", "--backbone", TEXTS, *columns, "--set", "t").code == 0
    for out, options in {
        "all": ["--label", "all"],
        "mood": ["--label", "mood"],
        "trunk": ["--label", "mood,stars", "--head", "mlp", "--shared-trunk", "--param", "epochs=5"],
    }.items():
        done = headstart("fit-head", "t", "--head", "ridge", *options, "--out", f"runs/{out}")
        assert done.code == 0, done.err
    return headstart


def test_each_label_has_its_lines(fitted: Runner) -> None:
    done = fitted("fit-head", "t", "--label", "all", "--head", "ridge", "--out", "again")
    titles = [line for line in done.out.splitlines() if line.startswith("[")]
    assert titles == ["[mood]", "[topics]", "[stars]"]
    assert done.out.count("test  ") == 3
    shown = fitted("fit-head", "t", "--label", "all", "--json", "--out", "json").json
    assert list(shown["metrics"]["test"]) == LABELS


def test_runs_are_listed_shown_and_chosen_by_a_label(fitted: Runner) -> None:
    listed = fitted("runs", "ls", "--metric", "test.mood.accuracy", "--json").json["runs"]
    assert {Path(run["run"]).name: run["value"] is not None for run in listed} == {
        "all": True, "mood": True, "trunk": True,
    }  # fmt: skip
    assert {tuple(run.get("labels", [])) for run in listed} == {tuple(LABELS), ("mood", "stars"), ()}
    stars = fitted("runs", "best", "--metric", "validation.stars.mae", "--json").json
    assert Path(stars["run"]).name in ("all", "trunk")
    page = fitted("runs", "show", "runs/all").out
    assert [line for line in page.splitlines() if line.startswith("[")] == [f"[{label}]" for label in LABELS]
    wrong = fitted("runs", "best", "--metric", "validation.mod.accuracy")
    assert wrong.code == 1
    assert "validation.mood.accuracy" in wrong.err


def test_prediction_is_one_pass_with_a_row_for_every_input(fitted: Runner) -> None:
    rows = rows_of(12, "new")
    rows[3]["text"] = ""
    write(Path("new.jsonl"), rows)
    done = fitted("predict", "runs/all", "new.jsonl", "--label-column", "mood,stars", "--out", "p.parquet")
    assert done.code == 0, done.err
    assert "12: 11 predicted, 1 skipped" in done.err
    table = pq.read_table("p.parquet")
    assert table.column_names[:4] == ["id", "label:mood", "label:stars", "prediction:mood"]
    assert {"p:mood:glad", "prediction:topics", "p:topics:short", "prediction:stars", "error"} <= set(
        table.column_names
    )
    bad = [row for row in table.to_pylist() if row["error"]]
    assert [row["prediction:stars"] for row in bad] == [None]
    alone = hs.predict("runs/mood", "new.jsonl")
    assert table.column("prediction:mood").to_pylist() == alone.labels


def test_predictions_in_python_are_by_label(fitted: Runner) -> None:
    run = hs.load_run("runs/all")
    found = run.predict(["glad thing", "sadsad thing"])
    assert found.label_names == LABELS
    assert [sorted(each) for each in found.labels] == [sorted(LABELS)] * 2
    part = found.of("mood")
    assert part.labels == [each["mood"] for each in found.labels]
    np.testing.assert_allclose(part.probabilities.sum(axis=1), 1, atol=1e-5)
    assert found.of("stars").probabilities.shape == (2, 0)
    assert "prediction:mood" in repr(found)
    assert found[:1].of("mood").labels == part.labels[:1]
    with pytest.raises(ConfigError, match=r"say whose classes: \.of\('mood'\)"):
        found.probabilities  # noqa: B018
    with pytest.raises(ConfigError, match="does not predict 'mod'"):
        found.of("mod")


def test_an_evaluation_judges_each_label_that_the_data_has(fitted: Runner) -> None:
    """Stars that are all whole numbers are numbers still, as those of the run are."""
    rows = rows_of(45, "fresh")
    for row in rows:
        row["stars"] = None if row["stars"] is None else round(row["stars"])
        del row["topics"]
    write(Path("fresh.jsonl"), rows)
    done = fitted("evaluate", "runs/all", "fresh.jsonl", "--label-column", "mood,stars", "--json")
    assert done.code == 0, done.err
    assert "the data has no label 'topics', and it is not judged" in done.err
    found = json.loads(Path("runs/all/evaluations/fresh/evaluation.json").read_text())
    assert list(found["metrics"]) == ["mood", "stars"]
    assert found["metrics"]["mood"]["n"] == 45
    assert found["metrics"]["stars"]["n"] == 36
    assert found["data"]["n"] == 45
    table = pq.read_table("runs/all/evaluations/fresh/predictions.parquet")
    assert table.num_rows == 45
    assert table.column("label:stars").null_count == 9
    lines = fitted("evaluate", "runs/all", "fresh.jsonl", "--overwrite", "--label-column", "mood,stars").out
    assert lines.startswith("mood  ")
    evaluation = hs.load_run("runs/mood").evaluate(Path("fresh.jsonl"), label_column="mood")
    assert evaluation.metrics["accuracy"] == found["metrics"]["mood"]["accuracy"]
    both = fitted("compare", "runs/all", "runs/mood", "--on", "fresh", "--json").json
    assert both["n"] == 45
    lacking = fitted("compare", "runs/all", "runs/mood", "--on", "fresh", "--label", "topics")
    assert (lacking.code, "does not predict 'topics'" in lacking.err) == (4, True)


def test_data_without_any_of_the_labels_is_refused(fitted: Runner) -> None:
    write(Path("other.jsonl"), [{"text": f"text {row}", "size": ["a", "b"][row % 2]} for row in range(9)])
    done = fitted("evaluate", "runs/all", "other.jsonl", "--label-column", "size")
    assert done.code == 1
    assert "has none of the labels that the run predicts, 'mood', 'topics', 'stars'" in done.err


def test_runs_are_compared_label_by_label(fitted: Runner) -> None:
    found = hs.compare(["runs/all", "runs/trunk"])
    assert list(found) == ["mood", "stars"]
    assert [run.name for run in found["stars"].runs] == ["all", "trunk"]
    assert found["stars"].figure == "mae"
    assert {row["label"] for row in found.table} == {"mood", "stars"}
    assert all(sentence.split(":")[0] in found for sentence in found.advice)
    shown = fitted("compare", "runs/all", "runs/trunk", "--out", "both")
    assert "[mood]" in shown.out
    kept = json.loads(Path("both/comparison.json").read_text())["labels"]
    for label, part in found.items():
        assert [run["metrics"] for run in kept[label]["runs"]] == [dict(run.figures) for run in part.runs]
    assert Path("both/stars/README.md").is_file()
    assert len(Path("both/comparison.csv").read_text().splitlines()) == 5
    again = fitted("compare", "runs/all", "runs/trunk", "--out", "both")
    assert "is not empty" in again.err
    assert fitted("compare", "runs/all", "runs/trunk", "--out", "both", "--overwrite").code == 0


def test_a_run_of_one_label_is_compared_with_that_label_of_another(fitted: Runner) -> None:
    """The same head on the same samples: not one sample is right in one of them alone."""
    found = hs.compare(["runs/mood", "runs/all"])
    assert found.label == "mood"
    mine, theirs = found.runs
    assert mine.figures == theirs.figures
    versus = mine.against_best or theirs.against_best
    assert versus is not None
    assert (versus.only_this, versus.only_other) == (0, 0)
    by_name = hs.compare(["runs/all", "runs/trunk"], label="mood")
    assert by_name.label == "mood"
    with pytest.raises(MismatchError, match="run trunk does not predict 'topics'"):
        hs.compare(["runs/all", "runs/trunk"], label="topics")
    hs.fit_head("t", "ridge", label="topics", out="runs/topics")
    with pytest.raises(MismatchError, match="no label in common: topics 'topics'; trunk 'mood', 'stars'"):
        hs.compare(["runs/topics", "runs/trunk"])
    memory = hs.fit_head("t", "ridge", label="all")
    assert hs.compare([memory, hs.load_run("runs/mood")]).label == "mood"


def test_what_takes_one_label_asks_for_it(fitted: Runner) -> None:
    asked = fitted("export", "runs/all", "--out", "model")
    assert (asked.code, "say which one: --label" in asked.err) == (2, True)
    unknown = fitted("export", "runs/all", "--out", "model", "--label", "mod")
    assert (unknown.code, "does not predict 'mod'; did you mean 'mood'?" in unknown.err) == (2, True)
    with pytest.raises(ConfigError, match="say which one"):
        hs.load_module("runs/all")
    module = hs.load_module("runs/trunk", label="mood")
    logits = module(module.inputs(["glad thing", "sad thing"]))
    expected = hs.predict("runs/trunk", ["glad thing", "sad thing"]).of("mood").labels
    classes = hs.load_run("runs/trunk").of("mood").predictor.classes
    assert [classes[place] for place in logits.argmax(dim=-1).tolist()] == expected


def test_the_default_place_says_which_labels(fitted: Runner) -> None:
    for label in ("mood", "all", "mood,stars"):
        assert fitted("fit-head", "t", "--head", "ridge", "--label", label, "--plots", "none").code == 0
    names = {path.name for path in Path("runs").iterdir()}
    assert {"t-ridge", "t-ridge-mood-topics-stars", "t-ridge-mood-stars"} <= names


def test_mistakes_in_weights_are_met_before_any_work(fitted: Runner) -> None:
    trunk = ("fit-head", "t", "--head", "mlp", "--label", "mood,stars", "--shared-trunk", "--loss-weights")
    for given, says in {
        "mood": "takes NAME=WEIGHT",
        "mood=heavy": "takes NAME=WEIGHT",
        "mod=1": "--loss-weights names 'mod'",
        "mood=0": "takes positive numbers",
    }.items():
        done = fitted(*trunk, given)
        assert (done.code, says in done.err) == (2, True), done.err
    assert fitted(*trunk, "mood=2,stars=0.5", "--param", "epochs=2", "--out", "w").code == 0
