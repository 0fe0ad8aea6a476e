"""One run with a head for each of several labels: what each would be alone, put together and taken apart again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import headstart as hs
from headstart.cache.sets import FeatureSet
from headstart.config import FitConfig
from headstart.errors import ConfigError, DataError, StorageError
from headstart.fitting.data import LabelReader
from headstart.fitting.head_training import LabelJob, forget_states
from headstart.fitting.stage import fit_head
from headstart.heads.logistic import LogisticHead
from headstart.registry.run import Metric, Run
from headstart.training.checkpoint import Checkpoint

from ..made_sets import clouds, make_set, thirds
from .test_fit_head import Said

N = 300
KINDS = {"tags, all": "multi", "size: cm": "regression"}
LABELS = ["kind", "tags, all", "size: cm", "side"]


def columns_of(X: Any, y: Any) -> dict[str, list[Any]]:
    """Labels of three kinds, of which one is missing here and there; names with commas and colons."""
    codes = y.tolist()
    return {
        "kind": [f"class {code}" for code in codes],
        "tags, all": [["x: 1"] * (code == 0) + ["y"] * (code != 1) for code in codes],
        "size: cm": (2 * X[:, 0] + 0.1 * np.random.default_rng(0).normal(size=len(X))).tolist(),
        "side": [
            None if row % 7 == 0 else "left" if value > 0 else "right" for row, value in enumerate(X[:, 1])
        ],
    }


@pytest.fixture
def made(cache_root: Path) -> FeatureSet:
    X, y = clouds(N, apart=3)
    return make_set(cache_root, X, columns_of(X, y), kinds=KINDS)


def fit(features: FeatureSet, head: str = "ridge", said: Said | None = None, **options: Any) -> Run:
    config = FitConfig(
        set=features.name,
        cache=str(features.cache),
        head=head,
        **{"plots": "none", "label": "all", **options},
    )
    return fit_head(config, said or Said())


def tensors_of(run: Run) -> dict[str, Any]:
    return dict(run.predictor.head.tensors())


QUICK = {"epochs": 6, "batch_size": 64}


@pytest.mark.parametrize(
    ("head", "options"),
    [
        ("ridge", {}),
        ("ridge", {"prepare": ["standardise", "pca=8"], "refit": True}),
        ("ridge", {"sweep": {"alpha": [1.0, 100.0]}, "seeds": 2}),
        ("ridge", {"params": {"scaling": "none", "alpha": 3.0}}),
        ("knn", {"calibrate": False}),
        ("svm", {}),
        ("linear", {"params": QUICK}),
        ("mlp", {"params": {**QUICK, "width": 16}}),
    ],
)
def test_each_head_is_what_it_would_be_alone(made: FeatureSet, head: str, options: dict[str, Any]) -> None:
    """Its tensors bit for bit, its figures, its predictions: whatever is shared changes nothing."""
    run = fit(made, head, **options)
    assert run.label_names == LABELS
    for label in LABELS:
        alone, part = fit(made, head, label=label, **options), run.of(label)
        expected = tensors_of(alone)
        assert {name: part.tobytes() for name, part in tensors_of(part).items()} == {
            name: tensor.tobytes() for name, tensor in expected.items()
        }
        assert part.report["metrics"] == alone.report["metrics"]
        assert part.labels == alone.labels
        for split in ("train", "validation", "test"):
            assert part.predictions_of(split).equals(alone.predictions_of(split))


def test_few_samples_of_many_features_are_shared_as_well(cache_root: Path) -> None:
    """Ridge by the kernel instead of the Gram matrix."""
    X = np.random.default_rng(1).normal(size=(60, 90)).astype(np.float32)
    labels = {"a": [f"c{row % 3}" for row in range(60)], "b": X[:, 0].tolist()}
    wide = make_set(cache_root, X, labels, kinds={"b": "regression"})
    run = fit(wide)
    for label in ("a", "b"):
        alone = fit(wide, label=label)
        np.testing.assert_array_equal(tensors_of(run.of(label))["coef"], tensors_of(alone)["coef"])


def test_features_are_read_once_and_shared_by_labels_of_the_same_samples(made: FeatureSet) -> None:
    reader = LabelReader(made, LABELS)
    read = {
        label: reader.splits([(None, None)], label, LogisticHead, lambda: False)["train"] for label in LABELS
    }
    assert read["kind"].X is read["size: cm"].X is read["tags, all"].X
    assert len(read["side"]) < len(read["kind"])
    ids = read["side"].table.column("id").to_pylist()
    assert not [name for name in ids if int(name[1:]) % 7 == 0]
    np.testing.assert_array_equal(read["side"].X, made.rows("train", label="side").labelled().X)


def test_a_report_has_metrics_by_split_label_and_name(made: FeatureSet) -> None:
    run = fit(made)
    metrics = run.report["metrics"]
    assert list(metrics) == ["train", "validation", "test"]
    assert list(metrics["test"]) == LABELS
    assert metrics["test"]["side"]["n"] < metrics["test"]["kind"]["n"]
    assert run.value(Metric("test", "size: cm.r2")) == metrics["test"]["size: cm"]["r2"]
    assert run.value(Metric("test", "kind.per_class.class 1.f1")) is not None
    assert run.interval(Metric("test", "kind.accuracy")) == tuple(
        metrics["test"]["kind"]["intervals"]["accuracy"]
    )
    assert run.value(Metric("test", "accuracy")) is None
    assert run.of("kind").value(Metric("test", "kind.accuracy")) == metrics["test"]["kind"]["accuracy"]
    cost = run.report["cost"]
    assert cost["feature_bytes"] == 4 * 16 * N  # once, and not for each label
    assert cost["parameters"] == sum(run.of(label).report["cost"]["parameters"] for label in LABELS)


def test_predictions_have_columns_by_label_and_nulls_where_a_sample_lacks_it(
    made: FeatureSet, tmp_path: Path
) -> None:
    fit(made).save(tmp_path / "run")
    table = pq.read_table(tmp_path / "run" / "predictions.parquet")
    assert table.column_names == [
        "id", "key", "split",
        "label:kind", "prediction:kind", "p:kind:class 0", "p:kind:class 1", "p:kind:class 2",
        "label:tags, all", "prediction:tags, all", "p:tags, all:x: 1", "p:tags, all:y",
        "label:size: cm", "prediction:size: cm",
        "label:side", "prediction:side", "p:side:left", "p:side:right",
    ]  # fmt: skip
    assert table.num_rows == N
    lacking = [row for row in table.to_pylist() if int(row["id"][1:]) % 7 == 0]
    assert {row["prediction:side"] for row in lacking} == {row["label:side"] for row in lacking} == {None}
    assert all(row["prediction:kind"] for row in lacking)
    splits = table.column("split").to_pylist()
    assert splits == sorted(splits, key=["train", "validation", "test"].index)


@pytest.mark.parametrize("options", [{}, {"head": "mlp", "shared_trunk": True, "params": QUICK}])
def test_a_run_that_was_saved_is_the_run(made: FeatureSet, tmp_path: Path, options: dict[str, Any]) -> None:
    run = fit(made, **options)
    run.save(tmp_path / "run")
    again, X = hs.load_run(tmp_path / "run"), made.rows("test").X
    assert again.label_names == LABELS
    assert again.report == run.report
    assert repr(again) == repr(run)
    assert "size: cm" in again._repr_html_()
    for label in LABELS:
        mine, theirs = run.of(label), again.of(label)
        assert theirs.predictor.outputs(X).tobytes() == mine.predictor.outputs(X).tobytes()
        assert theirs.report == mine.report
        assert theirs.labels == mine.labels
        assert theirs.predictions_of("test").equals(mine.predictions_of("test"))
    card = (tmp_path / "run" / "README.md").read_text()
    assert "the number `size: cm`" in card
    assert "## side" in card


def test_a_part_of_a_run_in_memory_is_a_run_that_can_be_saved(made: FeatureSet, tmp_path: Path) -> None:
    part = fit(made).of("kind")
    part.save(tmp_path / "kind")
    alone = hs.load_run(tmp_path / "kind")
    assert alone.label_names == ["kind"]
    assert alone.of("kind") is alone
    assert "label: kind" in (tmp_path / "kind" / "config.yaml").read_text()


def test_what_asks_for_the_label_of_several_is_refused_in_one_way(made: FeatureSet, tmp_path: Path) -> None:
    run = fit(made)
    run.save(tmp_path / "run")
    for each in (run, hs.load_run(tmp_path / "run")):
        for ask in ("predictor", "head", "task"):
            with pytest.raises(ConfigError, match=r"predicts several labels, 'kind', .*--label"):
                getattr(each, ask)
        with pytest.raises(ConfigError, match="does not predict 'kin'; did you mean 'kind'"):
            each.of("kin")


def test_a_config_repeats_a_run(made: FeatureSet, tmp_path: Path) -> None:
    run = fit(made, label=["size: cm", "kind"])
    run.save(tmp_path / "run")
    config = FitConfig.load(tmp_path / "run" / "config.yaml", {"cache": str(made.cache)})
    assert config.label == ["size: cm", "kind"]
    again = fit_head(config, Said())
    assert again.report["metrics"] == run.report["metrics"]


class TestNames:
    """What ``label`` means."""

    def test_names_may_have_commas_in_them(self, made: FeatureSet) -> None:
        assert fit(made, label="kind,side").label_names == ["kind", "side"]
        assert fit(made, label="tags, all").label_names == ["tags, all"]
        assert fit(made, label=["tags, all", "side, kind"]).label_names == ["tags, all", "side", "kind"]

    @pytest.mark.parametrize(
        ("label", "says"),
        [
            ("kind,sied", "has no label 'sied'; did you mean 'side'"),
            ("kind,kind", "'kind' is named twice"),
            (["kind", "side,kind"], "'kind' is named twice"),
            (",", "has no label ','"),
        ],
    )
    def test_what_is_no_name_is_refused(self, made: FeatureSet, label: Any, says: str) -> None:
        with pytest.raises(ConfigError, match=says):
            fit(made, label=label)

    def test_a_column_called_all_is_that_column(self, cache_root: Path) -> None:
        X, y = clouds(60)
        named = make_set(cache_root, X, {"all": [f"c{c}" for c in y], "b": [f"c{c}" for c in y]})
        assert fit(named).label_names == ["all"]

    def test_columns_of_predictions_that_would_be_one_are_refused(self, cache_root: Path) -> None:
        X, y = clouds(60)
        labels = {"a": [f"b:{c}" for c in y], "a:b": [str(c) for c in y]}
        with pytest.raises(DataError, match=r"'a' and 'a:b' would both have a column 'p:a:b:0'"):
            fit(make_set(cache_root, X, labels))

    def test_a_label_whose_name_begins_another_is_not_taken_for_it(self, cache_root: Path) -> None:
        X, y = clouds(60)
        labels = {"a": [f"c{c}" for c in y], "a:b": [f"d{c}" for c in y], "b": [f"a:{c}" for c in y]}
        run = fit(make_set(cache_root, X, labels))
        for label in labels:
            table = run.of(label).predictions_of("test")
            assert [name for name in table.column_names if ":" in name and name[:2] != "p:"] == []
            assert len([name for name in table.column_names if name.startswith("p:")]) == 3


class TestWhatCannotBeLearnt:
    """Labels of one class, labels without samples, and heads that are for other labels."""

    @pytest.fixture
    def odd(self, cache_root: Path) -> FeatureSet:
        X, y = clouds(60)
        labels = {
            "kind": [f"c{c}" for c in y],
            "same": ["only"] * 60,
            "none": [None if split == "train" else "x" for split in thirds(60)],
            "flat": [1.5] * 60,
        }
        return make_set(cache_root, X, labels, kinds={"flat": "regression"})

    def test_of_all_labels_those_are_left_out_by_name(self, odd: FeatureSet) -> None:
        said = Said()
        run = fit(odd, said=said)
        assert run.label_names == ["kind", "flat"]
        left_out = [line for line in said.lines if "is left out" in line]
        assert [line.split("'")[1] for line in left_out] == ["same", "none"]

    def test_one_that_was_named_is_refused(self, odd: FeatureSet) -> None:
        with pytest.raises(DataError, match="same"):
            fit(odd, label="kind,same")
        with pytest.raises(DataError, match="no train sample with a label in 'none'"):
            fit(odd, label="kind,none")

    def test_where_none_is_left_it_says_why(self, cache_root: Path) -> None:
        X, _ = clouds(30)
        with pytest.raises(DataError, match="'only'"):
            fit(make_set(cache_root, X, {"a": ["only"] * 30, "b": ["one"] * 30}))

    def test_a_number_that_is_always_the_same_is_predicted_as_it_is(self, odd: FeatureSet) -> None:
        part = fit(odd, label="kind,flat").of("flat")
        np.testing.assert_allclose(part.predictor.outputs(odd.rows("test").X), 1.5, atol=1e-6)

    def test_a_logistic_head_leaves_numbers_to_ridge_and_others_are_refused(self, made: FeatureSet) -> None:
        said = Said()
        run = fit(made, "logistic", said)
        assert run.of("kind").head_name == "logistic"
        assert run.of("size: cm").head_name == "ridge"
        assert run.head_name == "logistic + ridge"
        assert [line for line in said.lines if "'size: cm': a logistic head is not for it" in line]
        with pytest.raises(ConfigError, match=r"^label 'tags, all': the head 'centroid' is not for several"):
            fit(made, "centroid")
        with pytest.raises(ConfigError, match=r"^the head 'logistic' is not for numbers"):
            fit(made, "logistic", label="size: cm")


def test_taps_are_not_swept_over_for_several_labels(made: FeatureSet) -> None:
    with pytest.raises(ConfigError, match=r"--sweep tap=… chooses the features by one label"):
        fit(made, sweep={"tap": ["last.mean"]})


def test_sweeps_folds_and_curves_are_of_each_label(made: FeatureSet) -> None:
    run = fit(made, label="kind,side", sweep={"alpha": [1e-3, 1e3]}, folds=3, curve=[20, 50])
    for label in ("kind", "side"):
        alone = fit(made, label=label, sweep={"alpha": [1e-3, 1e3]}, folds=3, curve=[20, 50])
        part = run.of(label).report
        assert part["sweep"]["best"] == alone.report["sweep"]["best"]
        assert [row["values"] for row in part["curve"]] == [row["values"] for row in alone.report["curve"]]


def test_trainings_of_several_labels_keep_a_state_each(
    made: FeatureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoint, "is_due", True)
    folder = tmp_path / "runs"
    folder.mkdir()
    state = folder / ".run[1].training"
    config = FitConfig(
        set=made.name, cache=str(made.cache), head="linear", label="kind,side", plots="none", params=QUICK
    )
    run = fit_head(config, Said(), state)
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == [".run[1].training", ".run[1].training-1"]
    said = Said()
    again = fit_head(config, said, state)
    assert len([line for line in said.lines if "taking up a training" in line]) == 2
    assert again.report["metrics"] == run.report["metrics"]
    forget_states(state)
    assert list(folder.iterdir()) == []


def test_damage_is_named(made: FeatureSet, tmp_path: Path) -> None:
    place = fit(made, "mlp", shared_trunk=True, params=QUICK).save(tmp_path / "run")
    (place / "model" / "trunk" / "head.safetensors").write_bytes(b"x")
    with pytest.raises(StorageError, match=r"trunk/head\.safetensors is not"):
        hs.load_run(place).of("kind").predictor  # noqa: B018
    other = fit(made).save(tmp_path / "other")
    (other / "model" / "1" / "head.json").unlink()
    with pytest.raises(StorageError, match=r"1/head\.json"):
        hs.load_run(other).of("kind").predictor  # noqa: B018
    (other / "predictions.parquet").unlink()
    with pytest.raises(StorageError, match=r"has no predictions\.parquet"):
        hs.load_run(other).of("kind").predictions_of("test")


def test_trackers_are_told_of_each_label(made: FeatureSet) -> None:
    from headstart.tracking.tracker import figures_of

    figures = figures_of(fit(made).report)
    assert figures["test/kind/accuracy"] == fit(made, label="kind").report["metrics"]["test"]["accuracy"]
    assert "test/size- cm/r2" in figures


def test_heads_of_one_run_read_the_same_features(made: FeatureSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels of words and labels of whole texts, say, have no features in common."""
    reads = iter(["one vector a sample, last.mean of a", "all vectors a sample, last.words of a"] * 2)
    monkeypatch.setattr(LabelJob, "reads", property(lambda _: next(reads)))
    with pytest.raises(ConfigError, match=r"'kind' is learnt from .*last\.words.* fit them one by one"):
        fit(made, label="kind,side")
