"""A task of a user's own, ordered classes, goes from the data to a comparison without a change anywhere else.

It has a loss, figures and a column of predictions of its own.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import headstart as hs
from headstart.arrow import codes_by_name
from headstart.metrics.counts import numbers
from headstart.metrics.resampling import percentile_intervals
from headstart.tasks.columns import PROBABILITY
from headstart.tasks.single import SingleTask
from headstart.testing.task import TaskContract
from headstart.types import Figure, Judged, LabelColumn
from tests.end_to_end.conftest import TEXTS, headstart, in_a_fresh_folder  # noqa: F401

ORDER = ("poor", "fair", "good")  # not the order of the alphabet
KIND = "py:tests.tasks.test_ordinal:Ordinal"


class Ordinal(SingleTask):
    """Grades from poor to good. Heads learn their ranks, so that the loss may count how far off they are."""

    meaning = "a grade a sample"
    noun = "grades"
    figures = (
        Figure("rank_error", "mean rank error", larger_is_better=False),
        Figure("kappa", "quadratic kappa"),
    )
    headline: ClassVar = {"rank error": "rank_error", "kappa": "kappa"}
    leading_score = "rank_error"
    problem_type = None

    def read(self, column, name, reading, place):
        read = super().read(column, name, reading, place)
        return LabelColumn(self.kind, read.values, ORDER, f"grades from {ORDER[0]} to {ORDER[-1]}")

    def targets(self, y, names):
        return y

    def losses(self, logits, targets, weights, smoothing):
        """The squared earth mover's distance (Hou, Yu and Samaras 2016)."""
        from torch.nn.functional import one_hot

        wanted = one_hot(targets.clamp(min=0), logits.shape[-1]).cumsum(-1)
        return (logits.softmax(-1).cumsum(-1) - wanted).square().sum(-1) * (targets >= 0)

    def class_names(self, classes, names):
        return [names[int(place)] for place in classes]

    def columns(self, outputs, classes, names):
        grades = self.class_names(classes, names)
        expected = outputs @ np.array([names.index(grade) for grade in grades], dtype=np.float64)
        return {**super().columns(outputs, grades, names), "expected_rank": pa.array(expected)}

    def fits(self, field):
        return super().fits(field) and (field.name != "expected_rank" or pa.types.is_float64(field.type))

    def report(self, said, resamples, seed):
        true, predicted = said.true, self._predicted(said)
        report = {"n": len(said), **numbers(_figures(true, predicted))}
        if resamples:
            report["intervals"] = percentile_intervals(
                len(said), lambda draws: _figures(true[draws], predicted[draws]), resamples, seed
            )
        return report

    def scores(self, said):
        return {"rank_error": float(np.abs(said.true - self._predicted(said)).mean())}

    def selection(self, means):
        return (-means["rank_error"],)

    def mistakes(self, said, n):
        return None

    def is_right(self, said):
        return self._predicted(said) == said.true

    def plots(self, said, metrics, split, column):
        return {}

    def judge(self, tables):
        return {run: self._judged(table) for run, table in tables.items()}

    def describe(self, column, classes):
        return f"the grade `{column}`"

    def _predicted(self, said):
        return np.array(said.classes, dtype=np.int64)[said.outputs.argmax(axis=1)]

    def _judged(self, table):
        true, predicted = (codes_by_name(table.column(name), ORDER) for name in ("label", "prediction"))
        plain = {name: float(value) for name, value in _figures(true, predicted).items()}
        return Judged(plain, lambda draws: _figures(true[draws], predicted[draws]), true == predicted)


def _figures(true, predicted):
    """Of ranks (..., N), each (...)."""
    by_chance = np.square(true[..., :, None] - predicted[..., None, :]).mean(axis=(-2, -1))
    squared = np.square(true - predicted).mean(axis=-1)
    kappa = 1 - np.divide(squared, by_chance, out=np.ones_like(squared), where=by_chance > 0)
    return {"rank_error": np.abs(true - predicted).mean(axis=-1), "kappa": kappa}


