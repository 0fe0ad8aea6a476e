"""Comparing runs: on the same samples or not at all, with what each cost, and advice that follows from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import headstart as hs
from headstart.cache.sets import FeatureSet
from headstart.comparison.comparison import Comparison
from headstart.comparison.stage import compare
from headstart.errors import ConfigError, DataError, MismatchError, StorageError

from ..made_sets import clouds, make_set

N = 400
TABLE = "predictions.parquet"
Change = Callable[[pa.Table], pa.Table]


def names_of(y: Any) -> list[str]:
    return [f"class {c}" for c in y]


def saved(features: FeatureSet, place: Path, head: str = "ridge", **options: Any) -> Path:
    """A run directory, as fit-head writes it."""
    hs.fit_head(features, head=head, out=place, plots="none", **options)
    return place


def report_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "report.json").read_text()))


def retold(run: Path, **parts: Any) -> Path:
    """A run whose report says something else: each part is updated."""
    report = report_of(run)
    for name, part in parts.items():
        report[name] = {**report.get(name, {}), **part}
    (run / "report.json").write_text(json.dumps(report))
    return run


def repredicted(run: Path, change: Change) -> Path:
    pq.write_table(change(pq.read_table(run / TABLE)), run / TABLE)
    return run


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, table.field(name).type))


def said_by(comparison: Comparison) -> dict[str, Any]:
    """The rows by run."""
    return {row["run"]: row for row in comparison.table}


@pytest.fixture
def made(cache_root: Path) -> FeatureSet:
    """Three classes that overlap."""
    X, y = clouds(N, apart=3)
    return make_set(cache_root, X, {"kind": names_of(y)})


@pytest.fixture
def two(made: FeatureSet, tmp_path: Path) -> tuple[Path, Path]:
    return saved(made, tmp_path / "ridge"), saved(made, tmp_path / "centroid", "centroid")


def tuned(run: Path, strategy: str = "full", fit: float = 100.0, **cost: int) -> Path:
    """The run as if its network had been trained: what fine-tune's report says besides."""
    return retold(
        run,
        method={"name": "fine-tune", "strategy": strategy},
        timings={"fit": fit, "to_best": fit / 2},
        cost=cost,
    )


def measured(features: FeatureSet, n: int, seconds: float) -> None:
    """Let the set say how long its extraction took, as `extract` does."""
    path = features.path / "set.json"
    info = json.loads(path.read_text())
    (entry,) = info["features"]
    info["measured"] = {entry["space"]: {"timings": {"n": n, "seconds": seconds}}}
    path.write_text(json.dumps(info))


