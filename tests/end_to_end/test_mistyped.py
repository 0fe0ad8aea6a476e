"""A mistyped name is answered with the nearest ones, not with all that there are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.cache.store import Cache
from headstart.config import FitConfig
from headstart.errors import ConfigError, DataError
from headstart.registry.known_runs import best_run, parse_metric, runs_of
from headstart.registry.run import Run
from headstart.tuning.strategies import check_strategy

from .conftest import Result

Runner = Callable[..., Result]


@pytest.fixture
def sixty(tmp_path: Path) -> Cache:
    """A cache with the names of sixty sets."""
    for name in ("clothing", "flowers", *(f"set-{number:02d}" for number in range(58))):
        place = tmp_path / "cache" / "sets" / name
        place.mkdir(parents=True)
        (place / "current").write_text("0" * 16)
    return Cache(tmp_path / "cache")


@pytest.mark.parametrize(
    "words",
    [
        ("fit-head", "SET"),
        ("fine-tune", "SET"),
        ("audit", "SET"),
        ("rank", "SET"),
        ("project", "SET", "--out", "p.png"),
        ("cache", "show", "SET"),
    ],
)
def test_a_set(headstart: Runner, sixty: Cache, words: tuple[str, ...]) -> None:
    done = headstart(*(word.replace("SET", "cloting") for word in words), "--cache", sixty.root)
    assert done.code == 1
    assert "did you mean 'clothing'?" in done.err
    assert "set-0" not in done.err


def test_a_set_like_no_other(sixty: Cache) -> None:
    with pytest.raises(
        DataError, match=r"there are: clothing, flowers, set-00, set-01, set-02, … \(60 in all\)$"
    ):
        sixty.open_set("zzz")


def test_options_and_values(headstart: Runner, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("set: s\nhed: ridge\n")
    with pytest.raises(ConfigError, match="there is no option 'hed'; did you mean 'head'"):
        FitConfig.load(tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match="did you mean 'gradual'"):
        check_strategy("gradul")
    assert "--head" in headstart("fit-head", "s", "--hed", "ridge").err


def test_metrics_classes_and_sets_of_runs(tmp_path: Path) -> None:
    metrics = {"accuracy": 0.9, "log_loss": 0.1, "per_class": {f"class {n}": {"f1": 0.5} for n in range(60)}}
    run = Run(tmp_path, report={"metrics": {"test": metrics}}, features={"set": "clothing"})
    with pytest.raises(DataError, match=r"did you mean 'test\.accuracy'"):
        best_run([run], parse_metric("test.acuracy"))
    with pytest.raises(DataError, match=r"did you mean 'test\.per_class\.class 7\.f1'") as met:
        best_run([run], parse_metric("test.per_class.clas 7.f1"))
    assert len(str(met.value)) < 300
    with pytest.raises(DataError, match="did you mean 'clothing'"):
        runs_of([run], "cloting")


def test_a_run(headstart: Runner, tmp_path: Path) -> None:
    for name in ("cards-ridge", "photos"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "report.json").write_text(json.dumps({}))
    for words in (("predict",), ("evaluate",), ("compare",)):
        done = headstart(*words, "runs/card-ridge", "runs/photos")
        assert (done.code, "did you mean runs/cards-ridge?" in done.err) == (1, True), done.err
