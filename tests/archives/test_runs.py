"""Caches, runs, comparisons and unfinished work of earlier versions are read and used for ever.

An archive says itself what is expected of it; see ``make_runs.py``.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

import headstart as hs
from headstart.trust import trust

HERE = Path("/proc/self/cwd")
pytestmark = pytest.mark.skipif(
    not HERE.is_dir(), reason=f"the archives record {HERE} as the place where they lie"
)
ARCHIVES = sorted(Path(__file__).parent.glob("runs-*"))
ONE_SOLUTION = [
    "ridge", "knn", "centroid", "logistic", "prepared", "side-by-side", "tags-ridge", "numbers-ridge",
]  # fmt: skip
ENDED_EARLY = ("logistic", "prepared")
"""Heads that were recorded where their solver ended, 0.3 % above the minimum in log loss."""
HOUR = 3600


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out.strip().splitlines()[-1])


Runner = Callable[..., Result]


@cache
def expectations(archive: Path) -> Any:
    return json.loads((archive / "expected.json").read_text("utf-8"))


def each(section: str) -> Any:
    """Every entry of a section of every archive."""
    return pytest.mark.parametrize(
        ("archive", "name"),
        [
            pytest.param(archive, name, id=f"{archive.name}-{name}")
            for archive in ARCHIVES
            for name in expectations(archive)[section]
        ],
        indirect=["archive"],
    )


each_archive = pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.name, indirect=True)


@pytest.fixture
def headstart() -> Runner:
    from headstart.cli.app import app

    def run(*arguments: object) -> Result:
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Result(done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of each archive, as old as it says it is: claims that a checkout made look fresh are waited for."""
    folder = tmp_path_factory.mktemp("archives")
    then = time.time() - HOUR
    for path in ARCHIVES:
        shutil.copytree(path, folder / path.name)
        for place in (folder / path.name).rglob("*"):
            os.utime(place, (then, then))
    return folder


@pytest.fixture
def archive(request: pytest.FixtureRequest, copies: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive's copy, which the test works in: there it finds all that is recorded in it."""
    folder: Path = copies / request.param.name
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder / "code"))
    trust("archived_code_1")  # which is not known to be this user's
    return folder


@pytest.fixture
def old_cache(archive: Path, tmp_path: Path) -> Path:
    """The archive's cache as it was left, whatever other tests have put into theirs."""
    return shutil.copytree(archive / "cache", tmp_path / "cache")


def same(found: Any, expected: Any, within: float = 1e-5) -> bool:
    """Whether numbers are equal within a bound, and all else is equal."""
    if isinstance(expected, dict):
        pairs = ((found.get(name), part) for name, part in expected.items())
        return list(found) == list(expected) and all(same(one, other, within) for one, other in pairs)
    if isinstance(expected, list):
        pairs = zip(found, expected, strict=False)
        return len(found) == len(expected) and all(same(one, other, within) for one, other in pairs)
    if isinstance(expected, float):
        return found == pytest.approx(expected, rel=within, abs=within)
    return bool(found == expected)


def without_intervals(metrics: Any) -> Any:
    """Figures alone: intervals hold what they say since, and are others."""
    if isinstance(metrics, dict):
        return {name: without_intervals(part) for name, part in metrics.items() if "interval" not in name}
    if isinstance(metrics, list):
        return [without_intervals(part) for part in metrics]
    return metrics


def test_there_are_archives() -> None:
    assert [path.name for path in ARCHIVES][:1] == ["runs-1"]
    heads = ["logistic", "ridge", "knn", "centroid", "svm", "linear", "mlp", "residual", "attention", "own"]
    tuned = [f"tuned-{name}" for name in ("full", "frozen", "last", "gradual", "lora", "scratch")]
    assert {*heads, *tuned} < set(expectations(ARCHIVES[0])["runs"])


@each("sets")
def test_features_of_an_old_cache_are_what_they_were_bit_for_bit(
    headstart: Runner, archive: Path, old_cache: Path, name: str
) -> None:
    for feature in expectations(archive)["sets"][name]["features"]:
        done = headstart(
            "cache", "export", name, "now.parquet", "--overwrite", "--cache", old_cache, *feature["options"]
        )
        assert done.code == 0, done.err
        assert pq.read_table("now.parquet").equals(pq.read_table(feature["file"]))


@each("sets")
def test_extracting_into_an_old_cache_computes_nothing(
    headstart: Runner, archive: Path, old_cache: Path, name: str
) -> None:
    expected = expectations(archive)["sets"][name]
    found = headstart(*expected["command"], "--cache", old_cache, "--json").json
    assert found["computed"] == 0
    assert {key: found[key] for key in ("digest", "samples", "spaces")} == {
        key: expected[key] for key in ("digest", "samples", "spaces")
    }