class TestFigures:
    """The figures are those of the reports."""

    def test_of_classes(self, two: tuple[Path, Path]) -> None:
        rows = said_by(compare(two))
        for run in two:
            test, row = report_of(run)["metrics"]["test"], rows[run.name]
            for name in ("accuracy", "macro_f1", "log_loss", "ece"):
                assert row[name] == pytest.approx(test[name], rel=1e-5), name
            for name in ("accuracy", "macro_f1", "log_loss"):
                interval = [row[f"{name}_low"], row[f"{name}_high"]]
                assert interval == pytest.approx(test["intervals"][name], rel=1e-5), name

    def test_of_several_labels(self, cache_root: Path, tmp_path: Path) -> None:
        X, y = clouds(N, apart=3)
        labels = [[f"is {c}", *(["is odd"] if c % 2 else [])] for c in y]
        features = make_set(cache_root, X, {"kind": labels}, kinds={"kind": "multi"})
        runs = [saved(features, tmp_path / head, head) for head in ("ridge", "knn")]
        found = compare(runs)
        assert found.task == "multi"
        for run in runs:
            test, row = report_of(run)["metrics"]["test"], said_by(found)[run.name]
            for name in ("accuracy", "macro_f1", "micro_f1", "log_loss"):
                assert row[name] == pytest.approx(test[name], rel=1e-5), name
        versus = next(run.against_best for run in found.runs if run.against_best)
        assert versus.p_value is not None

    def test_of_numbers_the_smallest_error_is_the_best(self, cache_root: Path, tmp_path: Path) -> None:
        X, y = clouds(N)
        features = make_set(cache_root, X, {"age": (y * 10.0).tolist()}, kinds={"age": "regression"})
        runs = [saved(features, tmp_path / head, head) for head in ("ridge", "knn")]
        found = compare(runs)
        errors = {run.name: report_of(run)["metrics"]["test"]["mae"] for run in runs}
        assert found.best == min(errors, key=lambda name: errors[name])
        for run in runs:
            test, row = report_of(run)["metrics"]["test"], said_by(found)[run.name]
            for name in ("mae", "rmse", "r2"):
                assert row[name] == pytest.approx(test[name], rel=1e-5), name
            assert row["against_best_p_value"] is None

    def test_what_cannot_be_computed_is_none_and_not_a_number(self, cache_root: Path, tmp_path: Path) -> None:
        """Of labels that are all the same there is no R²."""
        X, _ = clouds(N)
        features = make_set(cache_root, X, {"age": [3.0] * N}, kinds={"age": "regression"})
        found = compare([hs.fit_head(features, head=head, plots="none") for head in ("ridge", "knn")])
        assert [run.figures["r2"] for run in found.runs] == [None, None]
        place = found.save(tmp_path / "compared")
        (other,) = (run for run in found.to_json()["runs"] if run["against_best"])
        assert other["against_best"]["differences"]["r2"] == {"value": None, "interval": None}
        assert json.loads((place / "comparison.json").read_text()) == found.to_json()

    def test_runs_in_memory_and_saved_ones_compare_alike(self, made: FeatureSet, tmp_path: Path) -> None:
        runs = [hs.fit_head(made, head=head, plots="none") for head in ("ridge", "centroid")]
        kept = [saved(made, tmp_path / head, head) for head in ("ridge", "centroid")]
        in_memory, on_disk = compare(runs), compare(kept)
        loaded = compare([hs.load_run(path) for path in kept])
        for run in ("ridge", "centroid"):
            for other in (on_disk, loaded):
                assert said_by(in_memory)[run]["accuracy_low"] == said_by(other)[run]["accuracy_low"]
        assert in_memory.best == on_disk.best == loaded.best


