"""Fitting a head on a set: sweeps, seeds, folds, protocols, several features, and no leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from headstart.cache.sets import FeatureSet
from headstart.config import FitConfig
from headstart.curves.draws import few_of_each
from headstart.errors import ConfigError, DataError
from headstart.fitting.stage import fit_head
from headstart.progress import Silence
from headstart.registry.run import Run

from ..made_sets import clouds, make_set, thirds

N = 300
QUICK = {"epochs": 5, "batch_size": 64}
"""Of heads that are trained by epochs."""


class Said(Silence):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


def fit(features: FeatureSet, head: str = "ridge", said: Said | None = None, **options: Any) -> Run:
    if head in ("linear", "mlp", "residual") and "params" not in options and "sweep" not in options:
        options["params"] = QUICK
    config = FitConfig(set=features.name, cache=str(features.cache), head=head, **options)
    return fit_head(config, said or Said())


def report_of(features: FeatureSet, head: str = "ridge", **options: Any) -> dict[str, Any]:
    return dict(fit(features, head, **options).report)


def weights_of(fitted: Run) -> bytes:
    tensors = fitted.predictor.head.tensors()
    return b"".join(np.asarray(tensors[name]).tobytes() for name in sorted(tensors))


def classes(y: Any) -> list[str]:
    return [f"class {c}" for c in y]


@pytest.fixture
def made(cache_root: Path) -> FeatureSet:
    """Three classes that overlap."""
    X, y = clouds(N, apart=3)
    return make_set(cache_root, X, {"kind": classes(y)})


@pytest.mark.parametrize("options", [{"params": {"k": 500}}, {"sweep": {"k": [1, 500]}}])
@pytest.mark.parametrize("head", ["knn", "propagate"])
def test_more_neighbours_than_samples_are_said(made: FeatureSet, head: str, options: dict[str, Any]) -> None:
    fit(made, head, said := Said(), **options)
    assert "k=500, and there are 180 train samples: all of them are asked" in said.lines


class TestSweeps:
    """Choosing parameters on validation data."""

    def test_the_best_on_validation_is_the_head(self, made: FeatureSet) -> None:
        sweep = {"lr": [1e-6, 1e-2], "weight_decay": [0.0, 1.0]}
        report = report_of(made, "linear", sweep=sweep, params=QUICK)
        trials = report["sweep"]["trials"]
        assert [t["params"] for t in trials] == [
            {"lr": lr, "weight_decay": decay} for lr in (1e-6, 1e-2) for decay in (0.0, 1.0)
        ]
        best = max(
            trials, key=lambda t: (t["validation"]["accuracy"]["mean"], -t["validation"]["log_loss"]["mean"])
        )
        assert report["sweep"]["best"] == best["params"]
        assert report["head"]["params"]["lr"] == 1e-2
        validation = report["metrics"]["validation"]["accuracy"]
        assert validation == pytest.approx(best["validation"]["accuracy"]["mean"])

    def test_a_sweep_gives_what_each_alone_gives(self, made: FeatureSet) -> None:
        swept = report_of(made, "linear", sweep={"lr": [1e-4, 1e-3, 1e-2]}, params=QUICK)
        for trial in swept["sweep"]["trials"]:
            alone = report_of(made, "linear", params={**QUICK, **trial["params"]})
            validation = alone["metrics"]["validation"]["accuracy"]
            assert trial["validation"]["accuracy"]["mean"] == pytest.approx(validation)

    def test_heads_are_compared_each_with_its_own_parameters(self, made: FeatureSet) -> None:
        sweep = {"head": ["ridge", "knn", "linear"], "k": [1, 15], "lr": [1e-3, 1e-2], "epochs": [10]}
        fitted = fit(made, sweep=sweep, seeds=2)
        report = fitted.report
        assert [trial["params"] for trial in report["sweep"]["trials"]] == [
            {"head": "ridge"}, {"head": "knn", "k": 1}, {"head": "knn", "k": 15},
            {"head": "linear", "lr": 1e-3, "epochs": 10}, {"head": "linear", "lr": 1e-2, "epochs": 10},
        ]  # fmt: skip
        assert report["head"]["name"] == report["sweep"]["best"]["head"] == fitted.predictor.head.kind
        with pytest.raises(ConfigError, match="none of the heads ridge, knn has a parameter 'depth'"):
            fit(made, sweep={"head": ["ridge", "knn"], "depth": [1]})
        with pytest.raises(ConfigError, match="not compared in one sweep"):
            fit(made, sweep={"head": ["ridge", "attention"]})

    def test_folds_choose_over_train_and_validation(self, made: FeatureSet) -> None:
        report = report_of(made, "logistic", sweep={"C": [1e-4, 1.0]}, folds=3)
        assert [trial["n"] for trial in report["sweep"]["trials"]] == [3, 3]
        assert report["data"]["n_train"] == 180
        assert report["sweep"]["best"] == {"C": 1.0}

    def test_copies_of_a_sample_are_on_one_side_of_a_fold(self, cache_root: Path) -> None:
        """Labels without any pattern, each sample three times: whoever sees a copy knows the answer."""
        rng = np.random.default_rng(0)
        X, y = np.repeat(rng.normal(size=(100, 8)), 3, axis=0), np.repeat(rng.integers(2, size=100), 3)
        contents = [f"text {row // 3}" for row in range(300)]
        splits = ["train"] * 240 + ["validation"] * 30 + ["test"] * 30
        copies = make_set(cache_root, X, {"kind": classes(y)}, splits, contents)
        report = report_of(copies, "knn", sweep={"k": [1]}, folds=5)
        assert report["sweep"]["validation"]["accuracy"]["mean"] < 0.7

    def test_when_to_stop_is_not_chosen_on_the_fold_that_judges(self, cache_root: Path) -> None:
        X, _ = clouds(N, apart=0)
        y = np.random.default_rng(3).integers(2, size=N)
        report = report_of(
            make_set(cache_root, X, {"kind": classes(y)}), "mlp", sweep={"lr": [0.01]}, folds=4,
            params={"epochs": 20, "width": 32, "batch_size": 50},
        )  # fmt: skip
        assert report["sweep"]["validation"]["log_loss"]["mean"] > np.log(2)

    def test_seeds_are_averaged_and_told(self, made: FeatureSet) -> None:
        report = report_of(made, "mlp", params={**QUICK, "width": 8}, seeds=3)
        seeds = report["seeds"]
        assert seeds["split"] == "test"
        assert len(seeds["values"]["accuracy"]) == 3
        assert seeds["mean"]["accuracy"] == pytest.approx(np.mean(seeds["values"]["accuracy"]))
        assert seeds["deviation"]["accuracy"] == pytest.approx(np.std(seeds["values"]["accuracy"], ddof=1))
        assert seeds["values"]["accuracy"][0] == pytest.approx(report["metrics"]["test"]["accuracy"])

    def test_optuna_searches_between_the_ends(self, made: FeatureSet) -> None:
        pytest.importorskip("optuna")
        sweep = {"lr": [1e-4, 1e-1], "norm": ["layer", "none"], "width": [4, 16]}
        report = report_of(made, "mlp", sweep=sweep, search="optuna", trials=6, params=QUICK)
        again = report_of(made, "mlp", sweep=sweep, search="optuna", trials=6, params=QUICK)
        tried = [trial["params"] for trial in report["sweep"]["trials"]]
        assert len(tried) == 6
        assert tried == [trial["params"] for trial in again["sweep"]["trials"]]
        assert all(1e-4 <= p["lr"] <= 1e-1 and p["width"] in range(4, 17) for p in tried)
        decays = report_of(
            made, "linear", sweep={"weight_decay": [0, 1]}, search="optuna", trials=4, params=QUICK
        )
        assert any(0 < trial["params"]["weight_decay"] < 1 for trial in decays["sweep"]["trials"])
        with pytest.raises(ConfigError, match="--search optuna searches between the values of --sweep"):
            fit(made, "linear", search="optuna")

    def test_a_sweep_over_features_needs_them(self, made: FeatureSet) -> None:
        with pytest.raises(ConfigError, match="no feature of a"):
            fit(made, "ridge", sweep={"backbone": ["a"]})
        with pytest.raises(ConfigError, match=r"has no tap|no feature"):
            fit(made, "ridge", sweep={"tap": ["final.cls"]})

    def test_without_validation_nothing_is_chosen(self, cache_root: Path) -> None:
        X, y = clouds(N)
        splits = ["train" if row % 3 else "test" for row in range(N)]
        bare = make_set(cache_root, X, {"kind": classes(y)}, splits)
        with pytest.raises(ConfigError, match="no validation samples to choose by"):
            fit(bare, "ridge", sweep={"alpha": [1.0, 10.0]})
        with pytest.raises(ConfigError, match="--refit adds the validation samples"):
            fit(bare, refit=True)
        assert report_of(bare, "ridge", sweep={"alpha": [1.0, 10.0]}, folds=2)["sweep"]["best"]

    def test_what_is_said_twice_is_refused(self, made: FeatureSet) -> None:
        with pytest.raises(ConfigError, match="'alpha' is in --param and in --sweep"):
            fit(made, params={"alpha": 1.0}, sweep={"alpha": [1.0]})
        with pytest.raises(ConfigError, match="--tap and in --sweep"):
            fit(made, tap="last.mean", sweep={"tap": ["last.mean"]})

    def test_a_sweep_of_which_every_trial_diverges_says_so(self, made: FeatureSet) -> None:
        params = {**QUICK, "schedule": "constant", "warmup_share": 0.0, "weight_decay": 9e5}
        with pytest.raises(ConfigError, match="all 2 trials diverged"):
            fit(made, "linear", sweep={"lr": [8e5, 9e5]}, params=params)


class TestProtocols:
    """Few shots, learning curves, and a refit."""

    def test_few_shots_are_drawn_of_each_class_for_each_seed(self, made: FeatureSet) -> None:
        rows = report_of(made, "ridge", shots=[1, 8], seeds=4)["shots"]
        assert [(row["size"], row["n_train"], row["split"]) for row in rows] == [
            (1, 3, "test"),
            (8, 24, "test"),
        ]
        assert all(len(row["values"]["accuracy"]) == 4 for row in rows)
        assert rows[1]["mean"]["accuracy"] > rows[0]["mean"]["accuracy"]
        assert rows[0]["deviation"]["accuracy"] > 0

    def test_a_learning_curve_ends_with_the_whole(self, made: FeatureSet) -> None:
        fitted = report_of(made, "ridge", curve=[20, 180])
        assert [row["n_train"] for row in fitted["curve"]] == [20, 180]
        whole = fitted["metrics"]["test"]["accuracy"]
        assert fitted["curve"][1]["mean"]["accuracy"] == pytest.approx(whole, abs=0.02)

    def test_sizes_that_cannot_be_drawn_are_refused(self, made: FeatureSet) -> None:
        for options in ({"curve": [181]}, {"curve": [1]}, {"shots": [0]}, {"shots": [2, 1000]}):
            with pytest.raises(ConfigError, match=r"takes (sizes|numbers of samples) in \["):
                fit(made, **options)

    def test_features_are_prepared_on_what_was_drawn(self, tmp_path: Path) -> None:
        """Train samples that were not drawn say nothing, not even of the scale."""
        X, y = clouds(N, apart=3)
        drawn = few_of_each(y[np.array(thirds(N)) == "train"], 4, seed=0)
        other = X.copy()
        rest = np.setdiff1d(
            np.flatnonzero(np.array(thirds(N)) == "train"),
            np.flatnonzero(np.array(thirds(N)) == "train")[drawn],
        )
        other[rest] *= 100 * np.random.default_rng(2).normal(size=(len(rest), 16)).astype(np.float32)
        rows = [
            report_of(
                make_set(tmp_path / name, features, {"kind": classes(y)}), prepare=["whiten=3"], shots=[4]
            )["shots"]
            for name, features in (("a", X), ("b", other))
        ]
        assert rows[0] == rows[1]

    def test_a_refit_learns_of_validation_what_it_says_nothing_of(self, made: FeatureSet) -> None:
        plain, again = fit(made), fit(made, refit=True)
        assert weights_of(plain) != weights_of(again)
        before, after = plain.report["metrics"], again.report["metrics"]
        assert before["validation"] == after["validation"]
        assert after["test"]["n"] == before["test"]["n"]
        both = np.isin(made.samples.column("split").to_pylist(), ["train", "validation"])
        X, y = clouds(N, apart=3)
        np.testing.assert_allclose(again.predictor.head.mean_, X[both].astype(np.float64).mean(0), atol=1e-5)  # type: ignore[attr-defined]
        assert len(y) == N

    @pytest.mark.parametrize("joins", [{"refit": True}, {"folds": 3}], ids=["refit", "folds"])
    def test_what_joins_rows_on_disk_is_refused_before_the_search(
        self, made: FeatureSet, joins: dict[str, Any]
    ) -> None:
        class Watched(Said):
            begun: ClassVar[list[str]] = []

            def begin(self, description: str, total: int | None) -> None:
                self.begun.append(description)

        with pytest.raises(
            ConfigError, match="joined in memory only: leave out --refit, --folds and --mapped"
        ):
            fit(made, "linear", Watched(), mapped=True, sweep={"lr": [1e-3, 1e-2]}, **joins)
        assert Watched.begun == []


class TestLabels:
    """Several labels, numbers, and labels that train lacks."""

    def test_several_labels_a_sample(self, cache_root: Path) -> None:
        X, y = clouds(N, apart=8)
        values = [[f"is {c}", *(["low"] if c < 2 else [])] for c in y]
        made = make_set(cache_root, X, {"tags": values}, kinds={"tags": "multi"})
        for head in ("logistic", "ridge", "knn", "linear", "mlp"):
            fitted = fit(made, head)
            assert fitted.report["task"] == "multi"
            assert fitted.report["metrics"]["test"]["macro_f1"] > 0.9, head
        predicted = fitted.predictions.to_pylist()
        assert set(predicted[0]["prediction"]) <= {"is 0", "is 1", "is 2", "low"}

    def test_numbers(self, cache_root: Path) -> None:
        X, _ = clouds(N)
        target = X[:, 0] * 30.0 + 400
        made = make_set(cache_root, X, {"price": target.tolist()}, kinds={"price": "regression"})
        for head in ("ridge", "knn", "svm", "linear", "mlp"):
            trained = {"params": {**QUICK, "epochs": 30, "lr": 0.05}} if head in ("linear", "mlp") else {}
            fitted = fit(made, head, **trained)
            metrics = fitted.report["metrics"]["test"]
            assert metrics["r2"] > (0.3 if head in ("knn", "svm") else 0.8), head
            assert metrics["intervals"]["r2"][0] < metrics["r2"] < metrics["intervals"]["r2"][1]
        assert fitted.report["task"] == "regression"
        with pytest.raises(ConfigError, match="not for numbers to regress on"):
            fit(made, "logistic")

    def test_a_label_that_only_test_has_is_reported(self, cache_root: Path) -> None:
        X, y = clouds(N)
        splits, names = thirds(N), classes(y)
        names[splits.index("test")] = "never seen"
        made = make_set(cache_root, X, {"kind": names})
        for head in ("logistic", "ridge", "knn", "centroid", "linear"):
            said = Said()
            fitted = fit(made, head, said)
            assert fitted.report["data"]["unseen_in_train"] == ["never seen"]
            assert any("'never seen'" in line for line in said.lines)
            assert fitted.report["metrics"]["test"]["per_class"]["never seen"]["recall"] == 0

    def test_one_class_is_too_few(self, cache_root: Path) -> None:
        X, _ = clouds(N)
        with pytest.raises(DataError, match="needs at least two classes"):
            fit(make_set(cache_root, X, {"kind": ["same"] * N}))


class TestFeatures:
    """Several features of a sample, and their preparation."""

    @pytest.fixture
    def halves(self, cache_root: Path) -> FeatureSet:
        """Two backbones of which each sees what the other does not."""
        rng = np.random.default_rng(0)
        bits = rng.integers(2, size=(N, 2))
        noise = rng.normal(size=(2, N, 6)).astype(np.float32)
        first, second = (
            np.concatenate([4 * bits[:, [k]].astype(np.float32), noise[k]], axis=1) for k in (0, 1)
        )
        names = [f"{a}{b}" for a, b in bits]
        return make_set(cache_root, {"py:a:first": first, "py:a:second": second}, {"kind": names})

    def test_features_side_by_side_tell_more_than_each(self, halves: FeatureSet) -> None:
        def accuracy(**options: Any) -> float:
            return float(report_of(halves, "ridge", **options)["metrics"]["test"]["accuracy"])

        assert accuracy(backbone="py:a:first") < 0.7
        assert accuracy(backbone=["py:a:first", "py:a:second"]) > 0.9
        record = fit(halves, "ridge", backbone=["py:a:first", "py:a:second"])
        assert [part["backbone"] for part in record.features["parts"]] == ["py:a:first", "py:a:second"]
        importance = {one["name"]: one["drop"] for one in record.report["importance"]}
        assert min(importance.values()) > 0.2  # each tells what the other does not

    def test_a_head_that_attends_takes_them_one_behind_the_other(self, halves: FeatureSet) -> None:
        params = {"epochs": 30, "dropout": 0.0, "width": 16, "n_heads": 2, "lr": 0.01}
        report = report_of(halves, "attention", backbone=["py:a:first", "py:a:second"], params=params)
        assert report["metrics"]["train"]["accuracy"] > 0.5
        with pytest.raises(ConfigError, match="nothing to attend to"):
            fit(halves, "attention", backbone="py:a:first")

    @pytest.mark.parametrize("steps", [["l2"], ["standardise"], ["pca=4"], ["l2", "whiten=5"]])
    def test_features_are_prepared_as_train_says(
        self, made: FeatureSet, tmp_path: Path, steps: list[str]
    ) -> None:
        fitted = fit(made, "logistic", prepare=steps)
        assert fitted.report["metrics"]["test"]["accuracy"] > 0.6
        fitted.predictor.save(tmp_path)
        from headstart.heads.predictor import Predictor

        X, _ = clouds(N, apart=3)
        loaded = Predictor.load(tmp_path)
        assert loaded.outputs(X).tobytes() == fitted.predictor.outputs(X).tobytes()

    def test_steps_that_cannot_be_are_refused(self, made: FeatureSet) -> None:
        for steps, reason in ((["pca=x"], "pca=x"), (["pca=999"], "999"), (["fold"], "fold")):
            with pytest.raises(ConfigError, match=reason):
                fit(made, prepare=steps)


class TestLeaks:
    """Nothing but train decides the weights, and nothing of test decides anything."""

    HEADS = ("logistic", "ridge", "knn", "centroid", "svm", "linear", "mlp", "residual")
    TORCH = ("linear", "mlp", "residual")

    @pytest.mark.parametrize("head", HEADS)
    def test_other_test_rows_change_nothing_but_the_figures_on_test(self, tmp_path: Path, head: str) -> None:
        X, y = clouds(N, apart=3)
        splits = np.array(thirds(N))
        other = X.copy()
        other[splits == "test"] = 1e3 * np.random.default_rng(1).normal(size=((splits == "test").sum(), 16))
        shuffled = y.copy()
        shuffled[splits == "test"] = 0
        found = [
            fit(
                make_set(tmp_path / name, features, {"kind": classes(labels)}), head,
                params=QUICK if head in self.TORCH else {}, prepare=["whiten=6"],
            )
            for name, features, labels in (("one", X, y), ("two", other, shuffled))
        ]  # fmt: skip
        one, two = found
        assert weights_of(one) == weights_of(two)
        assert one.predictor.temperature == two.predictor.temperature
        for split in ("train", "validation"):
            assert one.report["metrics"][split] == two.report["metrics"][split]
        assert one.report["metrics"]["test"] != two.report["metrics"]["test"]
        np.testing.assert_array_equal(one.predictor.prepared(X), two.predictor.prepared(X))

    def test_a_sweep_chooses_without_test(self, tmp_path: Path) -> None:
        X, y = clouds(N, apart=3)
        splits = np.array(thirds(N))
        wrong = np.where(splits == "test", (y + 1) % 3, y)
        reports = [
            report_of(
                make_set(tmp_path / name, X, {"kind": classes(labels)}), "linear", params=QUICK,
                sweep={"lr": [1e-4, 1e-3, 1e-2]},
            )
            for name, labels in (("one", y), ("two", wrong))
        ]  # fmt: skip
        one, two = (
            {**r["sweep"], "trials": [{**t, "seconds": 0} for t in r["sweep"]["trials"]]} for r in reports
        )
        assert one == two

    @pytest.mark.parametrize("head", HEADS)
    def test_shuffled_labels_give_chance(self, cache_root: Path, head: str) -> None:
        X, y = clouds(1200, apart=8)
        shuffled = np.random.default_rng(0).permutation(y)
        report = report_of(
            make_set(cache_root, X, {"kind": classes(shuffled)}),
            head,
            params=QUICK if head in self.TORCH else {},
        )
        assert report["metrics"]["test"]["accuracy"] == pytest.approx(1 / 3, abs=0.12)  # four deviations

    @pytest.mark.parametrize("head", HEADS)
    def test_other_class_names_are_other_names_and_nothing_else(self, tmp_path: Path, head: str) -> None:
        X, y = clouds(N, apart=3)
        params = QUICK if head in self.TORCH else {}
        plain = fit(make_set(tmp_path / "a", X, {"kind": [f"{c}" for c in y]}), head, params=params)
        renamed = {"0": "z", "1": "m", "2": "a"}  # in another order
        other = fit(make_set(tmp_path / "b", X, {"kind": [renamed[str(c)] for c in y]}), head, params=params)
        P = plain.predictor.outputs(X)
        Q = other.predictor.outputs(X)[
            :, [other.predictor.classes.index(renamed[c]) for c in plain.predictor.classes]
        ]
        np.testing.assert_allclose(P, Q, atol=2e-3)

    def test_the_logistic_head_is_scikit_learns(self, made: FeatureSet) -> None:
        X, y = clouds(N, apart=3)
        train = np.array(thirds(N)) == "train"
        test = np.array(thirds(N)) == "test"
        scaler = StandardScaler().fit(X[train])
        model = LogisticRegression(C=0.3, tol=1e-8, max_iter=1000).fit(scaler.transform(X[train]), y[train])
        report = report_of(made, "logistic", params={"C": 0.3}, calibrate=False)
        expected = model.score(scaler.transform(X[test]), y[test])
        assert report["metrics"]["test"]["accuracy"] == pytest.approx(expected, abs=1e-9)


def test_the_record_holds_all_that_a_reviewer_asks(made: FeatureSet, tmp_path: Path) -> None:
    record = fit(made, "logistic")
    record.save(tmp_path / "run")
    test = record.report["metrics"]["test"]
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "log_loss", "brier"):
        if name in test.get("no_interval", {}):
            assert test["intervals"][name] is None
        else:
            low, high = test["intervals"][name]
            assert low <= test[name] <= high, name
    plots = {path.name for path in (tmp_path / "run" / "plots").iterdir()}
    assert {f"{name}.png" for name in ("confusion", "roc", "precision-recall", "reliability")} <= plots
    assert {Path(name).suffix for name in plots} == {".png"}
    assert record.report["errors"]["mistakes"][0].keys() >= {
        "id",
        "label",
        "prediction",
        "confidence",
        "input",
    }


def test_trackers_are_told_of_epochs_trials_and_the_end(
    made: FeatureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_tracker_of_a_test.py").write_text(
        "TOLD = []\n"
        "class Tracker:\n"
        "    def start(self, config, name): TOLD.append(('start', name))\n"
        "    def log(self, step, values): TOLD.append(('log', step, dict(values)))\n"
        "    def finish(self, report, files=()):\n"
        "        TOLD.append(('finish', report and report['task'], [f.name for f in files if f.stat().st_size]))\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    from importlib import import_module

    told = import_module("own_tracker_of_a_test").TOLD
    track = ["py:own_tracker_of_a_test:Tracker"]
    fit(made, "linear", params=QUICK, track=track, sweep={"lr": [1e-3, 1e-2]})
    assert told[0] == ("start", "made-linear")
    assert [entry[1] for entry in told if entry[0] == "log" and "train_loss" in entry[2]] == [1, 2, 3, 4, 5]
    assert [entry[2]["sweep/lr"] for entry in told if entry[0] == "log" and "sweep/lr" in entry[2]] == [
        1e-3,
        1e-2,
    ]
    assert told[-1][:2] == ("finish", "single")
    assert "confusion.png" in told[-1][2]
    told.clear()
    with pytest.raises(ConfigError):
        fit(made, "linear", params=QUICK, track=track, tap="nowhere")
    assert told[-1] == ("finish", None, [])
