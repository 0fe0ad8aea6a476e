"""fit-head with a teacher: opinions by key, unlabelled samples, leaks, folds, and whoever does not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache
from headstart.errors import ConfigError, DataError, MismatchError
from headstart.fitting.stage import fit_head
from headstart.registry.run import Run

from ..made_sets import make_set, thirds
from .conftest import LARGE, QUICK, SMALL, N, Said, classes, fit, matrices

Saved = Callable[..., Path]


def lesson_of(run: Run) -> dict[str, Any]:
    return dict(run.report["distillation"])


def probabilities(run: Run, split: str = "test") -> np.ndarray:
    table = run.predictions_of(split)
    names = [name for name in table.column_names if name.startswith("p:")]
    return np.stack([table.column(name).to_numpy() for name in names], axis=1)


def half_labelled(cache_root: Path, name: str = "half") -> FeatureSet:
    """The same samples as ``made``; of the train samples all but 12 have no label."""
    X, y = matrices()
    splits = thirds(N)
    train = [row for row in range(N) if splits[row] == "train"]
    hidden = set(train[12:])
    labels = [None if row in hidden else label for row, label in enumerate(classes(y))]
    return make_set(cache_root, X, {"kind": labels}, name=name)


class TestLearning:
    """What a student has of its teacher."""

    def test_a_student_believes_its_teacher(self, made: FeatureSet, saved: Saved, cache_root: Path) -> None:
        """Labels of the train samples are noise; the teacher has learnt better ones."""
        X, y = matrices()
        train = np.array(thirds(N)) == "train"
        noise = np.where(train, np.random.default_rng(0).integers(3, size=N), y)
        noisy = make_set(cache_root, X, {"kind": classes(noise)}, name="noisy")
        params, path = {**QUICK, "epochs": 40}, saved(made)
        alone, half, taught = (
            fit(noisy, params=params, **options)
            for options in ({}, {"teacher": path}, {"teacher": path, "distill_alpha": 1.0})
        )
        accuracies = [run.report["metrics"]["test"]["accuracy"] for run in (alone, half, taught)]
        assert accuracies[0] < 0.6 < accuracies[1] <= accuracies[2]
        assert accuracies[2] > 0.85
        said = lesson_of(taught)
        assert said["n_train"] == 180
        assert (said["n_unlabelled"], said["n_overlap"], said["folds"]) == (0, 180, None)
        assert (said["temperature"], said["alpha"]) == (2.0, 1.0)
        assert "distillation" not in alone.report

    def test_samples_without_a_label_take_part(
        self, made: FeatureSet, saved: Saved, cache_root: Path
    ) -> None:
        few = half_labelled(cache_root)
        params = {**QUICK, "epochs": 40}
        alone = fit(few, params=params)
        taught = fit(few, teacher=saved(made), params=params)
        said = lesson_of(taught)
        assert (said["n_train"], said["n_unlabelled"]) == (12, 168)
        assert taught.report["data"]["n_train"] == 12
        better = [run.report["metrics"]["test"]["accuracy"] for run in (taught, alone)]
        assert better[0] > better[1] + 0.05

    def test_without_a_weight_samples_without_a_label_change_nothing(
        self, made: FeatureSet, saved: Saved, cache_root: Path
    ) -> None:
        """But for the scale of features, which is learnt of all samples."""
        few = half_labelled(cache_root)
        params = {**QUICK, "scaling": "none", "batch_size": 180, "epochs": 1, "warmup_share": 0.0}
        params |= {"optimizer": "sgd", "momentum": 0.0, "clip_norm": 1e9, "weight_decay": 0.0}
        alone = fit(few, params={**params, "batch_size": 12, "lr": 0.01}, calibrate=False)
        taught = fit(
            few, teacher=saved(made), distill_alpha=0.0, params={**params, "lr": 0.15}, calibrate=False
        )
        # The mean is over 180 rows instead of 12, which a rate 15 times as large makes good.
        weights = [run.predictor.head.tensors()["output.weight"] for run in (alone, taught)]
        assert np.allclose(weights[0], weights[1], atol=1e-5)

    @pytest.mark.parametrize("head", ["mlp", "residual"])
    def test_other_heads_learn_too(self, made: FeatureSet, saved: Saved, head: str) -> None:
        run = fit(made, head, teacher=saved(made), params={"epochs": 5, "width": 16})
        assert run.report["metrics"]["test"]["accuracy"] > 0.5
        assert lesson_of(run)["n_overlap"] == 180

    def test_a_head_that_attends_learns_too(self, made: FeatureSet, saved: Saved, cache_root: Path) -> None:
        X, y = matrices()
        labels = [None if row % 3 == 0 and split == "train" else name
                  for row, (split, name) in enumerate(zip(thirds(N), classes(y), strict=True))]  # fmt: skip
        some = make_set(cache_root, {**X, "py:third:backbone": X[SMALL]}, {"kind": labels}, name="some")
        run = fit(
            some, "attention", backbone=[SMALL, "py:third:backbone"], teacher=saved(made),  # type: ignore[arg-type]
            params={"epochs": 3, "width": 16},
        )  # fmt: skip
        assert lesson_of(run)["n_unlabelled"] == 60
        assert run.report["metrics"]["test"]["accuracy"] > 0.4

    def test_features_that_stay_on_disk(self, made: FeatureSet, saved: Saved, cache_root: Path) -> None:
        few, path = half_labelled(cache_root), saved(made)
        mapped = fit(few, teacher=path, mapped=True)
        in_memory = fit(few, teacher=path, mapped=False)
        assert lesson_of(mapped) == lesson_of(in_memory)
        assert np.allclose(probabilities(mapped), probabilities(in_memory), atol=1e-4)

    def test_several_labels_a_sample(self, cache_root: Path, saved: Saved) -> None:
        X, y = matrices()
        labels = [[f"l{c}"] + (["even"] if c % 2 == 0 else []) for c in y]
        several = make_set(cache_root, X, {"kinds": labels}, kinds={"kinds": "multi"}, name="several")
        path = saved(several, "linear")
        run = fit(several, teacher=path, distill_alpha=1.0, params={**QUICK, "epochs": 40})
        assert run.report["metrics"]["test"]["micro_f1"] > 0.7
        agreed = (probabilities(run, "train") > 0.5) == (probabilities(Run.load(path), "train") > 0.5)
        assert agreed.mean() > 0.85

    def test_numbers(self, cache_root: Path, saved: Saved) -> None:
        X, _ = matrices()
        y = X[LARGE][:, 0] * 100 + 500
        splits = thirds(N)
        shown = [None if row % 2 and splits[row] == "train" else float(v) for row, v in enumerate(y)]
        some = make_set(cache_root, X, {"size": shown}, kinds={"size": "regression"}, name="some")
        whole = make_set(
            cache_root, X, {"size": [float(v) for v in y]}, kinds={"size": "regression"}, name="whole"
        )
        path = saved(whole, "ridge")
        params = {**QUICK, "epochs": 60, "weight_decay": 0.0}
        taught, alone = fit(some, teacher=path, params=params), fit(some, params=params)
        assert lesson_of(taught)["n_unlabelled"] == 90
        r2 = [run.report["metrics"]["test"]["r2"] for run in (taught, alone)]
        assert r2[0] > r2[1] - 0.02
        assert 300 < taught.predictions_of("test").column("prediction").to_numpy().mean() < 700


class TestOpinions:
    """Computed once, by key, in a space whose recipe names the teacher."""

    def test_they_are_kept(self, made: FeatureSet, saved: Saved) -> None:
        path = saved(made)
        first, said = Said(), Said()
        one = fit(made, said=first, teacher=path)
        [space_id] = lesson_of(one)["spaces"]
        space = Cache(made.cache).open_space(space_id)
        assert len(space) == 180
        assert space.recipe.entries["teacher"] == {
            "digest": lesson_of(one)["digest"], "task": "single",
            "classes": ["class 0", "class 1", "class 2"],
        }  # fmt: skip
        shards = space.shard_names()
        two = fit(made, said=said, teacher=path, distill_alpha=0.9)
        assert "asking the teacher" in first.text
        assert "asking the teacher" not in said.text
        assert lesson_of(two)["spaces"] == [space_id]
        assert space.shard_names() == shards

    def test_they_are_met_by_key(self, made: FeatureSet, saved: Saved, cache_root: Path) -> None:
        """A set of the same samples in another order, under other ids."""
        path = saved(made)
        X, y = matrices()
        order = np.random.default_rng(5).permutation(N)
        splits = thirds(N)
        other = make_set(
            cache_root, {name: part[order] for name, part in X.items()}, {"kind": classes(y[order])},
            [splits[row] for row in order], [f"text {row}" for row in order], name="other",
        )  # fmt: skip
        fit(made, teacher=path)
        said = Said()
        fit(other, said=said, teacher=path)
        assert "asking the teacher" not in said.text

    def test_another_teacher_has_another_space(self, made: FeatureSet, saved: Saved) -> None:
        paths = [saved(made), saved(made, "ridge"), saved(made, "logistic", calibrate=False)]
        spaces = {lesson_of(fit(made, teacher=path))["spaces"][0] for path in paths}
        assert len(spaces) == 3

    def test_a_copy_of_a_teacher_is_the_same(self, made: FeatureSet, saved: Saved, tmp_path: Path) -> None:
        path = saved(made)
        copy = shutil.copytree(path, tmp_path / "a copy")
        assert lesson_of(fit(made, teacher=path))["spaces"] == lesson_of(fit(made, teacher=copy))["spaces"]

    def test_what_cannot_be_computed_is_said(self, made: FeatureSet, saved: Saved, cache_root: Path) -> None:
        path = saved(made)
        X, y = matrices(seed=3)
        new = make_set(
            cache_root,
            {SMALL: X[SMALL]},
            {"kind": classes(y)},
            contents=[f"new {i}" for i in range(N)],
            name="new",
        )
        with pytest.raises(
            ConfigError, match=r"the teacher reads py:large:backbone at last.mean, of which the cache lacks"
        ):
            fit(new, teacher=path)


class TestLeaks:
    """What a teacher has seen before."""

    def test_validation_and_test_samples_are_refused_with_their_number(
        self, made: FeatureSet, saved: Saved, cache_root: Path
    ) -> None:
        X, y = matrices()
        resplit = ["validation" if row < 20 else "test" if row < 30 else "train" for row in range(N)]
        other = make_set(cache_root, X, {"kind": classes(y)}, resplit, name="other")
        with pytest.raises(
            MismatchError, match="was trained on 12 validation and 6 test samples of set 'other'"
        ):
            fit(other, teacher=saved(made))

    def test_a_teacher_that_was_refitted_has_seen_validation_too(
        self, made: FeatureSet, saved: Saved
    ) -> None:
        with pytest.raises(MismatchError, match="was trained on 60 validation samples"):
            fit(made, teacher=saved(made, refit=True))

    def test_who_taught_the_teacher_counts(
        self, made: FeatureSet, saved: Saved, cache_root: Path, tmp_path: Path
    ) -> None:
        X, y = matrices()
        splits = thirds(N)
        first = saved(made)
        labels = [name if splits[row] != "train" or row < 40 else None for row, name in enumerate(classes(y))]
        pupil = make_set(cache_root, X, {"kind": labels}, name="pupil")
        second = fit(pupil, teacher=first, backbone=LARGE).save(tmp_path / "second")
        resplit = ["test" if row == 290 else split for row, split in enumerate(splits)]
        assert splits[290] == "train"  # without a label in `pupil`
        third = make_set(cache_root, X, {"kind": classes(y)}, resplit, name="third")
        with pytest.raises(MismatchError, match="was trained on 1 test samples"):
            fit(third, teacher=second)

    def test_it_is_said_that_it_saw_the_training_samples(self, made: FeatureSet, saved: Saved) -> None:
        said = Said()
        fit(made, said=said, teacher=saved(made))
        assert "it was trained on 180 of them" in said.text
        assert "--teacher-folds" in said.text

    def test_opinions_from_folds_are_of_heads_that_did_not_see_the_sample(
        self, cache_root: Path, saved: Saved
    ) -> None:
        """Labels without any pattern: a nearest neighbour is sure of its own samples, and guesses of others."""
        X, _ = matrices()
        y = np.random.default_rng(0).integers(2, size=N)
        noise = make_set(cache_root, X, {"kind": classes(y)}, name="noise")
        path = saved(noise, "knn", params={"k": 1}, calibrate=False)
        plain, folded = fit(noise, teacher=path), fit(noise, teacher=path, teacher_folds=4)
        assert (lesson_of(plain)["folds"], lesson_of(folded)["folds"]) == (None, 4)
        cache = Cache(noise.cache)
        table = noise.samples.filter(pc.equal(noise.samples.column("split"), "train"))
        keys = np.frombuffer(b"".join(table.column("key").to_pylist()), np.uint8).reshape(-1, 16)
        labels = np.array([int(name[-1]) for name in table.column("label:kind").to_pylist()])

        def agreement(space: str) -> float:
            return float((cache.open_space(space).gather(keys).values.argmax(1) == labels).mean())

        assert agreement(lesson_of(plain)["spaces"][0]) == 1.0
        of_folds = cache.open_space(lesson_of(folded)["spaces"][1])
        assert of_folds.recipe.entries["teacher"]["folds"]["n"] == 4
        assert 0.3 < agreement(of_folds.id) < 0.7
        said = Said()
        shards = of_folds.shard_names()
        fit(noise, said=said, teacher=path, teacher_folds=4)
        assert of_folds.shard_names() == shards
        assert "come from 4 folds" in said.text

    def test_samples_that_it_did_not_see_need_no_folds(
        self, made: FeatureSet, saved: Saved, cache_root: Path
    ) -> None:
        few = half_labelled(cache_root)
        said = Said()
        run = fit(few, said=said, teacher=saved(few), teacher_folds=3)
        assert lesson_of(run)["n_overlap"] == 12
        cache = Cache(few.cache)
        assert [len(cache.open_space(space)) for space in lesson_of(run)["spaces"]] == [168, 12]

    def test_folds_of_prepared_features(self, made: FeatureSet, saved: Saved) -> None:
        path = saved(made, "linear", prepare=["standardise", "pca=4"])
        run = fit(made, teacher=path, teacher_folds=3)
        assert run.report["metrics"]["test"]["accuracy"] > 0.5


class TestRefusals:
    """Whoever does not fit is told in a line."""

    def test_heads_that_learn_from_labels_alone(self, made: FeatureSet, saved: Saved) -> None:
        with pytest.raises(ConfigError, match=r"a logistic head is fitted on labels alone.*--head linear"):
            fit(made, "logistic", teacher=saved(made))
        with pytest.raises(ConfigError, match="a ridge head is fitted on labels alone"):
            fit(made, sweep={"head": ["linear", "ridge"]}, teacher=saved(made), params={})

    @pytest.mark.parametrize(
        "option", [{"distill_alpha": 0.9}, {"distill_temperature": 3}, {"teacher_folds": 5}]
    )
    def test_options_without_a_teacher(self, made: FeatureSet, option: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match="goes with --teacher; say"):
            fit(made, **option)

    def test_other_classes(self, made: FeatureSet, saved: Saved, cache_root: Path) -> None:
        path = saved(made)
        X, y = matrices()
        renamed = make_set(cache_root, X, {"kind": [f"klass {c}" for c in y]}, name="renamed")
        with pytest.raises(
            MismatchError, match=r"has other classes than 'kind': 'class 0', 'class 1'.*klass 0"
        ):
            fit(renamed, teacher=path)
        names = [*classes(y[:-1]), "class 9"]
        more = make_set(cache_root, X, {"kind": names}, [*thirds(N)[:-1], "train"], name="more")
        with pytest.raises(MismatchError, match="it does not know 'class 9', which train samples have"):
            fit(more, teacher=path)

    def test_another_task(self, made: FeatureSet, saved: Saved, cache_root: Path) -> None:
        X, y = matrices()
        sizes = make_set(
            cache_root, X, {"size": [float(v) for v in y]}, kinds={"size": "regression"}, name="sizes"
        )
        with pytest.raises(MismatchError, match="predicts one label a sample, and 'size' is numbers"):
            fit(sizes, teacher=saved(made))

    def test_no_such_run(self, made: FeatureSet, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="neither a run directory nor a table"):
            fit(made, teacher=tmp_path / "nothing")
        (tmp_path / "empty").mkdir()
        with pytest.raises(DataError, match="is not a run directory"):
            fit(made, teacher=tmp_path / "empty")

    def test_folds_of_a_student(self, made: FeatureSet, saved: Saved, tmp_path: Path) -> None:
        second = fit(made, teacher=saved(made), backbone=LARGE).save(tmp_path / "second")
        with pytest.raises(ConfigError, match="was taught itself"):
            fit(made, teacher=second, teacher_folds=3)

    def test_too_many_folds(self, made: FeatureSet, saved: Saved) -> None:
        with pytest.raises(ConfigError, match=r"--teacher-folds must be in \[2, 180\]"):
            fit(made, teacher=saved(made), teacher_folds=181)


class TestTables:
    """A file of what a model says, by the samples' ids."""

    @pytest.fixture
    def said(self, made: FeatureSet, saved: Saved) -> dict[str, Any]:
        table = Run.load(saved(made)).predictions_of("train")
        names = ["id", *(name for name in table.column_names if name.startswith("p:"))]
        return dict(table.select(names).to_pydict())

    def test_it_teaches_as_the_run_does_that_wrote_it(
        self, made: FeatureSet, saved: Saved, said: dict[str, Any], tmp_path: Path
    ) -> None:
        pq.write_table(pa.table(said), tmp_path / "said.parquet")
        pa_csv.write_csv(pa.table(said), tmp_path / "said.csv")
        rows = pa.table(said).to_pylist()
        (tmp_path / "said.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
        by_run = probabilities(fit(made, teacher=saved(made)))
        for name in ("said.parquet", "said.csv", "said.jsonl"):
            run = fit(made, teacher=tmp_path / name)
            assert np.allclose(probabilities(run), by_run, atol=1e-4), name
            lesson = lesson_of(run)
            assert (lesson["method"], lesson["n_overlap"]) == ("table", None)

    def test_logits_do_as_well(self, made: FeatureSet, said: dict[str, Any], tmp_path: Path) -> None:
        pq.write_table(pa.table(said), tmp_path / "p.parquet")
        logits = {name.replace("p:", "logit:"): [float(np.log(v)) + 3 for v in column] if name != "id" else column
                  for name, column in said.items()}  # fmt: skip
        pq.write_table(pa.table(logits), tmp_path / "logits.parquet")
        two = [probabilities(fit(made, teacher=tmp_path / name)) for name in ("p.parquet", "logits.parquet")]
        assert np.allclose(two[0], two[1], atol=1e-4)

    def test_numbers_are_predictions(self, cache_root: Path, tmp_path: Path) -> None:
        X, y = matrices()
        sizes = make_set(
            cache_root, X, {"size": [float(v) for v in y]}, kinds={"size": "regression"}, name="sizes"
        )
        ids = sizes.samples.column("id").to_pylist()
        pq.write_table(
            pa.table({"id": ids, "prediction": [float(v) + 0.5 for v in y]}), tmp_path / "n.parquet"
        )
        params = {**QUICK, "epochs": 100, "patience": 100, "weight_decay": 0.0}
        run = fit(sizes, teacher=tmp_path / "n.parquet", distill_alpha=1.0, params=params, refit=True)
        off = run.predictions_of("train")
        difference = np.mean(off.column("prediction").to_numpy() - off.column("label").to_numpy())
        assert 0.2 < difference < 0.7

    @pytest.mark.parametrize(
        ("column", "first", "message"),
        [
            ("p:class 1", "much", "no number"),
            ("p:class 1", None, "is empty in 1 rows"),
            ("p:class 1", float("inf"), "not finite"),
            ("p:class 1", 1.5, r"outside of \[0, 1\]"),
            ("id", "s1", "has the id 's1' 2 times"),
            ("id", "another", "has no row for 1 of 180 samples, e.g. 's0'"),
        ],
    )
    def test_odd_cells(
        self, made: FeatureSet, said: dict[str, Any], tmp_path: Path, column: str, first: Any, message: str
    ) -> None:
        assert said["id"][:2] == ["s0", "s1"]
        changed = [first, *said[column][1:]]
        values = [None if v is None else str(v) for v in changed]
        pq.write_table(pa.table({**said, column: values}), tmp_path / "bad.parquet")
        with pytest.raises((DataError, MismatchError), match=message):
            fit(made, teacher=tmp_path / "bad.parquet")

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["name", "p:class 0", "p:class 1", "p:class 2"], "has no column 'id'"),
            (["id", "a", "b", "c"], "neither columns 'logit:CLASS' nor 'p:CLASS'"),
            (["id", "p:class 0", "p:class 1", "p:other"], "has other classes"),
            (["id", "p:class 0", "p:class 1", "other"], "does not know 'class 2'"),
        ],
    )
    def test_odd_columns(
        self, made: FeatureSet, said: dict[str, Any], tmp_path: Path, names: list[str], message: str
    ) -> None:
        pq.write_table(pa.table(said).rename_columns(names), tmp_path / "bad.parquet")
        with pytest.raises((DataError, MismatchError), match=message):
            fit(made, teacher=tmp_path / "bad.parquet")

    def test_folds_and_other_files_are_refused(
        self, made: FeatureSet, said: dict[str, Any], tmp_path: Path
    ) -> None:
        pq.write_table(pa.table(said), tmp_path / "said.parquet")
        with pytest.raises(DataError, match="is a table; leave it out"):
            fit(made, teacher=tmp_path / "said.parquet", teacher_folds=3)
        (tmp_path / "said.pkl").write_bytes(b"\x80")
        with pytest.raises(DataError, match="is no table"):
            fit(made, teacher=tmp_path / "said.pkl")


