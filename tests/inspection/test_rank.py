"""Features are ranked by what they know of the labels, from train rows alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.preprocessing import StandardScaler

from headstart.cache.sets import FeatureSet
from headstart.errors import ConfigError, DataError
from headstart.heads.ridge import RidgeRegressor
from headstart.inspection.rank import Ranked, rank
from headstart.progress import Silence

from ..made_sets import clouds, make_set, thirds

N = 200


def ranked(features: FeatureSet, **options: Any) -> list[Ranked]:
    return rank(features.name, Silence(), cache=str(features.cache), **options)


def three(cache_root: Path, **more: Any) -> FeatureSet:
    """Three features: of one the classes are far apart, of one near, of one nowhere."""
    good, y = clouds(N, apart=8)
    fair, _ = clouds(N, apart=2)
    noise = np.random.default_rng(5).normal(size=(N, 30))
    X = {"py:a:noise": noise, "py:a:good": good, "py:a:fair": fair}
    return make_set(cache_root, X, {"kind": [f"class {c}" for c in y]}, **more)


def test_the_better_feature_comes_first_by_every_figure(cache_root: Path) -> None:
    found = ranked(three(cache_root))
    assert [one.backbone for one in found] == ["py:a:good", "py:a:fair", "py:a:noise"]
    for figure in ("loo", "logme", "knn"):
        values = [getattr(one, figure) for one in found]
        assert values == sorted(values, reverse=True)
    assert found[0].loo > 0.97
    assert found[2].loo < 0.5
    assert [(one.tap, one.width, one.n, one.metric) for one in found] == [
        ("last.mean", 16, 120, "accuracy"), ("last.mean", 16, 120, "accuracy"), ("last.mean", 30, 120, "accuracy"),
    ]  # fmt: skip


def test_the_leave_one_out_accuracy_is_scikit_learns(cache_root: Path) -> None:
    features = three(cache_root)
    fair = ranked(features)[1]
    rows = features.rows("train", backbone="py:a:fair")
    X = StandardScaler().fit_transform(rows.X.astype(float))
    left = cross_val_predict(RidgeClassifier(alpha=fair.alpha), X, rows.y, cv=LeaveOneOut())
    assert fair.loo == pytest.approx((left == rows.y).mean(), abs=0.009)  # their targets are -1 and 1


def test_dead_dimensions_are_not_ranked_by_their_rounding_noise(cache_root: Path) -> None:
    rng = np.random.default_rng(0)
    price = rng.normal(size=N)
    X = rng.normal(size=(N, 12))
    X[:, 5] = 4e-9 * price
    features = make_set(cache_root, X, {"price": price.tolist()}, kinds={"price": "regression"})
    found = ranked(features)[0]
    assert found.loo < 0.1
    rows = features.rows("train")
    assert found.loo_error == pytest.approx(RidgeRegressor().fit(rows.X, rows.y).loo_error_, rel=1e-6)


def test_no_other_split_is_looked_at(cache_root: Path, tmp_path: Path) -> None:
    X, y = clouds(N, apart=2)
    outside = np.array(thirds(N)) != "train"
    changed, labels = X.copy(), np.array([f"class {c}" for c in y])
    changed[outside] = 1e3
    first = ranked(make_set(cache_root, X, {"kind": labels.tolist()}))[0]
    labels[outside] = labels[outside][::-1]
    second = ranked(make_set(tmp_path / "other", changed, {"kind": labels.tolist()}))[0]
    assert (first.loo, first.logme, first.knn) == (second.loo, second.logme, second.knn)


def test_several_labels_and_numbers_are_ranked_by_their_own_metric(cache_root: Path) -> None:
    rng = np.random.default_rng(0)
    Y = rng.random((N, 3)) < 0.5
    X = {"py:a:noise": rng.normal(size=(N, 5)), "py:a:good": np.hstack([Y * 6.0, rng.normal(size=(N, 2))])}
    tags = [[name for name, has in zip("abc", row, strict=True) if has] for row in Y]
    labels = {"tags": tags, "price": (Y @ np.array([1.0, 2, 3])).tolist()}
    features = make_set(cache_root, X, labels, kinds={"tags": "multi", "price": "regression"})
    for label, metric in (("tags", "micro_f1"), ("price", "r2")):
        found = ranked(features, label=label)
        assert [one.backbone for one in found] == ["py:a:good", "py:a:noise"]
        assert found[0].metric == metric
        assert found[0].loo > 0.9


def test_what_cannot_be_ranked_is_said(cache_root: Path, tmp_path: Path) -> None:
    X, _ = clouds(20)
    with pytest.raises(DataError, match="all have the same"):
        ranked(make_set(cache_root, X, {"kind": ["one"] * 20}))
    with pytest.raises(DataError, match="no labels"):
        ranked(make_set(tmp_path / "bare", X, {}))
    with pytest.raises(ConfigError, match="no label 'colour'"):
        ranked(three(tmp_path / "third"), label="colour")
