"""Several labels a sample, and numbers to regress on, from the file to the arrays."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

import headstart as hs

from .conftest import TEXTS, Result

Runner = Callable[..., Result]
TAGS = [["a"], ["a", "b"], [], ["b"], None, ["c", "a"]]


def write_jsonl(path: Path, values: list, name: str) -> Path:
    rows = [{"text": f"text number {row}", name: value} for row, value in enumerate(values)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def all_labels(name: str) -> np.ndarray:
    features = hs.open_set(name)
    parts = [features.rows(split) for split in ("train", "validation", "test")]
    ids = [id for part in parts for id in part.table.column("id").to_pylist()]
    values = np.concatenate([part.y for part in parts if len(part)])
    return values[np.argsort([int(id.rpartition(":")[2]) for id in ids])]


def test_lists_are_several_labels_a_sample(headstart: Runner, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "tags.jsonl", TAGS * 5, "labels")
    assert headstart("extract", data, "--backbone", TEXTS, "--set", "m").code == 0
    features = hs.open_set("m")
    assert features.label_kinds == {"labels": "multi"}
    assert features.label_names == {"labels": ("a", "b", "c")}
    expected = [[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0], [-1, -1, -1], [1, 0, 1]]
    assert all_labels("m").tolist() == expected * 5


def test_every_label_gets_into_every_split(headstart: Runner, tmp_path: Path) -> None:
    values = [["common", *(["rare"] if row % 10 == 0 else [])] for row in range(100)]
    headstart(
        "extract", write_jsonl(tmp_path / "t.jsonl", values, "labels"), "--backbone", TEXTS, "--set", "m"
    )
    features = hs.open_set("m")
    rare = features.label_names["labels"].index("rare")
    assert {split: int(features.arrays(split)[1][:, rare].sum()) for split in ("train", "validation", "test")} == {
        "train": 7, "validation": 1, "test": 2
    }  # fmt: skip


def test_one_column_a_label(headstart: Runner, tmp_path: Path) -> None:
    rows = "".join(f"text number {row},{row % 2},{int(row % 3 == 0)}\n" for row in range(30))
    (tmp_path / "t.csv").write_text(f"text,red,round\n{rows}", "utf-8")
    options = ("--label-column", "red,round", "--label-kind", "multi", "--set", "m")
    assert headstart("extract", tmp_path / "t.csv", "--backbone", TEXTS, *options).code == 0
    assert hs.open_set("m").label_names == {"labels": ("red", "round")}
    assert all_labels("m").tolist() == [[row % 2, int(row % 3 == 0)] for row in range(30)]


def test_numbers_to_regress_on(headstart: Runner, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "t.jsonl", [0.5, 1, None, -2.25] * 6, "target")
    assert headstart("extract", data, "--backbone", TEXTS, "--set", "r").code == 0
    features = hs.open_set("r")
    assert features.label_kinds == {"target": "regression"}
    np.testing.assert_array_equal(all_labels("r"), [0.5, 1, np.nan, -2.25] * 6)


def test_a_head_for_one_class_refuses_them(headstart: Runner, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "tags.jsonl", TAGS * 5, "labels")
    headstart("extract", data, "--backbone", TEXTS, "--set", "m")
    done = headstart("fit-head", "m", "--head", "centroid")
    assert done.code == 2
    assert "the head 'centroid' is not for several labels a sample; those that are: logistic" in done.err
    done = headstart("fit-head", "m", "--head", "logistic", "--json")
    assert done.code == 0, done.err


def test_several_labels_stand_beside_predictions_in_every_format(headstart: Runner, tmp_path: Path) -> None:
    one = write_jsonl(tmp_path / "one.jsonl", ["x", "y"] * 10, "label")
    headstart("extract", one, "--backbone", TEXTS, "--set", "s")
    headstart("fit-head", "s", "--head", "ridge", "--out", "run")
    data = write_jsonl(tmp_path / "many.jsonl", [["a", "b"], []], "label")
    shown = headstart("predict", "run", data, "--label-column", "label")
    assert shown.code == 0, shown.err
    assert [row["label"] for row in csv.DictReader(shown.out.splitlines())] == ['["a", "b"]', "[]"]
    for name in ("p.jsonl", "p.parquet"):
        assert headstart("predict", "run", data, "--label-column", "label", "--out", name).code == 0
