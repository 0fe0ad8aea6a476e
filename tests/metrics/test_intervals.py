"""Intervals: scipy's percentile bootstrap, number by number, in a fraction of its time."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn import metrics as oracle

import headstart.metrics.resampling as resampling
from headstart.metrics import ranking as ranking_module
from headstart.metrics.ranking import resampled_ranking
from headstart.metrics.resampling import percentile_intervals
from headstart.metrics.single import Scored, evaluate_single

from ..variants import variants


def trial(n, n_classes, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    codes = rng.integers(n_classes, size=n)
    logits = rng.normal(size=(n, n_classes)).round(1)
    logits[np.arange(n), codes] += 2
    p = np.exp(logits)
    return codes, (p / p.sum(axis=1, keepdims=True)).astype(dtype)


def scipys(figure, n, resamples, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of resamples that lack a class
        return bootstrap(
            (np.arange(n),), figure, vectorized=False, method="percentile", n_resamples=resamples, rng=seed
        )


@pytest.mark.parametrize("n_classes", variants([2, 7], {2}))
def test_every_resample_is_scipys(n_classes):
    y, p = trial(80, n_classes)
    classes = [f"class {i}" for i in range(n_classes)]
    names, said = np.array(classes)[y], p.argmax(axis=1)
    ours = Scored.of(names, p, classes, classes).resampled(40, seed=3)

    def average(kind, figure):
        return lambda rows: figure(y[rows], said[rows], average=kind, zero_division=0)

    figures = {
        "accuracy": lambda rows: oracle.accuracy_score(y[rows], said[rows]),
        "balanced_accuracy": lambda rows: oracle.balanced_accuracy_score(y[rows], said[rows]),
        "mcc": lambda rows: oracle.matthews_corrcoef(y[rows], said[rows]),
        "log_loss": lambda rows: oracle.log_loss(y[rows], p[rows], labels=range(n_classes)),
        "brier": lambda rows: oracle.brier_score_loss(y[rows], p[rows], labels=range(n_classes)),
    }
    for kind in ("micro", "macro", "weighted"):
        figures[f"{kind}_f1"] = average(kind, oracle.f1_score)
        figures[f"{kind}_precision"] = average(kind, oracle.precision_score)
        figures[f"{kind}_recall"] = average(kind, oracle.recall_score)
    if n_classes == 2:
        figures["roc_auc"] = lambda rows: oracle.roc_auc_score(y[rows], p[rows, 1])
        figures["average_precision"] = lambda rows: oracle.average_precision_score(y[rows], p[rows, 1])
    else:

        def over_classes(figure):
            return lambda rows: np.mean([figure(y[rows] == c, p[rows, c]) for c in np.unique(y[rows])])

        figures["roc_auc"] = over_classes(oracle.roc_auc_score)
        figures["average_precision"] = over_classes(oracle.average_precision_score)
        figures["top5_accuracy"] = lambda rows: oracle.top_k_accuracy_score(
            y[rows], p[rows] + 1e-9 * np.arange(n_classes)[::-1], k=5, labels=range(n_classes)
        )
    assert set(ours) == set(figures)
    for name, figure in figures.items():
        tolerance = 1e-6 if n_classes > 2 and name in ("roc_auc", "average_precision") else 1e-9
        assert ours[name] == pytest.approx(scipys(figure, 80, 40, 3).bootstrap_distribution, rel=tolerance), (
            name
        )


@pytest.mark.parametrize("digits", [1, 9])  # with ties, and without
def test_resampled_ranking_are_scipys_by_either_way(digits, monkeypatch):
    rng = np.random.default_rng(0)
    truth = rng.random((60, 4)) < 0.3
    scores = np.round(rng.random((60, 4)) + 0.3 * truth, digits).astype(np.float32)
    by_products = resampled_ranking(truth, scores, 50, seed=1, micro=True)
    monkeypatch.setattr(ranking_module, "SORTED_COST", 1)
    by_sorting = resampled_ranking(truth, scores, 50, seed=1, micro=True)
    figures = {"roc_auc": oracle.roc_auc_score, "average_precision": oracle.average_precision_score}
    for name, figure in figures.items():
        wanted = scipys(lambda rows: figure(truth[rows], scores[rows], average="macro"), 60, 50, 1)  # noqa: B023
        micro = scipys(lambda rows: figure(truth[rows], scores[rows], average="micro"), 60, 50, 1)  # noqa: B023
        assert by_products[name] == pytest.approx(wanted.bootstrap_distribution, rel=1e-6)
        assert by_sorting[name] == pytest.approx(wanted.bootstrap_distribution, rel=1e-6)
        assert by_products[f"micro_{name}"] == pytest.approx(micro.bootstrap_distribution, rel=1e-6)


def test_resampled_ranking_that_would_take_minutes_are_left_out(monkeypatch):
    truth, scores = np.eye(2, dtype=bool).repeat(20, axis=0), np.random.default_rng(0).random((40, 2))
    monkeypatch.setattr(ranking_module, "MOST_PRODUCTS", 10)
    assert resampled_ranking(truth, scores) == {}


def test_77_classes_have_intervals_that_hold_the_figures():
    y, p = trial(3080, 77, dtype=np.float32)
    classes = [f"class {i}" for i in range(77)]
    report = evaluate_single(np.array(classes)[y], p, classes, classes)
    for name in ("accuracy", "roc_auc", "average_precision"):
        low, high = report["intervals"][name]
        assert low < report[name] < high


def test_the_seed_decides():
    y, p = trial(60, 3)
    classes = list("abc")
    first, again, other = (
        evaluate_single(np.array(classes)[y], p, classes, classes, seed=seed)["intervals"]
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_drawing_in_portions_changes_nothing(monkeypatch):
    values = np.random.default_rng(0).normal(size=77)

    def figures(draws):
        return {"mean": values[draws].mean(axis=1)}

    whole = percentile_intervals(77, figures, 50)
    monkeypatch.setattr(resampling, "DRAWS_AT_ONCE", 77 * 3)
    assert percentile_intervals(77, figures, 50) == whole


def test_a_large_split_is_resampled_less_often(monkeypatch):
    monkeypatch.setattr(resampling, "MOST_DRAWS", 1000)
    seen = []

    def figures(draws):
        seen.append(len(draws))
        return {"mean": draws.mean(axis=1)}

    percentile_intervals(5, figures, 1000)
    percentile_intervals(500, figures, 1000)
    assert seen == [200, 100]


def test_resamples_without_a_figure_are_left_out():
    draws_seen = []

    def figures(draws):
        draws_seen.append(draws)
        values = draws.mean(axis=1)
        return {"sometimes": np.where(draws[:, 0] == 0, np.nan, values), "never": np.full(len(draws), np.nan)}

    intervals = percentile_intervals(4, figures, 100)
    kept = np.concatenate(draws_seen)
    kept = kept[kept[:, 0] != 0].mean(axis=1)
    assert intervals["sometimes"] == pytest.approx(np.quantile(kept, [0.025, 0.975]).tolist())
    assert intervals["never"] is None
    assert 0 < len(kept) < 100


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        right = rng.random(200) < 0.8
        low, high = percentile_intervals(
            200, lambda draws, right=right: {"accuracy": right[draws].mean(axis=1)}, 300, seed
        )["accuracy"]
        held += low <= 0.8 <= high
    assert 0.89 <= held / 200 <= 0.99
