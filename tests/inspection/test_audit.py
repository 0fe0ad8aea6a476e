"""An audit finds what was planted in a set, says it by id, and changes nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headstart.cache.sets import FeatureSet
from headstart.errors import ConfigError, DataError
from headstart.heads import approximate
from headstart.inspection.audit import _shared_groups, audit
from headstart.inspection.audit_result import (
    CHECKS,
    Audit,
    AuditConfig,
    audit_report,
    audit_tables,
    shown_rows,
)
from headstart.progress import Silence

from ..made_sets import clouds, make_set, thirds

N = 300
WITHOUT_LABELS = ("duplicates", "leaks", "outliers")


def run(features: FeatureSet, **options: Any) -> Audit:
    return audit(AuditConfig(set=features.name, cache=str(features.cache), **options), Silence())


def planted(cache_root: Path) -> FeatureSet:
    """Sample 8, of test, is a copy of train's 0 under another label; 18 nearly train's 10; 33 is nothing's like."""
    X, y = clouds(N, apart=14)
    contents = [f"text {i}" for i in range(N)]
    X[8], contents[8] = X[0], contents[0]
    X[18] = X[10] + 0.01
    X[33] = X[:30].mean(axis=0) * -1.5 + np.random.default_rng(1).normal(size=16) * 2
    y[18] = y[10]
    labels = [f"class {c}" for c in y]
    labels[61] = "class 0" if y[61] else "class 1"
    return make_set(cache_root, X, {"kind": labels}, contents=contents)


def test_what_was_planted_is_found(cache_root: Path) -> None:
    features = planted(cache_root)
    tables = {name: table.to_pylist() for name, table in audit_tables(run(features)).items()}
    errors = {row["id"]: row for row in tables["label_errors"]}
    assert errors["s61"]["suggested"] != errors["s61"]["label"]
    assert errors["s61"]["split"] == "train"
    assert len(errors) < 10
    pairs = {(row["id"], row["other_id"]): row for row in tables["duplicates"]}
    assert set(pairs) == {("s0", "s8"), ("s10", "s18")}
    assert [pairs[ends]["exact"] for ends in sorted(pairs)] == [True, False]
    assert len({row["group"] for row in pairs.values()}) == 2
    leaks = {row["id"]: row for row in tables["leaks"]}
    assert {row: leaks[row]["other_id"] for row in leaks} == {"s8": "s0", "s18": "s10"}
    assert all((row["split"], row["other_split"]) == ("test", "train") for row in leaks.values())
    assert tables["outliers"][0]["id"] == "s33"


def test_the_figures_count_what_the_tables_hold(cache_root: Path) -> None:
    found = run(planted(cache_root))
    report, tables = audit_report(found), audit_tables(found)
    assert report["labels"]["n"] == tables["label_errors"].num_rows
    assert report["duplicates"] == {
        "threshold": 0.99, "n_pairs": 2, "n_exact": 1, "n_samples": 4, "n_groups": 2, "n_across_splits": 2,
        "n_other_label": 1,
    }  # fmt: skip
    assert (report["leaks"]["n_test"], report["leaks"]["n_validation"]) == (2, 0)
    assert report["outliers"]["n"] == tables["outliers"].num_rows
    assert report["outliers"]["n_train"] >= 1
    assert shown_rows(tables["duplicates"], 1)[0][0] == "s0"


def test_leaks_are_worth_what_the_metric_loses_without_them(cache_root: Path) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, 40)), rng.integers(2, size=N)  # nothing but copies can be known
    splits = np.array(thirds(N))
    test, train = np.flatnonzero(splits == "test"), np.flatnonzero(splits == "train")
    copied = test[:30]
    X[copied], y[copied] = X[train[:30]], y[train[:30]]
    features = make_set(cache_root, X, {"kind": [f"class {c}" for c in y]})
    found = run(features, checks=("leaks",))
    assert found.leaks is not None
    assert len(found.leaks.pairs["test"]) == 30
    knn = found.leaks.figures["knn"]
    left = knn["without"]
    assert knn["with"] == pytest.approx((30 + left * 30) / 60)
    assert 0.2 < left < 0.8
    assert found.labels is None
    assert set(audit_report(found)["leaks"]) == {
        "threshold",
        "n_test",
        "n_validation",
        "metric",
        "ridge",
        "knn",
    }