@each("sets")
def test_extracting_anew_gives_the_same_set_and_the_same_features(
    headstart: Runner, archive: Path, name: str, tmp_path: Path
) -> None:
    expected = expectations(archive)["sets"][name]
    found = headstart(*expected["command"], "--cache", tmp_path, "--json").json
    assert found["computed"] > 0
    assert {key: found[key] for key in ("digest", "samples", "spaces")} == {
        key: expected[key] for key in ("digest", "samples", "spaces")
    }
    for feature in expected["features"]:
        done = headstart(
            "cache", "export", name, "now.parquet", "--overwrite", "--cache", tmp_path, *feature["options"]
        )
        assert done.code == 0, done.err
        assert same(pq.read_table("now.parquet").to_pydict(), pq.read_table(feature["file"]).to_pydict())


@each_archive
def test_texts_in_memory_are_found_as_well(archive: Path, old_cache: Path) -> None:
    expected = expectations(archive)["memory"]
    found = hs.extract(
        expected["texts"], expected["backbone"], set="memory", cache=str(old_cache), quiet=True
    )
    assert found.digest == expected["digest"]
    assert found.arrays()[0].tolist() == expected["features"]


@each_archive
def test_an_old_cache_is_sound(headstart: Runner, archive: Path, old_cache: Path) -> None:
    found = headstart("cache", "verify", "--cache", old_cache, "--json").json
    assert found["findings"] == []
    assert found["n_sets"] == len(expectations(archive)["sets"]) + 1
    listed = {entry["set"] for entry in headstart("cache", "ls", "--cache", old_cache, "--json").json["sets"]}
    assert listed == {*expectations(archive)["sets"], "memory"}


@each("runs")
def test_an_old_run_predicts_what_it_predicted(archive: Path, name: str) -> None:
    expected = expectations(archive)["runs"][name]
    run = hs.load_run(f"runs/{name}")
    assert same(run.report["metrics"]["test"], expected["test"])
    # Features are computed anew, and equal within 1e-5; a head multiplies them by weights of up to ten.
    assert same(run.predict(expected["data"]).to_pydict(), expected["predictions"], within=1e-4)


@each_archive
def test_old_runs_are_listed_with_their_figures(headstart: Runner, archive: Path) -> None:
    expected = expectations(archive)["runs"]
    found = headstart("runs", "ls", "runs", "--metric", "test.accuracy", "--json").json
    assert found["skipped"] == []
    listed = {Path(run["run"]).name: run["value"] for run in found["runs"]}
    assert set(listed) == set(expected)
    for name, value in listed.items():
        assert value == expected[name]["test"].get("accuracy")


@pytest.mark.parametrize("name", ONE_SOLUTION)
@each_archive
def test_a_head_fitted_again_on_an_old_cache_has_the_figures_it_had(archive: Path, name: str) -> None:
    config = yaml.safe_load(Path("runs", name, "config.yaml").read_text("utf-8"))
    within = 1e-5
    if name in ENDED_EARLY:  # at the minimum itself: where another solver ends is another place near it
        config["params"], within = {**config.get("params", {}), "tol": 1e-8}, 5e-3
    fitted = hs.fit_head(config.pop("set"), **config)
    expected = expectations(archive)["runs"][name]["test"]
    found = without_intervals(fitted.report["metrics"]["test"])
    expected = without_intervals(expected)
    assert same({key: found[key] for key in expected}, expected, within)


@each_archive
def test_an_old_comparison_is_what_compare_says_today(headstart: Runner, archive: Path) -> None:
    runs = expectations(archive)["compared"]
    now = headstart("compare", *runs, "--json").json
    then = json.loads(Path("comparison", "comparison.json").read_text("utf-8"))
    for found in (then, now):
        del found["provenance"]["created"], found["provenance"]["headstart"]
        del found["advice"], found["notes"]  # which rest on intervals
    assert same(without_intervals(now), without_intervals(then))
    with open(Path("comparison", "comparison.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    written = [
        {name: "" if value is None else str(value) for name, value in row.items()}
        for row in hs.compare(runs).table
    ]
    bounds = [name for name in written[0] if name.endswith(("_low", "_high", "_from", "_to"))]
    for row in [*rows, *written]:
        for name in bounds:
            del row[name]
    assert rows == written


@each_archive
def test_an_unfinished_extraction_is_finished_by_running_it_again(
    headstart: Runner, archive: Path, tmp_path: Path
) -> None:
    command = expectations(archive)["unfinished"]
    resumed = headstart(*command, "--cache", "unfinished", "--json").json
    fresh = headstart(*command, "--cache", tmp_path, "--json").json
    assert 0 < resumed["computed"] < fresh["computed"] == resumed["samples"]
    assert (resumed["digest"], resumed["spaces"]) == (fresh["digest"], fresh["spaces"])
    sets = [hs.open_set("many", cache=place) for place in ("unfinished", tmp_path)]
    assert sets[0].samples.equals(sets[1].samples)
    assert np.allclose(sets[0].arrays()[0], sets[1].arrays()[0], rtol=1e-5, atol=1e-5)
    assert headstart("cache", "verify", "--cache", "unfinished", "--json").json["findings"] == []


@each_archive
def test_an_interrupted_training_goes_on_or_says_why_not(headstart: Runner, archive: Path) -> None:
    done = headstart(*expectations(archive)["interrupted"], "--resume")
    assert done.code in (0, 1, 2, 4)
    assert "this is a bug" not in done.err
    assert done.code == 0 or done.err.splitlines()[-1].startswith("error: ")
