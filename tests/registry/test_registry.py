"""Runs are found by their directories alone, what is not a run is named, and the best is the best."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import headstart
from headstart.errors import ConfigError, DataError, StorageError
from headstart.registry.card import params_of
from headstart.registry.known_runs import (
    best_run,
    default_metric,
    find_runs,
    metric_names,
    parse_metric,
    runs_of,
    sort_runs,
)
from headstart.registry.run import Metric, Run

from ..made_sets import clouds, make_set


def write_run(
    path: Path,
    test: dict[str, Any],
    created: str = "2026-01-01T00:00:00+00:00",
    total: float = 1.0,
    validation: dict[str, Any] | None = None,
    set: str = "pets",
) -> Path:
    """What of a run directory the registry reads."""
    path.mkdir(parents=True)
    report = {
        "metrics": {"test": test, "validation": validation or {}}, "timings": {"total": total},
        "head": {"name": "ridge", "params": {}},
        "provenance": {"created": created, "set": "pets"},
    }  # fmt: skip
    (path / "report.json").write_text(json.dumps(report))
    (path / "features.json").write_text(json.dumps({"set": set, "backbone": "timm:x", "tap": "pooler"}))
    return path


@pytest.fixture
def fitted(cache_root: Path, tmp_path: Path) -> Path:
    X, y = clouds(120)
    features = make_set(cache_root, X, {"kind": [f"class {c}" for c in y]})
    for head in ("ridge", "logistic"):
        headstart.fit_head(features, head=head, out=tmp_path / "runs" / "deep" / head, plots="none")
    return tmp_path / "runs"


def test_runs_that_fit_head_made_are_found_at_any_depth(fitted: Path) -> None:
    found = find_runs(fitted)
    assert [(run.path, run.set, run.head_name) for run in found.runs] == [
        (fitted / "deep" / "logistic", "made", "logistic"),
        (fitted / "deep" / "ridge", "made", "ridge"),
    ]
    run = found.runs[0]
    report = json.loads((run.path / "report.json").read_text())
    assert run.value(Metric("test", "accuracy")) == report["metrics"]["test"]["accuracy"]
    assert (run.backbone, run.tap) == ("py:some:backbone", "last.mean")
    assert run.created == report["provenance"]["created"]
    assert run.seconds == report["timings"]["total"]
    assert found.skipped == ()
    assert find_runs(fitted / "deep" / "ridge").runs[0].head_name == "ridge"


def test_a_moved_run_is_where_it_was_moved_to(fitted: Path, tmp_path: Path) -> None:
    shutil.move(fitted / "deep" / "ridge", tmp_path / "elsewhere")
    assert [run.head_name for run in find_runs(fitted).runs] == ["logistic"]
    assert Run.listed(tmp_path / "elsewhere").head_name == "ridge"


def test_what_is_no_run_is_named_once_with_the_reason(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    write_run(root / "good", {"accuracy": 0.5})
    for broken, content in {"cut": '{"metrics": {"te', "list": "[]", "other": '{"score": 1}'}.items():
        write_run(root / broken, {})
        (root / broken / "report.json").write_text(content)
    (write_run(root / "bare", {}) / "features.json").unlink()
    (root / "notes" / "old" / "older").mkdir(parents=True)
    (root / "notes" / "old" / "a.txt").write_text("x")
    (root / "x.12-ab.partial").mkdir()
    (root / ".hidden").mkdir()
    found = find_runs(root)
    assert [run.path.name for run in found.runs] == ["good"]
    assert {one.path.name: one.reason for one in found.skipped} == {
        "bare": "features.json cannot be read (No such file or directory)",
        "cut": "report.json is not valid JSON",
        "list": "report.json is not a JSON object",
        "other": "its report.json has no metrics, so headstart did not write it",
        "notes": "it is no run directory: there is no report.json",
        "x.12-ab.partial": "it is being written, or its writer was killed",
    }


def test_a_link_to_a_folder_above_is_followed_once(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", {"accuracy": 0.5})
    (tmp_path / "runs" / "deep").mkdir()
    (tmp_path / "runs" / "deep" / "up").symlink_to(tmp_path / "runs")
    assert len(find_runs(tmp_path / "runs").runs) == 1


def test_no_folder_is_an_error_that_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="headstart fit-head"):
        find_runs(tmp_path / "none")
    with pytest.raises(StorageError, match=r"report\.json cannot be read"):
        Run.listed(tmp_path)


@pytest.mark.parametrize("name", ["accuracy", "roc_auc"])
def test_the_best_has_the_highest_score(tmp_path: Path, name: str) -> None:
    for value in (0.5, 0.9, 0.7):
        write_run(tmp_path / f"r{value}", {name: value})
    assert best_run(find_runs(tmp_path).runs, Metric("test", name)).path.name == "r0.9"


@pytest.mark.parametrize("name", ["log_loss", "brier", "ece", "mae", "rmse", "hamming_loss"])
def test_the_best_has_the_lowest_error(tmp_path: Path, name: str) -> None:
    for value in (0.5, 0.2, 0.7):
        write_run(tmp_path / f"r{value}", {name: value})
    runs = find_runs(tmp_path).runs
    assert best_run(runs, Metric("test", name)).path.name == "r0.2"
    assert [run.path.name for run in sort_runs(runs, Metric("test", name))] == ["r0.2", "r0.5", "r0.7"]


def test_of_equals_the_earliest_is_best_and_no_number_never_is(tmp_path: Path) -> None:
    write_run(tmp_path / "none", {})
    write_run(tmp_path / "nan", {"accuracy": float("nan")})
    write_run(tmp_path / "late", {"accuracy": 0.5}, "2026-03-01")
    write_run(tmp_path / "early", {"accuracy": 0.5}, "2026-02-01", total=9)
    runs = find_runs(tmp_path).runs
    metric = Metric("test", "accuracy")
    assert best_run(runs, metric).path.name == "early"
    assert {run.path.name for run in sort_runs(runs, metric)[2:]} == {"nan", "none"}
    assert sort_runs(runs, metric, "created")[0].path.name == "late"
    assert sort_runs(runs, metric, "seconds")[-1].path.name == "early"
    with pytest.raises(ConfigError, match="created"):
        sort_runs(runs, metric, "size")


def test_a_metric_that_no_run_has_is_an_error_that_names_those_there_are(tmp_path: Path) -> None:
    write_run(tmp_path / "a", {"accuracy": 0.5})
    with pytest.raises(DataError, match=r"f2; they have: test\.accuracy"):
        best_run(find_runs(tmp_path).runs, Metric("test", "f2"))


def test_figures_within_figures_and_intervals_are_found_by_their_name(tmp_path: Path) -> None:
    values = {
        "accuracy": 0.5, "intervals": {"accuracy": [0.4, 0.6]}, "per_class": {"a.b": {"f1": 0.25}}, "plot": "x",
    }  # fmt: skip
    run = Run.listed(write_run(tmp_path / "a", values))
    assert run.interval(Metric("test", "accuracy")) == (0.4, 0.6)
    assert run.interval(Metric("test", "per_class")) is None
    assert run.value(parse_metric("test.per_class.a.b.f1")) == 0.25
    assert run.value(Metric("test", "plot")) is None
    assert run.value(Metric("validation", "accuracy")) is None
    assert metric_names([run]) == ["test.accuracy"]


def test_a_metric_is_of_the_split_that_it_names() -> None:
    assert parse_metric("accuracy") == Metric("validation", "accuracy")
    assert parse_metric("accuracy", "test") == Metric("test", "accuracy")
    assert parse_metric("test.accuracy") == Metric("test", "accuracy")
    assert parse_metric("metrics.train.accuracy", "train") == Metric("train", "accuracy")
    for wrong, split in (("test.accuracy", "train"), ("accuracy", "tset"), ("test", None), ("", None)):
        with pytest.raises(ConfigError):
            parse_metric(wrong, split)


def test_runs_are_compared_by_validation_accuracy_unless_only_numbers_are_there(tmp_path: Path) -> None:
    write_run(tmp_path / "number", {"r2": 0.5}, validation={"r2": 0.9})
    numbers = find_runs(tmp_path).runs
    assert default_metric(numbers) == Metric("validation", "r2")
    assert default_metric(numbers, "test") == Metric("test", "r2")
    write_run(tmp_path / "class", {"accuracy": 0.5}, validation={"accuracy": 0.9})
    assert default_metric(find_runs(tmp_path).runs) == Metric("validation", "accuracy")
    assert default_metric(()) == Metric("validation", "accuracy")


def test_runs_of_one_set_are_those_of_it_alone(tmp_path: Path) -> None:
    write_run(tmp_path / "a", {})
    write_run(tmp_path / "b", {}, set="photos")
    runs = find_runs(tmp_path).runs
    assert [run.path.name for run in runs_of(runs, "photos")] == ["b"]
    assert len(runs_of(runs, None)) == 2
    with pytest.raises(DataError, match="there are runs of: pets, photos"):
        runs_of(runs, "cars")
    assert runs_of((), "cars") == []


def test_a_parameter_that_fitting_chose_is_shown_by_what_it_chose() -> None:
    head = {"name": "logistic", "params": {"C": "auto", "tol": 0.1, "device": "auto"}, "C": 0.25, "tol": 3}
    assert params_of({"head": head}) == {"C": 0.25, "tol": 0.1, "device": "auto"}
    assert params_of({"head": {"params": {"C": "auto"}, "C": None}}) == {"C": "auto"}
    assert params_of({}) == {}


def test_features_side_by_side_are_all_named(tmp_path: Path) -> None:
    write_run(tmp_path / "two", {"accuracy": 0.5})
    path = tmp_path / "two" / "features.json"
    parts = [{"backbone": "timm:x", "tap": tap} for tap in ("pooler", "3.mean")]
    path.write_text(json.dumps({**json.loads(path.read_text()), "parts": parts}))
    run = Run.listed(tmp_path / "two")
    assert (run.backbone, run.tap) == ("timm:x", "pooler + 3.mean")