class TestTheSameSamples:
    """Rows meet by key, classes by name; everything else is refused with a count."""

    def test_the_order_of_rows_and_of_classes_means_nothing(self, two: tuple[Path, Path]) -> None:
        before = compare(two)

        def shuffled(table: pa.Table) -> pa.Table:
            rows = np.random.default_rng(0).permutation(table.num_rows)
            return table.take(pa.array(rows)).select(list(reversed(table.column_names)))

        repredicted(two[1], shuffled)
        after = compare(two)
        assert after.table == before.table

    def test_samples_that_one_lacks_are_counted_and_named(self, two: tuple[Path, Path]) -> None:
        first = pq.read_table(two[1] / TABLE).column("id")[-3].as_py()
        repredicted(two[1], lambda table: table.slice(0, table.num_rows - 3))
        n = report_of(two[0])["metrics"]["test"]["n"]
        with pytest.raises(StorageError, match=rf"centroid: .* has {n - 3} test samples, and its report {n}"):
            compare(two)
        retold(two[1], metrics={"test": {"n": n - 3}})
        with pytest.raises(
            MismatchError, match=rf"centroid lacks 3 of ridge's {n} test samples, e\.g\. {first};"
        ):
            compare(two)
        with pytest.raises(MismatchError, match=r"ridge has 3 test samples that centroid lacks") as error:
            compare([two[1], two[0]])
        assert error.value.exit_code == 4

    def test_other_samples_are_counted(self, made: FeatureSet, two: tuple[Path, Path], cache_root: Path,
                                       tmp_path: Path) -> None:  # fmt: skip
        X, y = clouds(N, apart=3)
        contents = [f"text {i + 20}" for i in range(N)]
        other = make_set(cache_root, X, {"kind": names_of(y)}, contents=contents, name="other")
        with pytest.raises(MismatchError, match=r"lacks 4 of ridge's 80 test samples, .*, and has 4 others"):
            compare([two[0], saved(other, tmp_path / "other")])

    def test_a_sample_that_is_there_twice_is_compared_twice(self, cache_root: Path, tmp_path: Path) -> None:
        X, y = clouds(N, apart=3)
        contents = [f"text {i - i % 2}" for i in range(N)]
        features = make_set(cache_root, X, {"kind": names_of(y)}, contents=contents)
        runs = [saved(features, tmp_path / head, head) for head in ("ridge", "centroid")]
        found = compare(runs)
        assert found.n == 80
        repredicted(runs[1], lambda table: table.take(pa.array(range(table.num_rows)[::-1])))
        assert compare(runs).table == found.table

    def test_other_labels_are_counted(self, two: tuple[Path, Path]) -> None:
        def relabelled(table: pa.Table) -> pa.Table:
            return with_column(table, "label", [*table.column("label").to_pylist()[:-2], "owl", "owl"])

        repredicted(two[1], relabelled)
        with pytest.raises(
            MismatchError, match=r"labels of 2 of 80 test samples differ, e\.g\. of s\d+: .*owl"
        ):
            compare(two)

    def test_another_task_is_refused(self, two: tuple[Path, Path], cache_root: Path, tmp_path: Path) -> None:
        X, y = clouds(N)
        numbers = make_set(
            cache_root, X, {"age": (y * 1.0).tolist()}, kinds={"age": "regression"}, name="age"
        )
        other = saved(numbers, tmp_path / "age")
        with pytest.raises(MismatchError, match="ridge predicts one label a sample, and run age numbers"):
            compare([two[0], other])

    def test_runs_without_test_samples_are_refused(self, cache_root: Path, tmp_path: Path) -> None:
        X, y = clouds(N)
        splits = ["train" if i % 4 else "validation" for i in range(N)]
        features = make_set(cache_root, X, {"kind": names_of(y)}, splits=splits)
        runs = [saved(features, tmp_path / head, head) for head in ("ridge", "centroid")]
        with pytest.raises(MismatchError, match="run ridge has no test samples"):
            compare(runs)

    def test_a_class_that_one_run_has_never_seen_has_no_chance(self, two: tuple[Path, Path]) -> None:
        def unknown(table: pa.Table) -> pa.Table:
            return table.drop_columns(["p:class 2"])

        before = said_by(compare(two))["centroid"]
        after = said_by(compare([two[0], repredicted(two[1], unknown)]))["centroid"]
        assert after["log_loss"] > before["log_loss"] + 5


class TestBrokenRuns:
    """What is no whole run is refused in a line that says which and why."""

    def test_fewer_than_two_and_the_same_twice(self, two: tuple[Path, Path], tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"two runs or more \(got 1\)"):
            compare(two[:1])
        with pytest.raises(ConfigError, match="a list of two runs or more"):
            compare(str(two[0]))
        with pytest.raises(ConfigError, match=r"runs and run directories \(got 3\)"):
            compare([two[0], 3])  # type: ignore[list-item]
        (tmp_path / "link").symlink_to(two[0])
        with pytest.raises(ConfigError, match="link is given twice"):
            compare([*two, tmp_path / "link"])

    def test_no_run_directory(self, two: tuple[Path, Path], tmp_path: Path) -> None:
        (tmp_path / "notes").mkdir()
        with pytest.raises(DataError, match="notes is not a run directory"):
            compare([two[0], tmp_path / "notes"])
        with pytest.raises(DataError, match=r"there is no run directory .*nowhere"):
            compare([two[0], tmp_path / "nowhere"])

    def test_predictions_that_are_missing_or_cut_off(self, two: tuple[Path, Path]) -> None:
        path = two[1] / TABLE
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(StorageError, match=r"cannot be read .* truncated or damaged"):
            compare(two)
        path.unlink()
        with pytest.raises(StorageError, match=r"has no predictions\.parquet"):
            compare(two)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda table: table.drop_columns(["key"]), "has no column 'key'"),
            (lambda table: table.select(table.column_names[:5]), "without probabilities"),
            (lambda table: with_column(table, "label", [None] * table.num_rows), "without a label"),
            (lambda table: with_column(table, "p:class 0", [float("nan")] * table.num_rows), "gives no number for 80"),
            (lambda table: with_column(table, "p:class 0", [None] * table.num_rows), "gives no number for 80"),
            (
                lambda table: table.set_column(3, "label", pa.array([1.0] * table.num_rows)),
                "has double in column 'label'",
            ),
        ],
    )  # fmt: skip
    def test_predictions_that_are_something_else(
        self, two: tuple[Path, Path], change: Change, said: str
    ) -> None:
        repredicted(two[1], change)
        with pytest.raises((StorageError, DataError), match=said) as error:
            compare(two)
        assert error.value.exit_code == 1

    def test_a_report_that_says_nothing_of_costs_leaves_them_unknown(self, two: tuple[Path, Path]) -> None:
        report = report_of(two[1])
        (two[1] / "report.json").write_text(
            json.dumps({"metrics": report["metrics"], "timings": 3, "data": None})
        )
        row = said_by(compare(two))["centroid"]
        for name in ("fit_seconds", "extract_seconds", "seconds_of_1", "parameters", "peak_resident_bytes"):
            assert row[name] is None, name