class TestOrdinal(TaskContract):
    kind = KIND
    cells = ("poor", "good", None, "fair", "good") * 4

    @pytest.fixture
    def classes(self):
        return ["0", "1", "2"]

    def outputs(self, task, y, classes):
        return np.full((len(y), 3), 0.1) + 0.7 * np.eye(3)[y]

    @pytest.mark.skip(reason="its predictions are grades, whatever the probabilities")
    def test_predictions_that_are_no_numbers_are_refused(self):
        pass


def grades(path: Path, n: int = 90) -> Path:
    """Texts whose letters say how good they are."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        writer.writerows(
            (f"{'abc' * (row % 3)}{'xyw' * (2 - row % 3)} number {row}", ORDER[row % 3]) for row in range(n)
        )
    return path


def test_it_goes_from_the_data_to_a_comparison(headstart, tmp_path):  # noqa: F811
    data = grades(tmp_path / "grades.csv")
    done = headstart("extract", data, "--backbone", TEXTS, "--set", "g", "--label-kind", KIND)
    assert done.code == 0, done.err
    assert "grades from poor to good" in done.err
    assert hs.open_set("g").label_kinds == {"label": KIND}
    assert hs.open_set("g").label_names == {"label": ORDER}
    for head, params in (("ridge", ()), ("linear", ("--param", "epochs=30"))):
        done = headstart("fit-head", "g", "--head", head, *params, "--out", head)
        assert done.code == 0, done.err
        assert "rank error" in done.out
        report = json.loads(Path(head, "report.json").read_text("utf-8"))
        assert report["task"] == KIND
        assert {"rank_error", "kappa", "intervals"} <= set(report["metrics"]["test"])
        predictions = pq.read_table(Path(head, "predictions.parquet"))
        assert {PROBABILITY + "poor", "expected_rank", "prediction"} <= set(predictions.column_names)
        assert set(predictions.column("prediction").to_pylist()) <= set(ORDER)
        assert "the grade `label`" in Path(head, "README.md").read_text("utf-8")
    assert report["metrics"]["test"]["rank_error"] < 0.5
    done = headstart("predict", "linear", data, "--out", "said.parquet")
    assert done.code == 0, done.err
    assert pq.read_table("said.parquet").column("expected_rank").null_count == 0
    done = headstart("compare", "ridge", "linear", "--out", "compared", "--json")
    assert done.code == 0, done.err
    compared = json.loads(Path("compared", "comparison.json").read_text("utf-8"))
    assert (compared["figure"], compared["task"]) == ("rank_error", KIND)
    assert all({"rank_error", "kappa"} == set(run["metrics"]) for run in compared["runs"])


def test_its_own_loss_is_what_is_minimised(headstart, tmp_path):  # noqa: F811
    data = grades(tmp_path / "grades.csv")
    for name, kind in (("own", KIND), ("plain", "single")):
        assert headstart("extract", data, "--backbone", TEXTS, "--set", name, "--label-kind", kind).code == 0
        options = ("--head", "linear", "--param", "epochs=1", "--out", f"run-{name}")
        assert headstart("fit-head", name, *options).code == 0
    first = [
        json.loads(Path(f"run-{name}", "metrics.jsonl").read_text("utf-8").splitlines()[0])
        for name in ("own", "plain")
    ]
    assert first[0]["train_loss"] != pytest.approx(first[1]["train_loss"], rel=0.05)


def test_a_kind_whose_module_is_not_here_is_named(headstart, tmp_path):  # noqa: F811
    data = grades(tmp_path / "grades.csv", 12)
    done = headstart("extract", data, "--backbone", TEXTS, "--label-kind", "py:nowhere:Task")
    assert done.code == 2
    assert "py:nowhere:Task cannot be imported" in done.err
    done = headstart("extract", data, "--backbone", TEXTS, "--label-kind", "ordinal")
    assert done.code == 2
    assert "there is no label kind 'ordinal'" in done.err
