"""Few shots and learning curves of whole networks: the draws of fit-head, each tuned on and judged alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import headstart as hs
from headstart.config import TuneConfig
from headstart.curves.record import KeptCurves
from headstart.errors import ConfigError
from headstart.progress import Silence
from headstart.tuning.stage import fine_tune

pytestmark = pytest.mark.usefixtures("one_thread")

DRAWS: Any = {"shots": [1, 3], "curve": ["50%"], "seeds": 2, "epochs": [1]}


def kept(run: Any) -> KeptCurves:
    assert run.marks is not None
    return KeptCurves.read(run.marks, "the run")


def test_the_draws_are_those_of_a_head_on_the_same_set(tuned: Any, cache_root: Path) -> None:
    run = tuned("last:1", **DRAWS)
    name = run.features["set"]
    head = hs.fit_head(name, head="ridge", shots=[1, 3], curve=["50%"], seeds=2, cache=cache_root)
    [mine], [others] = kept(run).curves, kept(head).curves
    assert [(d.protocol, d.size, d.seed, d.n_train, d.drawn) for d in mine.draws] == [
        (d.protocol, d.size, d.seed, d.n_train, d.drawn) for d in others.draws
    ]
    assert kept(run).units.equals(kept(head).units)
    for curves in hs.compare([run, head]).curves:
        assert all(lead.is_paired for leads in curves.leads.values() for lead in leads)
    for protocol in ("shots", "curve"):
        rows, wanted = run.report[protocol], head.report[protocol]
        assert [{**row, "values": 0, "mean": 0, "deviation": 0, "interval": 0}.keys() for row in rows] == [
            row.keys() for row in wanted
        ]


def test_a_draw_is_what_a_training_on_its_samples_alone_gives(
    tuned: Any, texts: Path, tiny_bert: Path, cache_root: Path, tmp_path: Path
) -> None:
    """A set of the drawn train samples, and the same others, tuned on with the seed of the draw."""
    run = tuned("full", shots=[1, 2], seeds=2, epochs=[2])
    second = next(d for d in kept(run).curves[0].draws if (d.size, d.seed) == (2, 1))
    features = hs.open_set(run.features["set"], cache=cache_root)
    train = features.rows("train")
    from headstart.curves.draws import few_of_each

    drawn = set(train.table.take(few_of_each(train.y, 2, seed=1).tolist()).column("id").to_pylist())
    lines = texts.read_text("utf-8").splitlines()
    ids = features.samples.column("id").to_pylist()
    splits = features.samples.column("split").to_pylist()
    keep = [
        line
        for line, name, split in zip(lines[1:], ids, splits, strict=True)
        if split != "train" or name in drawn
    ]
    few = tmp_path / "few.csv"
    few.write_text("\n".join([lines[0], *keep]) + "\n", "utf-8")
    config = TuneConfig(
        data=str(few), backbone=f"hf:{tiny_bert}", cache=str(cache_root), strategy="full", epochs=[2], lr=[1e-3],
        seed=1, plots="none",
    )  # fmt: skip
    alone = fine_tune(config, Silence(), tmp_path / "alone")
    assert alone.report["data"]["n_train"] == second.n_train == 6
    assert second.scores["accuracy"] == pytest.approx(alone.report["metrics"]["test"]["accuracy"])


def test_finished_draws_are_not_done_again(tuned: Any, tmp_path: Path) -> None:
    """One of those beside the network that is kept is missing, as after an interruption: it alone is done."""
    whole = tuned("last:1", shots=[1, 2], seeds=2, epochs=[1])
    config = TuneConfig(
        data=whole.features["set"], cache=whole.features["cache"], strategy="last:1", lr=[1e-3], epochs=[1],
        shots=[1, 2], seeds=2, plots="none",
    )  # fmt: skip
    state = tmp_path / "again"
    fine_tune(config, Silence(), state)
    folders = sorted((state / "draws").iterdir())
    assert [folder.name for folder in folders] == ["shots-1-seed-0", "shots-1-seed-1", "shots-2-seed-1"]
    assert {path.name for path in (state / "draws").rglob("*") if path.is_file()} == {"result.json"}
    shutil.rmtree(folders[1])
    before = {
        folder.name: (folder / "result.json").stat().st_mtime_ns for folder in folders if folder.exists()
    }
    run = fine_tune(config, Silence(), state)
    after = {folder.name: (folder / "result.json").stat().st_mtime_ns for folder in folders}
    assert {name: after[name] for name in before} == before
    assert run.report["shots"] == whole.report["shots"]
    slower = config.model_copy(update={"lr": [1e-4], "shots": [1, 2], "seeds": 1})
    shutil.copytree(state / "draws", tmp_path / "slower" / "draws")
    fine_tune(slower, Silence(), tmp_path / "slower")
    kept_now = json.loads(
        (tmp_path / "slower" / "draws" / "shots-1-seed-0" / "result.json").read_text("utf-8")
    )
    assert kept_now["settings"]["lr"] == [1e-4]  # what another rate came to is no result of this one


def test_what_cannot_be_drawn_is_refused_before_training(tuned: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--shots takes numbers of samples in \[1, 16\]"):
        tuned(shots=[17])
    with pytest.raises(ConfigError, match="--seeds is the number of draws"):
        tuned(seeds=3)
    with pytest.raises(ConfigError, match="--init-head begins with what all labels taught"):
        tuned(shots=[1], init_head=tmp_path)


def test_the_run_keeps_the_network_of_its_largest_draw(tuned: Any, cache_root: Path) -> None:
    """Beside it nothing is tuned on all train samples, which costs more than all draws together."""
    run = tuned("last:1", shots=[1, 4], seeds=2, epochs=[1])
    assert run.report["drawn"] == {"protocol": "shots", "size": 4, "seed": 0, "n_left_out": 48 - 12}
    assert run.report["data"]["n_train"] == 12
    assert run.report["data"]["n_unlabelled"] == 0
    row = run.report["shots"][1]
    assert row["values"]["accuracy"][0] == pytest.approx(run.report["metrics"]["test"]["accuracy"])
    whole = tuned("last:1", curve=["100%"], epochs=[1])
    plain = tuned("last:1", epochs=[1])
    assert whole.report["curve"][0]["values"]["accuracy"] == [plain.report["metrics"]["test"]["accuracy"]]
    assert whole.report["metrics"] == plain.report["metrics"]
