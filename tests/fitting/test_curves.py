"""Few shots and learning curves of heads: several heads and backbones at once, each as a fit of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import headstart as hs
from headstart.cache.sets import FeatureSet
from headstart.curves.record import KeptCurves
from headstart.errors import ConfigError, StorageError

from ..made_sets import clouds, make_set, thirds
from .test_fit_head import Said, classes, fit, report_of

N = 300
QUICK = {"epochs": 5, "batch_size": 64}


@pytest.fixture
def two(cache_root: Path) -> FeatureSet:
    """Samples with features of two backbones, of which the second tells the classes apart less well."""
    X, y = clouds(N, apart=3)
    other = X + np.random.default_rng(1).normal(size=X.shape).astype(np.float32) * 2
    return make_set(cache_root, {"py:some:sharp": X, "py:some:blurred": other}, {"kind": classes(y)})


def kept(run: hs.Run) -> KeptCurves:
    assert run.marks is not None
    return KeptCurves.read(run.marks, "the run")


def test_heads_and_backbones_each_have_a_curve(two: FeatureSet) -> None:
    sweep = {"head": ["ridge", "centroid"], "backbone": ["py:some:sharp", "py:some:blurred"]}
    run = fit(two, sweep=sweep, shots=[1, 4, 16], curve=["10%", 90], seeds=3)
    curves = run.report["curves"]
    assert [(c["head"], c["backbone"]) for c in curves] == [
        (head, f"py:some:{name}") for name in ("sharp", "blurred") for head in ("ridge", "centroid")
    ]
    assert len({c["name"] for c in curves}) == 4
    assert all([len(c["shots"]), len(c["curve"])] == [3, 2] for c in curves)
    best = run.report["sweep"]["best"]
    chosen = next(c for c in curves if (c["head"], c["backbone"]) == (best["head"], best["backbone"]))
    assert run.report["shots"] == chosen["shots"]
    assert {protocol: len(said) for protocol, said in run.report["ahead"].items()} == {"shots": 3, "curve": 3}
    assert all("ahead" in sentence for said in run.report["ahead"].values() for sentence in said)
    sharp, blurred = (
        next(c for c in curves if c["name"] == f"ridge {name}") for name in ("sharp", "blurred")
    )
    assert sharp["shots"][2]["mean"]["accuracy"] > blurred["shots"][2]["mean"]["accuracy"]


@pytest.mark.parametrize("head", ["ridge", "logistic", "knn", "centroid", "linear"])
def test_a_draw_is_what_a_fit_on_it_alone_gives(two: FeatureSet, cache_root: Path, head: str) -> None:
    """A set whose train samples are those of the draw, fitted with its seed."""
    params: dict[str, Any] = {"params": QUICK} if head == "linear" else {}
    sweep = {"backbone": ["py:some:sharp", "py:some:blurred"]}
    run = fit(two, head, sweep=sweep, shots=[4], curve=["20%"], seeds=2, **params)
    X, y = clouds(N, apart=3)
    train = np.flatnonzero(np.array(thirds(N)) == "train")
    [protocol_shots, protocol_curve] = [kept(run).curves[0].of(name) for name in ("shots", "curve")]
    for draws in (protocol_shots[4], protocol_curve[36]):
        draw = draws[1]
        rows = _rows_of(two, draw.protocol, draw.size, draw.seed)
        splits = np.array(thirds(N), dtype=object)
        splits[np.setdiff1d(train, train[rows])] = "none"
        keep = np.flatnonzero(splits != "none")
        alone = make_set(
            cache_root / "alone",
            X[keep],
            {"kind": classes(y[keep])},
            splits[keep].tolist(),
            [f"text {row}" for row in keep],
            name=f"{draw.protocol}-{head}",
        )
        single = fit(alone, head, seed=draw.seed, **params).report
        assert single["data"]["n_train"] == draw.n_train == len(rows)
        assert draw.scores["accuracy"] == pytest.approx(single["metrics"]["test"]["accuracy"])


def _rows_of(features: FeatureSet, protocol: str, size: int, seed: int) -> Any:
    """What the public functions say is drawn."""
    from headstart.curves.draws import protocols_of

    shots, curve = ([size], []) if protocol == "shots" else ([], [size])
    [found] = protocols_of(shots, curve, features.rows("train"))
    return found.draw(size, seed).rows


def test_rare_classes_are_named_in_the_report_and_the_output(cache_root: Path) -> None:
    X, y = clouds(N, apart=3)
    splits = np.array(thirds(N), dtype=object)
    rare = np.flatnonzero((splits == "train") & (y == 2))
    keep = np.setdiff1d(np.arange(N), rare[5:])
    features = make_set(
        cache_root,
        X[keep],
        {"kind": classes(y[keep])},
        splits[keep].tolist(),
        [f"text {row}" for row in keep],
    )
    said = Said()
    rows = fit(features, said=said, shots=[5, 8], seeds=2).report["shots"]
    assert [row.get("rare") for row in rows] == [None, {"class 2": 5}]
    assert rows[1]["n_train"] == 8 + 8 + 5
    assert "8 of each class: 1 class has fewer in train, of which all are taken: class 2 (5)" in said.lines


def test_what_a_draw_chooses_by_is_said(two: FeatureSet, cache_root: Path) -> None:
    said = Said()
    fit(two, said=said, shots=[2], backbone="py:some:sharp")
    assert "a draw has 60 validation samples to choose by, and 60 test samples to be judged on" in said.lines
    X, y = clouds(N, apart=3)
    bare = make_set(
        cache_root, X, {"kind": classes(y)}, ["train" if n % 3 else "test" for n in range(N)], name="bare"
    )
    said = Said()
    report = fit(bare, "logistic", said=said, shots=[4], seeds=2).report
    assert any(line.startswith("there are no validation samples: a draw") for line in said.lines)
    assert report["shots"][0]["split"] == "test"


@pytest.mark.parametrize("head", ["logistic", "linear", "knn"])
def test_test_labels_are_looked_at_for_figures_alone(cache_root: Path, head: str) -> None:
    """Whatever the test labels say, each draw predicts the same: of three turns of them it has exactly one right."""
    X, y = clouds(N, apart=3)
    is_test = np.array(thirds(N)) == "test"
    params: dict[str, Any] = {"params": QUICK} if head == "linear" else {}
    total: Any = 0
    for turn in range(3):
        turned = np.where(is_test, (y + turn) % 3, y)
        features = make_set(cache_root, X, {"kind": classes(turned)}, name=f"turned-{turn}")
        [curve] = kept(fit(features, head, shots=[2, 8], seeds=2, **params)).curves
        total = total + np.stack([draw.marks for draw in curve.draws if draw.marks is not None])
    assert (total == 1).all()


def test_one_draw_covers_the_samples_alone(two: FeatureSet) -> None:
    one, many = (
        report_of(two, backbone="py:some:sharp", shots=[2], seeds=seeds)["shots"][0] for seeds in (1, 5)
    )
    assert (one["covers"], many["covers"]) == ("samples", "draws and samples")
    low, high = many["interval"]["accuracy"]
    assert low < many["mean"]["accuracy"] < high


@pytest.mark.parametrize(
    ("kind", "figure"), [("regression", "r2"), ("multi", "accuracy")], ids=["numbers", "several labels"]
)
def test_other_labels_have_intervals_too(cache_root: Path, kind: str, figure: str) -> None:
    X, _ = clouds(N, apart=3)
    y: Any = (X[:, 0] * 3).tolist()
    if kind == "multi":
        y = [[name for place, name in enumerate("ab") if row[place] > 0] for row in X]
    features = make_set(cache_root, X, {"y": y}, kinds={"y": kind})
    rows = report_of(features, "ridge", curve=[20, "100%"], seeds=4)["curve"]
    for row in rows:
        low, high = row["interval"][figure]
        assert low < row["mean"][figure] < high
    with pytest.raises(
        ConfigError, match="--shots draws samples of each class; with other labels use --curve"
    ):
        fit(features, shots=[1])


def test_a_saved_run_keeps_what_each_draw_has_right(two: FeatureSet, tmp_path: Path) -> None:
    hs.fit_head(
        two, backbone="py:some:sharp", head="ridge", shots=[2, 8], seeds=3, out=tmp_path / "run", plots="none"
    )
    run = hs.Run.load(tmp_path / "run")
    found = kept(run)
    rows = {row["size"]: row for row in run.report["shots"]}
    for size, draws in found.curves[0].of("shots").items():
        assert [draw.marks.mean() for draw in draws if draw.marks is not None] == pytest.approx(
            rows[size]["values"]["accuracy"]
        )
    path = tmp_path / "run" / "draws.parquet"
    assert pq.read_table(path).column("id").to_pylist() == run.predictions_of("test").column("id").to_pylist()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StorageError, match=r"draws\.parquet cannot be read"):
        _ = hs.Run.load(tmp_path / "run").marks


def test_a_sweep_and_an_option_do_not_both_say_the_backbone(two: FeatureSet) -> None:
    with pytest.raises(ConfigError, match="backbones are in --backbone and in --sweep; give them once"):
        fit(two, backbone="py:some:sharp", sweep={"backbone": ["py:some:blurred"]})
    with pytest.raises(ConfigError, match="no feature of py:some:shrap"):
        fit(two, sweep={"backbone": ["py:some:shrap"]})


def test_each_of_several_labels_keeps_its_own_draws(cache_root: Path, tmp_path: Path) -> None:
    X, y = clouds(N, apart=3)
    labels = {"kind": classes(y), "half": [f"half {c}" for c in np.arange(N) // 5 % 2]}
    features = make_set(cache_root, X, labels)
    made = hs.fit_head(features, label="all", head="ridge", shots=[2], seeds=2)
    made.save(tmp_path / "run")
    run = hs.Run.load(tmp_path / "run")
    for name in labels:
        table, own = run.of(name).marks, made.of(name).marks
        assert table is not None
        assert own is not None
        assert table.equals(own)
        values = run.of(name).report["shots"][0]["values"]["accuracy"]
        [curve] = kept(run.of(name)).curves
        assert [draw.marks.mean() for draw in curve.draws if draw.marks is not None] == pytest.approx(values)
    found = hs.compare([run, hs.fit_head(features, label="all", head="knn", shots=[2], seeds=2)])
    assert [len(found[name].curves) for name in labels] == [1, 1]
