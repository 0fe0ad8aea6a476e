"""Trainings of a sweep on the nodes of a cluster end as they end here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import headstart as hs
from headstart.cache.store import Cache
from headstart.config import TuneConfig
from headstart.errors import ConfigError
from headstart.progress import Silence
from headstart.ray_cluster import Pool
from headstart.ray_trials import FITTING, TOKEN, TrialPlace
from headstart.ray_workplace import COMPUTING, Workplace
from headstart.tuning.on_nodes import NodeTrial
from headstart.tuning.search import _with
from headstart.tuning.stage import _as_extract, fine_tune

from ..nodes import on_stand_ins

pytestmark = pytest.mark.usefixtures("one_thread")


def without_times(run: Any) -> list[Any]:
    return [{**trial, "seconds": None} for trial in run.report["sweep"]["trials"]]


def test_a_grid_on_nodes_is_the_grid_here(tuned: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"sweep": {"lr": [1e-9, 1e-3], "strategy": ["last:1", "full"]}}
    here = tuned("full", **options)
    with on_stand_ins(monkeypatch) as nodes:
        there = tuned("full", engine="ray", **options)
    assert nodes.n_tasks == 4
    assert without_times(there) == without_times(here)
    assert there.report["sweep"]["best"] == here.report["sweep"]["best"]
    assert there.report["metrics"]["test"] == here.report["metrics"]["test"]
    assert there.history[-1]["number"] == here.history[-1]["number"]


def test_a_trial_that_diverges_is_one_that_lost(
    tuned: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ruinous: dict[str, Any] = {"weight_decay": 1e3, "batch_size": 4, "epochs": [1]}
    with on_stand_ins(monkeypatch):
        run = tuned("full", engine="ray", sweep={"lr": [9e5, 1e-5]}, **ruinous)
    assert [trial["diverged"] for trial in run.report["sweep"]["trials"]] == [True, False]


def test_nodes_share_what_optuna_knows(tuned: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    options: dict[str, Any] = {"sweep": {"lr": [1e-8, 1e-2]}, "search": "optuna", "trials": 8, "epochs": [3]}
    with on_stand_ins(monkeypatch, 2) as nodes:
        run = tuned("last:1", engine="ray", **options)
    trials = run.report["sweep"]["trials"]
    assert nodes.n_tasks == len(trials) == 8
    assert all(1e-8 <= trial["params"]["lr"] <= 1e-2 for trial in trials)
    assert not any(trial["pruned"] for trial in trials[:4])
    assert run.report["sweep"]["best"] in [trial["params"] for trial in trials if not trial["pruned"]]


def test_what_was_trained_before_a_crash_is_not_trained_again(
    texts: Path, tiny_bert: Path, cache_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TuneConfig(
        data=str(texts), backbone=f"hf:{tiny_bert}", cache=str(cache_root), strategy="last:1", plots="none",
        epochs=[2], sweep={"lr": [1e-9, 1e-3]}, engine="ray",
    )  # fmt: skip
    with on_stand_ins(monkeypatch):
        first, again = (fine_tune(config, Silence(), tmp_path / "state") for _ in range(2))
    assert again.report["sweep"] == first.report["sweep"]  # its seconds, too


def test_data_in_memory_is_not_on_other_machines(tiny_bert: Path, cache_root: Path) -> None:
    with pytest.raises(ConfigError, match="the data is in the memory of this program; write it to files"):
        hs.fine_tune(
            ["a good day", "a bad day"] * 8, f"hf:{tiny_bert}", labels=["a", "b"] * 8, cache=cache_root,
            sweep={"lr": [1e-4, 1e-3]}, engine="ray", plots="none",
            splits=(["train"] * 4 + ["validation"] * 2 + ["test"] * 2) * 2,
        )  # fmt: skip


def test_a_sweep_is_what_a_cluster_is_for(texts: Path, tiny_bert: Path, cache_root: Path) -> None:
    with pytest.raises(ConfigError, match="--engine ray spreads the trials of a search"):
        hs.fine_tune(texts, f"hf:{tiny_bert}", cache=cache_root, engine="ray", plots="none")


@pytest.mark.parametrize("name", ["device", "cache", "workers", "C"])
def test_a_sweep_on_a_cluster_is_over_what_is_the_same_everywhere(
    tuned: Callable[..., Any], name: str, tmp_path: Path
) -> None:
    """And what cannot be tried is refused before a cluster is started, and nothing is left of it."""
    with pytest.raises(ConfigError, match="--sweep is over options of fine-tune"):
        tuned("full", engine="ray", sweep={name: [1, 2]})
    assert not list(tmp_path.glob("state-*"))


def test_a_cluster_that_is_not_there_leaves_no_state(tuned: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no Ray cluster answers at"):
        tuned("full", engine="ray", ray_address="127.0.0.1:9", sweep={"lr": [1e-4, 1e-3]})
    assert not list(tmp_path.glob("state-*"))


def test_the_features_of_data_are_computed_here_as_always(texts: Path) -> None:
    config = TuneConfig(
        data=str(texts), backbone="hf:some", engine="ray", workers=8, sweep={"lr": [1e-4, 1e-3]}
    )
    assert _as_extract(config).engine == "local"
    trial = _with(config, {"lr": 1e-3})
    assert (trial.engine, trial.workers, trial.lr) == (
        "local",
        None,
        [1e-3],
    )  # eight trials, not eight readers each


def test_a_node_with_another_scikit_learn_is_refused(place: TrialPlace) -> None:
    versions = {**place.workplace.versions, "scikit-learn": "0.1"}
    found = replace(place, workplace=replace(place.workplace, versions=versions)).reason_against()
    assert "it has scikit-learn " in found
    assert "and here it is 0.1" in found


def test_a_training_that_fails_leaves_nothing_behind(
    texts: Path, tiny_bert: Path, cache_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    with pytest.raises(ConfigError, match="--sweep is over options of fine-tune"):
        hs.fine_tune(texts, f"hf:{tiny_bert}", cache=cache_root, sweep={"C": [1.0]}, plots="none")
    assert not list((tmp_path / "t").iterdir())


@pytest.fixture
def place(tuned: Callable[..., Any], cache_root: Path, tmp_path: Path) -> TrialPlace:
    """What nodes are told of a set, and of a folder that they see."""
    features = tuned("frozen", epochs=[1]).features
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / TOKEN).write_text("seen")
    workplace = Workplace.here(Pool(1, 1, 1), False, (*COMPUTING, *FITTING))
    return TrialPlace(workplace, str(cache_root), features["set"], features["digest"], str(folder), "seen")


def test_a_node_that_sees_the_same_can_work(place: TrialPlace) -> None:
    assert place.reason_against() == ""


def test_a_node_without_the_folder_of_the_run_is_refused(place: TrialPlace) -> None:
    (Path(str(place.folder)) / TOKEN).write_text("another command's")
    assert "is not the folder that this command writes to; let --out name one" in place.reason_against()
    shutil.rmtree(str(place.folder))
    assert "is not the folder that this command writes to" in place.reason_against()


def test_a_node_without_the_set_is_refused(place: TrialPlace) -> None:
    shutil.rmtree(Cache(place.cache).root / "sets")
    assert "it cannot read the set (" in (reason := place.reason_against())
    assert reason.endswith("let --cache name a folder that all nodes share")


def test_trials_are_sent_with_little(tuned: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and settings travel, no sample and no vector."""
    import pickle

    sizes: list[int] = []
    with on_stand_ins(monkeypatch) as nodes:
        answers = nodes.answers

        def counted(work: Any, tasks: Any) -> Any:
            def each() -> Any:
                for task in tasks:
                    assert isinstance(task, NodeTrial)
                    sizes.append(len(pickle.dumps(task)))
                    yield task

            return answers(work, each())

        monkeypatch.setattr(nodes, "answers", counted)
        tuned("last:1", engine="ray", sweep={"lr": [1e-4, 1e-3]}, epochs=[1])
    assert len(sizes) == 2
    assert max(sizes) < 20_000