def test_a_set_without_labels_is_audited_all_the_same(cache_root: Path) -> None:
    X, _ = clouds(60)
    X[9] = X[0]
    found = run(make_set(cache_root, X, {}))
    assert found.labels is None
    tables = audit_tables(found)
    assert tables["leaks"].to_pylist()[0]["id"] == "s9"
    assert "label" not in tables["leaks"].column_names
    assert audit_report(found)["leaks"]["metric"] == ""


def test_samples_without_a_label_are_in_no_table_of_labels(cache_root: Path) -> None:
    X, y = clouds(N, apart=8)
    labels: list[str | None] = [f"class {c}" for c in y]
    labels[4] = None
    labels[31] = "class 0" if y[31] else "class 1"
    found = audit_tables(run(make_set(cache_root, X, {"kind": labels})))["label_errors"].to_pylist()
    assert {"s31"} <= {row["id"] for row in found}
    assert "s4" not in {row["id"] for row in found}


def test_several_labels_and_numbers(cache_root: Path) -> None:
    rng = np.random.default_rng(0)
    Y = rng.random((N, 2)) < 0.5
    X = np.hstack([Y * 9.0, np.zeros((N, 4))]) + rng.normal(size=(N, 6))
    Y[11, 0] ^= True
    tags = [[name for name, has in zip("ab", row, strict=True) if has] for row in Y]
    price = (X @ np.arange(6)).tolist()
    price[12] += 500
    features = make_set(
        cache_root, X, {"tags": tags, "price": price}, kinds={"tags": "multi", "price": "regression"}
    )
    tables = audit_tables(run(features))
    first = tables["label_errors"].to_pylist()[0]
    assert first["id"] == "s11"
    assert ("a" in first["suggested"]) != ("a" in first["label"])
    found = run(features, label="price")
    assert [row["id"] for row in audit_tables(found)["label_errors"].to_pylist()] == ["s12"]
    assert audit_report(found)["leaks"]["metric"] == "r2"


def test_wrong_options_are_refused(cache_root: Path) -> None:
    for wrong in ({"checks": ("labels", "spelling")}, {"checks": ()}, {"threshold": 1.2}, {"outlier_z": 0.0}):
        with pytest.raises(ConfigError):
            AuditConfig(set="made", **wrong)
    X, _ = clouds(1)
    with pytest.raises(DataError, match="1 sample"):
        run(make_set(cache_root, X, {"kind": ["a"]}), checks=WITHOUT_LABELS)
    assert set(WITHOUT_LABELS) < set(CHECKS)


def test_a_group_that_the_data_has_on_both_sides_is_a_leak() -> None:
    columns = {
        "split": ["train", "train", "test", "test", "validation", "validation"],
        "meta:group": ["a", "b", "a", "c", "b", None],
    }
    samples = SimpleNamespace(table=pa.table(columns))
    found = _shared_groups(samples)  # type: ignore[arg-type]
    assert {split: rows.tolist() for split, rows in found.items()} == {"test": [2], "validation": [4]}


def test_a_figure_of_one_test_sample_is_a_dash(cache_root: Path) -> None:
    """R² of one number is none."""
    from headstart.cli.inspection import _page

    X, _ = clouds(8)
    splits = ["train"] * 6 + ["validation", "test"]
    kinds = {"age": "regression"}
    made = make_set(cache_root, X, {"age": [i + 0.5 for i in range(8)]}, splits=splits, kinds=kinds)
    found = run(made)
    report = audit_report(found)
    assert report["leaks"]["ridge"] == {"with": None, "without": None}
    assert any("ridge r2 - with, - without" in line for line in _page(report, audit_tables(found), 0))


def test_approximate_neighbours_find_what_exact_ones_do_and_say_how_much(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    features = planted(cache_root)
    exact = run(features, checks=list(WITHOUT_LABELS))
    few = run(features, checks=list(WITHOUT_LABELS), neighbours="approximate")
    assert few.recall is None  # of 300 samples all pairs are compared
    monkeypatch.setattr(approximate, "EXACT_UP_TO", 100)
    monkeypatch.setattr(approximate, "EXACT_PARTS", 20)
    found = run(features, checks=list(WITHOUT_LABELS), neighbours="approximate")
    assert found.recall is not None
    assert found.recall.share > 0.95
    report = audit_report(found)
    assert report["search"]["recall"] == found.recall.share
    assert "search" not in audit_report(exact)
    for name in ("duplicates", "leaks"):
        assert audit_tables(found)[name].equals(audit_tables(exact)[name])
    leaks_alone = run(features, checks=["leaks"], neighbours="approximate")
    assert leaks_alone.recall is not None
    assert leaks_alone.recall.k == 1