class TestProtocols:
    """Sweeps, folds, refits, seeds, shots and curves with a teacher."""

    def test_a_sweep_gives_what_each_alone_gives(
        self, made: FeatureSet, saved: Saved, cache_root: Path
    ) -> None:
        few, path = half_labelled(cache_root), saved(made)
        swept = fit(few, teacher=path, sweep={"lr": [1e-3, 1e-2]}, params={"epochs": 8, "batch_size": 64})
        for trial in swept.report["sweep"]["trials"]:
            alone = fit(few, teacher=path, params={**QUICK, **trial["params"]})
            validation = alone.report["metrics"]["validation"]["accuracy"]
            assert trial["validation"]["accuracy"]["mean"] == pytest.approx(validation)

    def test_refit_and_folds_ask_about_validation_too(self, made: FeatureSet, saved: Saved) -> None:
        path = saved(made)
        run = fit(made, teacher=path, refit=True, folds=3, sweep={"lr": [1e-2]}, params={"epochs": 5})
        [space] = lesson_of(run)["spaces"]
        assert len(Cache(made.cache).open_space(space)) == 240

    def test_few_shots_with_all_that_has_no_label(
        self, made: FeatureSet, saved: Saved, cache_root: Path
    ) -> None:
        few = half_labelled(cache_root)
        run = fit(few, teacher=saved(made), shots=[1, 2], seeds=2, params={**QUICK, "epochs": 30})
        alone = fit(few, shots=[1, 2], seeds=2, params={**QUICK, "epochs": 30})
        assert [row["n_train"] for row in run.report["shots"]] == [3.0, 6.0]
        means = [each.report["shots"][0]["mean"]["accuracy"] for each in (run, alone)]
        assert means[0] > means[1]

    def test_prepared_features(self, made: FeatureSet, saved: Saved, cache_root: Path) -> None:
        few = half_labelled(cache_root)
        run = fit(few, teacher=saved(made), prepare=["standardise", "pca=4"])
        assert lesson_of(run)["n_unlabelled"] == 168
        assert run.predictor.head.n_features_in_ == 4

    def test_a_training_that_was_cut_off_ends_as_the_whole_one(
        self,
        made: FeatureSet,
        saved: Saved,
        cache_root: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        from headstart.config import FitConfig
        from headstart.training import checkpoint

        few, path = half_labelled(cache_root), saved(made)
        monkeypatch.setattr(checkpoint.Checkpoint, "is_due", True)
        config = FitConfig(
            set=few.name, cache=str(cache_root), head="mlp", backbone=SMALL, teacher=path, plots="none",
            params={"epochs": 6, "width": 16, "batch_size": 32},
        )  # fmt: skip
        whole = fit_head(config, Said())

        class Cut(Said):
            def note(self, figures: str) -> None:
                self.lines.append(figures)
                if len(self.lines) > 6:
                    raise KeyboardInterrupt

        state = tmp_path / "state"
        with pytest.raises(KeyboardInterrupt):
            fit_head(config, Cut(), state)
        assert state.exists()
        said = Said()
        resumed = fit_head(config, said, state)
        assert "taking up a training" in said.text
        for name, tensor in whole.predictor.head.tensors().items():
            assert np.array_equal(tensor, resumed.predictor.head.tensors()[name]), name
        other = Said()
        fit_head(config.model_copy(update={"distill_alpha": 0.9}), other, state)
        assert "taking up a training" not in other.text


class TestTelling:
    """What others read of it."""

    def test_the_card_and_a_comparison_name_the_teacher(
        self, made: FeatureSet, saved: Saved, tmp_path: Path
    ) -> None:
        from headstart.comparison.stage import compare

        path = saved(made)
        student = fit(made, teacher=path).save(tmp_path / "student")
        card = (student / "README.md").read_text("utf-8")
        assert f"Taught by `{path}` (logistic on `{LARGE}` at `last.mean`) at temperature 2" in card
        assert "it was trained on 180 of the samples, not by folds" in card
        notes = compare([path, student], str(made.cache)).notes
        assert f"student was taught by {path}" in notes

    def test_the_configuration_repeats_the_run(self, made: FeatureSet, saved: Saved, tmp_path: Path) -> None:
        from headstart.config import FitConfig

        student = fit(made, teacher=saved(made), distill_alpha=0.8).save(tmp_path / "student")
        config = FitConfig.load(student / "config.yaml", {"cache": str(made.cache)})
        assert config.distill_alpha == 0.8
        again = fit_head(config, Said())
        assert np.array_equal(probabilities(again), probabilities(Run.load(student)))

    def test_a_run_without_a_teacher_says_nothing_of_one(self, made: FeatureSet, tmp_path: Path) -> None:
        plain = fit(made).save(tmp_path / "plain")
        assert "\nteacher" not in (plain / "config.yaml").read_text("utf-8")
        assert "distill" not in (plain / "config.yaml").read_text("utf-8")
        assert "Taught" not in (plain / "README.md").read_text("utf-8")


class TestOtherChoices:
    """Views, taps and several labels, with samples that have none."""

    def test_several_labels_without_a_label(self, cache_root: Path, saved: Saved) -> None:
        X, y = matrices()
        splits = thirds(N)
        labels = [[f"l{c}"] + (["even"] if c % 2 == 0 else []) for c in y]
        whole = make_set(cache_root, X, {"kinds": labels}, kinds={"kinds": "multi"}, name="whole")
        some = [None if splits[row] == "train" and row > 40 else names for row, names in enumerate(labels)]
        few = make_set(cache_root, X, {"kinds": some}, kinds={"kinds": "multi"}, name="few")
        params = {**QUICK, "epochs": 40}
        taught, alone = fit(few, teacher=saved(whole, "linear"), params=params), fit(few, params=params)
        assert lesson_of(taught)["n_unlabelled"] == 155
        f1 = [run.report["metrics"]["test"]["micro_f1"] for run in (taught, alone)]
        assert f1[0] > f1[1]

    def test_a_sweep_over_backbones_features_side_by_side(
        self, made: FeatureSet, saved: Saved, cache_root: Path
    ) -> None:
        few = half_labelled(cache_root)
        run = fit(few, backbone=[SMALL, LARGE], teacher=saved(made))  # type: ignore[arg-type]
        assert run.predictor.head.n_features_in_ == 32
        assert lesson_of(run)["n_unlabelled"] == 168

    def test_rows_without_views_show_their_plain_features(self) -> None:
        from headstart.samples import ViewsAndPlain

        views = [np.ones((3, 2)), np.full((3, 2), 2.0)]
        both = ViewsAndPlain(views, np.zeros((2, 2)))
        assert len(both) == 2
        assert both[1].tolist() == [[2, 2], [2, 2], [2, 2], [0, 0], [0, 0]]