@pytest.mark.parametrize("place", [None, "comparison"])
def test_plots_that_there_are_not_are_refused(
    two: tuple[Path, Path], tmp_path: Path, place: str | None
) -> None:
    said = "plots: Input should be 'png', 'svg', 'both' or 'none' .got 'gif'."
    wrong: Any = "gif"
    with pytest.raises(ConfigError, match=said):
        hs.compare(two, out=place and tmp_path / place, plots=wrong)
    with pytest.raises(ConfigError, match=said):
        hs.compare(two).save(tmp_path / "later", plots=wrong)
    assert not (tmp_path / "later").exists()


class TestCosts:
    """Costs as the reports say, extraction counted once; what is unknown is never 0."""

    def test_extraction_is_counted_once_for_runs_that_share_it(
        self, made: FeatureSet, tmp_path: Path
    ) -> None:
        measured(made, N, 50.0)
        runs = [saved(made, tmp_path / head, head) for head in ("ridge", "centroid")]
        found = compare(runs)
        assert found.extract_seconds == 50
        for row in found.table:
            assert (row["extract_seconds"], row["extract_is_estimated"]) == (50, False)
            for k in (1, 10, 100):
                assert row[f"seconds_of_{k}"] == pytest.approx(50 + k * row["fit_seconds"])

    def test_the_extractions_of_two_backbones_add_up(self, cache_root: Path, tmp_path: Path) -> None:
        runs = []
        for number, seconds in ((0, 50.0), (1, 7.0)):
            X, y = clouds(N, apart=3, seed=number)
            matrices = {f"py:backbone:number{number}": X}
            features = make_set(cache_root, matrices, {"kind": names_of(y)}, name=f"set{number}")
            measured(features, N, seconds)
            runs.append(saved(features, tmp_path / f"run{number}"))
        found = compare(runs)
        assert found.extract_seconds == 57
        assert [row["extract_seconds"] for row in found.table] == [50, 7]
        assert found.cheapest == "run1"

    def test_what_was_computed_for_part_of_a_set_is_an_estimate(
        self, made: FeatureSet, tmp_path: Path
    ) -> None:
        measured(made, N // 4, 10.0)
        runs = [saved(made, tmp_path / head, head) for head in ("ridge", "centroid")]
        found = compare(runs)
        assert found.table[0]["extract_seconds"] == pytest.approx(40)
        assert found.table[0]["extract_is_estimated"]
        assert any("estimated" in note for note in found.notes)

    def test_an_extraction_that_nobody_remembers_is_unknown(self, two: tuple[Path, Path]) -> None:
        found = compare(two)
        assert found.extract_seconds is None
        assert {row["extract_seconds"] for row in found.table} == {None}
        assert any("unknown of ridge, centroid" in note for note in found.notes)
        assert found.cheapest is not None  # by the time to train

    def test_a_cache_that_is_gone_or_elsewhere(
        self, made: FeatureSet, tmp_path: Path, cache_root: Path
    ) -> None:
        measured(made, N, 50.0)
        runs = [saved(made, tmp_path / head, head) for head in ("ridge", "centroid")]
        cache_root.rename(tmp_path / "moved")
        assert compare(runs).extract_seconds is None
        assert compare(runs, cache=tmp_path / "moved").extract_seconds == 50

    def test_fine_tuned_runs_need_no_extraction(self, two: tuple[Path, Path]) -> None:
        tuned(two[1], fit=100.0, peak_resident_bytes=900, loaded_resident_bytes=200, total_parameters=10_000)
        row = said_by(compare(two))["centroid"]
        assert (row["extract_seconds"], row["seconds_of_10"], row["to_best_seconds"]) == (0, 1000, 50)
        assert (row["above_loading_bytes"], row["total_parameters"], row["method"]) == (700, 10_000, "full")

    def test_what_enters_a_cut_is_counted_once_for_all_that_begin_there(
        self, made: FeatureSet, tmp_path: Path
    ) -> None:
        measured(made, N, 50.0)
        head = saved(made, tmp_path / "head")
        tops = [tuned(saved(made, tmp_path / name), "last:2") for name in ("first", "second")]
        for top, seconds in zip(tops, (20.0, 0.3), strict=True):  # the second found it filled
            report = json.loads((top / "report.json").read_text())
            report["cut"] = {"spaces": {"2": "0123456789abcdef"}, "seconds": seconds}
            (top / "report.json").write_text(json.dumps(report))
        found = compare([head, *tops])
        assert [row["extract_seconds"] for row in found.table] == [50, 20, 20]
        assert found.extract_seconds == 70


class TestAdvice:
    """What is advised follows from the numbers, and changes with them."""

    def advice(self, made: FeatureSet, tmp_path: Path, seconds: dict[str, float], **of_tuned: Any) -> str:
        """Of a poor head, a good one and a fine-tuned run that is as good, or as ``wrong`` says."""
        measured(made, N, of_tuned.get("extraction", 50.0))
        poor = retold(
            saved(made, tmp_path / "poor", "ridge", params={"alpha": 1e9}), timings={"fit": seconds["poor"]}
        )
        repredicted(poor, lambda table: _guessed(table, 0.4))
        good = retold(saved(made, tmp_path / "good"), timings={"fit": seconds["good"]})
        full = tuned(saved(made, tmp_path / "full"), fit=seconds["full"])
        repredicted(good, lambda table: _guessed(table, 0.8))
        repredicted(full, lambda table: _guessed(table, of_tuned.get("share", 0.8), seed=1))
        return "\n".join(compare([poor, good, full], cache=made.cache).advice)

    @pytest.fixture(autouse=True)
    def time(self) -> dict[str, float]:
        return {"poor": 1.0, "good": 2.0, "full": 80.0}

    def test_no_gain_means_the_cheaper_one(
        self, made: FeatureSet, tmp_path: Path, time: dict[str, float]
    ) -> None:
        said = self.advice(made, tmp_path, time, share=0.83)
        assert "Take good: it does not differ measurably from the best, full" in said
        assert "for 1/40 of the training time" in said
        assert "Fine-tuning gains nothing measurable" in said

    def test_a_gain_is_said_with_its_price(
        self, made: FeatureSet, tmp_path: Path, time: dict[str, float]
    ) -> None:
        said = self.advice(made, tmp_path, time, share=0.99)
        assert (
            "Take full if the figures matter: it is measurably better than every run that takes clearly"
            in said
        )
        assert "Fine-tuning gains 1" in said
        assert "for 40 × the training time (1.5 × with extraction counted)" in said

    def test_a_loss_is_said(self, made: FeatureSet, tmp_path: Path, time: dict[str, float]) -> None:
        said = self.advice(made, tmp_path, time, share=0.4)
        assert "Fine-tuning loses" in said
        assert "Take good" in said

    def test_the_best_may_be_the_cheapest(
        self, made: FeatureSet, tmp_path: Path, time: dict[str, float]
    ) -> None:
        said = self.advice(made, tmp_path, {**time, "poor": 3.0}, share=0.4)
        assert "Take good: it is the best of 3, and the cheapest." in said

    def test_a_run_that_takes_nearly_as_long_is_no_bargain(self, two: tuple[Path, Path]) -> None:
        best = compare(two).best
        for run in two:
            retold(run, timings={"fit": 1.0 if run.name == best else 0.9})
        assert compare(two).advice == (
            f"Take {best}: it is the best of 2, and no other takes clearly less time.",
        )

    def test_times_that_are_unknown_are_not_guessed(self, two: tuple[Path, Path]) -> None:
        for run in two:
            retold(run, timings={"fit": None})
        found = compare(two)
        assert found.cheapest is None
        assert found.advice == (f"{found.best} is the best; what the runs took is unknown.",)
        assert any("training took is unknown of ridge, centroid" in note for note in found.notes)

    @pytest.mark.parametrize(
        ("extraction", "full", "expected"),
        [
            (50.0, 80.0, "pays for itself from the first experiment on"),
            (100.0, 80.0, "pays for itself from the second experiment on"),
            (780.0, 80.0, "pays for itself from the 11th experiment on"),
            (50.0, 1.0, "never pays for itself"),
        ],
    )
    def test_when_the_cache_pays(self, made: FeatureSet, tmp_path: Path, time: dict[str, float], extraction: float,
                                 full: float, expected: str) -> None:  # fmt: skip
        said = self.advice(made, tmp_path, {**time, "full": full}, extraction=extraction)
        assert expected in said

    @pytest.fixture
    def head_and_full(self, made: FeatureSet, tmp_path: Path) -> tuple[Path, Path]:
        measured(made, N, 100.0)
        head = retold(saved(made, tmp_path / "head"), timings={"fit": 3.0})
        return head, tuned(saved(made, tmp_path / "full"), fit=23.0)

    def test_the_cache_has_paid_when_extraction_and_training_take_less(
        self, head_and_full: tuple[Path, Path]
    ) -> None:
        (even,) = compare(head_and_full).break_even
        k = even.experiments
        assert k == 6  # after five experiments both took 115 s
        assert 100 + 3 * k < 23 * k
        assert not 100 + 3 * (k - 1) < 23 * (k - 1)
        assert even.time_ratio == pytest.approx(23 / 3)

    def test_methods_are_not_judged_by_runs_on_other_numbers_of_samples(
        self, head_and_full: tuple[Path, Path]
    ) -> None:
        assert any("Fine-tuning " in line for line in compare(head_and_full).advice)
        retold(head_and_full[1], data={"n_train": 17})
        advice = " ".join(compare(head_and_full).advice)
        assert "full was trained on 17 samples and head on 240" in advice
        assert "Fine-tuning " not in advice
        assert "cache" not in advice

    def test_other_training_samples_and_machines_are_said(self, two: tuple[Path, Path]) -> None:
        assert not any("different" in note for note in compare(two).notes)
        retold(two[1], data={"n_train": 17})
        environment = json.loads((two[1] / "environment.json").read_text())
        (two[1] / "environment.json").write_text(json.dumps({**environment, "cores": 1000}))
        notes = compare(two).notes
        assert "the runs were trained on different numbers of samples: ridge 240, centroid 17" in notes
        assert any("different machines" in note for note in notes)


def _guessed(table: pa.Table, share: float, seed: int = 0) -> pa.Table:
    """Predictions of which about such a share is right."""
    rng = np.random.default_rng(seed)
    true = np.array(table.column("label").to_pylist())
    right = rng.random(len(true)) < share
    said = np.where(right, true, np.roll(np.unique(true), 1)[np.searchsorted(np.unique(true), true)])
    return with_column(table, "prediction", said.tolist())
