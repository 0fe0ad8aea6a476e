"""What corrections were worth, for labels of every kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import headstart as hs
from headstart.cache.commit import commit_set
from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache

from ..corrections.files import row
from ..made_sets import clouds, make_set

N = 200


def typed(
    cache_root: Path, kind: str, wrong: int, many: bool = True
) -> tuple[FeatureSet, list[Any], list[Any]]:
    """A set whose first labels, so many, are wrong: it, its labels, and what they should be."""
    X, y = clouds(N, 3, apart=4.0)
    true: list[Any] = {
        "regression": lambda: (y + X[:, 0] / 10).astype(float).tolist(),
        "multi": lambda: [[f"c{k}"] + (["odd"] if k % 2 else []) for k in y.tolist()],
        "single": lambda: [f"c{k}" for k in y.tolist()],
    }[kind]()
    said = [true[(n + 1) % N] if n < wrong else label for n, label in enumerate(true)]
    made = make_set(cache_root, X, {"kind": ["x"] * N}, name="plain")
    type = {"regression": pa.float64(), "multi": pa.list_(pa.string()), "single": pa.string()}[kind]
    table = made.samples.set_column(4, "label:kind", pa.array(said, type))
    info = {name: value for name, value in made.info.items() if name not in ("format", "created")}
    names = {"multi": ["c0", "c1", "c2", "odd"], "single": ["c0", "c1", "c2"]}.get(kind, [])
    info |= {"labels": {"kind": names}, "label_kinds": {"kind": kind}}
    features = commit_set(Cache(cache_root), "some", table, info, [])
    assert features is not None
    return features, said, true


def mended(features: FeatureSet, said: list[Any], true: list[Any], numbers: list[int]) -> pa.Table:
    def text(label: Any) -> str:
        return label if isinstance(label, str) else json.dumps(label)

    rows = [row(features, n, text(said[n]), text(true[n])) for n in numbers]
    return pa.table({name: [one[name] for one in rows] for name in rows[0]})


@pytest.mark.parametrize(
    ("kind", "head", "figure"),
    [("single", "ridge", "accuracy"), ("multi", "logistic", "macro_f1"), ("regression", "ridge", "mae")],
)
def test_before_and_after_are_judged_on_the_same_samples(
    cache_root: Path, kind: str, head: str, figure: str
) -> None:
    features, said, true = typed(cache_root, kind, 60)
    plain = hs.fit_head(features, head=head)
    run = hs.fit_head(features, head=head, corrections=mended(features, said, true, list(range(60))))
    told = run.report["corrections"]
    for split in ("test", "validation"):
        part = told[split]
        was, now = part["as_they_were"], part["as_corrected"]
        assert was["n"] == now["n"] == plain.report["metrics"][split]["n"]
        assert was["figures"][figure]["before"] == pytest.approx(plain.report["metrics"][split][figure])
        assert now["figures"][figure]["after"] == pytest.approx(run.report["metrics"][split][figure])
        assert not part["are_one"]
        for of in (was, now):
            for values in of["figures"].values():
                assert (values["interval"] is None) == ("no_interval" in values)
                if values["interval"]:
                    low, high = values["interval"]
                    assert low <= values["difference"] <= high
    better = told["test"]["as_corrected"]["figures"][figure]
    assert better["difference"] * (-1 if kind == "regression" else 1) > 0


def test_labels_of_train_alone_leave_one_comparison(cache_root: Path) -> None:
    features, said, true = typed(cache_root, "single", 60)
    splits = features.samples.column("split").to_pylist()
    train = [n for n in range(60) if splits[n] == "train"]
    told = hs.fit_head(features, head="ridge", corrections=mended(features, said, true, train)).report[
        "corrections"
    ]
    for split in ("test", "validation"):
        assert told[split]["are_one"]
        assert told[split]["as_they_were"] == told[split]["as_corrected"]
        assert told[split]["n_changed"] == 0


def test_dropped_samples_are_judged_as_they_were_alone(cache_root: Path) -> None:
    features, said, _ = typed(cache_root, "single", 60)
    splits = features.samples.column("split").to_pylist()
    test = [n for n in range(60) if splits[n] == "test"]
    rows = [row(features, n, said[n], action="drop") for n in test]
    table = pa.table({name: [one[name] for one in rows] for name in rows[0]})
    told = hs.fit_head(features, head="ridge", corrections=table).report["corrections"]["test"]
    n = splits.count("test")
    assert (told["n_changed"], told["n_dropped"]) == (len(test), len(test))
    assert (told["as_they_were"]["n"], told["as_corrected"]["n"]) == (n, n - len(test))


def test_a_label_for_a_sample_that_had_none_counts_as_corrected_alone(cache_root: Path) -> None:
    X, y = clouds(N, 3, apart=4.0)
    labels = [None if n % 10 == 9 else f"c{k}" for n, k in enumerate(y.tolist())]
    features = make_set(cache_root, X, {"kind": labels})
    splits = features.samples.column("split").to_pylist()
    new = [n for n in range(N) if labels[n] is None]
    rows = [row(features, n, "", f"c{y[n]}") for n in new]
    told = hs.fit_head(
        features, head="ridge", corrections=pa.table({name: [one[name] for one in rows] for name in rows[0]})
    ).report["corrections"]["test"]
    n_new = sum(splits[n] == "test" for n in new)
    assert n_new
    assert told["as_corrected"]["n"] - told["as_they_were"]["n"] == n_new == told["n_changed"]


def test_only_notes_change_no_figure(cache_root: Path) -> None:
    features, said, _ = typed(cache_root, "single", 0)
    rows = [row(features, 0, said[0], action="unsure"), row(features, 1, said[1], action="keep")]
    table = pa.table({name: [one[name] for one in rows] for name in rows[0]})
    told = hs.fit_head(features, corrections=table).report["corrections"]
    assert told["applied"] == {"relabel": 0, "drop": 0, "keep": 1, "unsure": 1}
    assert {values["difference"] for values in told["test"]["as_corrected"]["figures"].values()} == {0.0}


def test_groups_are_kept_together_in_the_intervals(cache_root: Path) -> None:
    X, y = clouds(N, 3, apart=4.0)
    labels = [f"c{(k + (n < 40)) % 3}" for n, k in enumerate(y.tolist())]
    splits = [["train", "validation", "test"][(n // 10) % 3] for n in range(N)]
    features = make_set(
        cache_root, X, {"kind": labels}, splits=splits, meta={"group": [str(n // 5) for n in range(N)]}
    )
    rows = [row(features, n, labels[n], f"c{y[n]}") for n in range(40)]
    table = pa.table({name: [one[name] for one in rows] for name in rows[0]})
    told = hs.fit_head(features, head="ridge", corrections=table).report["corrections"]["test"]
    assert told["n_changed"] == sum(splits[n] == "test" for n in range(40))
    assert np.isfinite(told["as_corrected"]["figures"]["accuracy"]["difference"])
