"""fine-tune, on tiny models that are loaded as real ones are."""

from __future__ import annotations

import copy
import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import headstart as hs
from headstart.config import TuneConfig
from headstart.errors import ConfigError, DataError, DivergedError, MismatchError, StorageError
from headstart.progress import Silence
from headstart.tuning.stage import fine_tune
from headstart.tuning.state import prepare_state

from ..variants import ALL_EXAMPLES, variants
from .changes import WORDS, changed, saved

pytestmark = pytest.mark.usefixtures("one_thread")

RUINOUS: Any = {"lr": [9e5], "weight_decay": 1e3, "batch_size": 4, "epochs": [1]}
"""Weights that grow a billion times a step."""


def backbone_of(tiny_bert: Path) -> dict[str, torch.Tensor]:
    from transformers import BertModel

    return BertModel.from_pretrained(tiny_bert).state_dict()


class TestStrategies:
    """What trains, and that nothing else does."""

    def test_full_trains_everything_that_is_read(self, tuned: Any, tiny_bert: Path, tmp_path: Path) -> None:
        after = saved(tuned("full"), tmp_path / "run")
        moved = changed(backbone_of(tiny_bert), after)
        assert {"embeddings.LayerNorm.weight", "encoder.layer.0.output.dense.weight"} <= moved
        assert not {name for name in moved if name.startswith("pooler")}  # which no logit depends on

    def test_last_blocks_alone(self, tuned: Any, tiny_bert: Path, tmp_path: Path) -> None:
        fitted = tuned("last:1")
        moved = changed(backbone_of(tiny_bert), saved(fitted, tmp_path / "run"))
        assert moved
        assert all(name.startswith("encoder.layer.1.") for name in moved)
        cost = fitted.report["cost"]
        assert 0 < cost["parameters"] < cost["total_parameters"]

    def test_frozen_leaves_every_bit(self, tuned: Any, tiny_bert: Path, tmp_path: Path) -> None:
        assert not changed(backbone_of(tiny_bert), saved(tuned("frozen"), tmp_path / "run"))

    def test_gradual_goes_on_from_phase_to_phase(self, tuned: Any) -> None:
        record = tuned("gradual", unfreeze=["0", "1", "all"], epochs=[1, 2, 1])
        assert [(entry["phase"], entry["epoch"]) for entry in record.history] == [
            (1, 1),
            (2, 1),
            (2, 2),
            (3, 1),
        ]
        assert record.report["method"]["unfreeze"] == ["0", "1", "all"]

    def test_adapters_are_merged_and_kept(self, tuned: Any, tiny_bert: Path, tmp_path: Path) -> None:
        fitted = tuned("lora", lora_rank=2, epochs=[3])
        moved = changed(backbone_of(tiny_bert), saved(fitted, tmp_path / "run"))
        assert moved
        assert all(name.endswith("weight") and "embeddings" not in name for name in moved)
        adapter = tmp_path / "run" / "model" / "adapter"
        assert (adapter / "adapter_model.safetensors").exists()
        assert str(tiny_bert) not in "".join(path.read_text("utf-8") for path in adapter.glob("*.[jm]*[nd]"))
        cost = fitted.report["cost"]
        whole = sum(tensor.numel() for tensor in backbone_of(tiny_bert).values()) + 3 * 33
        assert cost["total_parameters"] == whole  # as it is kept, with the adapters merged
        assert 3 * 33 < cost["parameters"] < whole / 2  # the adapters and the head trained

    def test_scratch_begins_with_weights_of_no_meaning(
        self, tuned: Any, tiny_bert: Path, tmp_path: Path
    ) -> None:
        after = saved(tuned("scratch", seed=1, lr=[1e-9], head_lr=[1e-9]), tmp_path / "run")
        before = backbone_of(tiny_bert)
        name = "encoder.layer.0.attention.self.query.weight"
        assert (after[name] - before[name]).abs().max() > 1e-3
        again = saved(tuned("scratch", seed=1, lr=[1e-9], head_lr=[1e-9]), tmp_path / "again")
        assert torch.equal(after[name], again[name])

    def test_a_backbone_without_so_many_blocks_says_so(self, tuned: Any) -> None:
        with pytest.raises(ConfigError, match="has 2 blocks, fewer than the 5"):
            tuned("last:5")


def test_frozen_gives_what_fit_head_gives_on_the_cache(tuned: Any, texts: Path, cache_root: Path) -> None:
    fitted = tuned("frozen", epochs=[12], seed=4)
    run = hs.fit_head(
        fitted.report["provenance"]["set"],
        "linear",
        cache=str(cache_root),
        seed=4,
        params={"epochs": 12},
    )
    X, _ = hs.open_set(fitted.report["provenance"]["set"], str(cache_root)).arrays("test")
    live, cached = fitted.predictor.head, run.head
    assert (live.n_iter_, live.best_epoch_) == (cached.n_iter_, cached.best_epoch_)
    np.testing.assert_allclose(live.decision_function(X), cached.decision_function(X), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("patience", "n_epochs"), [(None, 5), (2, 4)])
def test_the_most_accurate_epoch_is_kept_and_none_is_left_out(
    tuned: Any, monkeypatch: Any, patience: int | None, n_epochs: int
) -> None:
    """Also where the loss goes on falling."""
    from headstart.training.trainee import Objective

    right = iter([False, True, False, False, False])

    def scripted(self: Any, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if len(logits) <= 8:  # a batch of training
            return torch.zeros(logits.shape[:2])
        return torch.full(logits.shape[:2], next(right))

    monkeypatch.setattr(Objective, "right", scripted)
    record = tuned("full", epochs=[5], lr=[1e-4], patience=patience)
    losses = [entry["validation_loss"] for entry in record.history]
    assert losses == sorted(losses, reverse=True)
    assert record.report["epochs"] == {"best": 2, "run": n_epochs}
    assert record.report["timings"]["to_best"] == record.history[1]["seconds"]


def test_parts_of_a_step_give_what_the_whole_gives(tuned: Any) -> None:
    """Four parts of 8 and one of 32; 45 train samples, so that the last step is a part of one as well."""
    options = {"batch_size": 32, "epochs": [3], "dropout": 0.0}

    def head(part_size: int) -> Any:
        return tuned("frozen", part_size=part_size, **options).predictor.head

    np.testing.assert_allclose(head(8).coef_, head(32).coef_, atol=1e-6)


def test_a_training_that_diverges_says_so(tuned: Any) -> None:
    with pytest.raises(
        DivergedError, match="the training diverged: no epoch has a loss that is a number; lower --lr"
    ):
        tuned("full", **RUINOUS)


def test_validation_samples_of_unknown_labels_decide_nothing(
    tiny_bert: Path, cache_root: Path, tmp_path: Path
) -> None:
    rows = [f"text {row},{'ab'[row % 2]},train" for row in range(8)]
    rows += [
        f"other {row},{label},{split}"
        for row, (label, split) in enumerate([("c", "validation"), ("a", "test")])
    ]
    (tmp_path / "data.csv").write_text("\n".join(["text,label,split", *rows]))
    config = TuneConfig(
        plots="none", data=str(tmp_path / "data.csv"), backbone=f"hf:{tiny_bert}", cache=str(cache_root)
    )
    with pytest.raises(ConfigError, match="no validation sample has a label that the train samples know"):
        fine_tune(config, Silence(), tmp_path / "state")


def test_predict_gives_what_the_report_says(tuned: Any, texts: Path, tmp_path: Path) -> None:
    record = tuned("full")
    record.save(tmp_path / "run")
    moved = tmp_path / "elsewhere" / "run"
    moved.parent.mkdir()
    (tmp_path / "run").rename(moved)
    table = hs.predict(moved, str(texts), label_column=["label"]).to_pylist()
    said = {row["id"]: row for row in record.predictions.to_pylist()}
    assert len(table) == 90
    for row in table:
        for name in WORDS:
            assert row[f"p:{name}"] == pytest.approx(said[row["id"]][f"p:{name}"], abs=1e-5)


def test_python_users_hold_the_run_without_saving_it(
    texts: Path, tiny_bert: Path, cache_root: Path, tmp_path: Path
) -> None:
    features = hs.extract(texts, f"hf:{tiny_bert}", cache=cache_root, quiet=True)
    run = hs.fine_tune(features, strategy="last:1", epochs=1, lr=1e-3, plots="none")
    before = run.predict(["red blue", "cat hen"])
    run.save(tmp_path / "run")
    assert hs.load_run(tmp_path / "run").predict(["red blue", "cat hen"]).equals(before)
    saved = hs.fine_tune(features, strategy="last:1", epochs=1, lr=1e-3, plots="none", out=tmp_path / "saved")
    assert saved.predict(["red blue", "cat hen"]).equals(before)
    assert [path.name for path in tmp_path.glob(".*training")] == []


def test_a_linear_probe_first(tuned: Any, texts: Path, cache_root: Path, tmp_path: Path) -> None:
    first = tuned("frozen")
    name = first.report["provenance"]["set"]
    hs.fit_head(name, "logistic", cache=str(cache_root), out=tmp_path / "probe", plots="none")
    still = {"lr": [1e-12], "head_lr": [1e-12], "epochs": [1], "calibrate": False}
    begun = tuned("full", init_head=tmp_path / "probe", **still).report["metrics"]["train"]
    bare = tuned("full", **still).report["metrics"]["train"]
    probe = hs.load_run(tmp_path / "probe").report["metrics"]["train"]
    assert begun["accuracy"] == probe["accuracy"] > bare["accuracy"]
    assert begun["log_loss"] == pytest.approx(probe["log_loss"], abs=1e-3)
    hs.fit_head(name, "knn", cache=str(cache_root), out=tmp_path / "knn", plots="none")
    with pytest.raises(ConfigError, match="knn"):
        tuned("full", init_head=tmp_path / "knn")


def test_a_linear_probe_of_several_labels_gives_the_head_of_the_label_that_is_tuned(
    tiny_bert: Path, cache_root: Path, tmp_path: Path
) -> None:
    texts = [
        f"{words} {number}"
        for number in range(10)
        for words in ("red blue", "green red", "cat hen", "dog cat")
    ]
    labels = {"kind": ["colour", "colour", "animal", "animal"] * 10, "first": ["r", "g", "c", "d"] * 10}
    about: Any = {"backbone": f"hf:{tiny_bert}", "labels": labels, "cache": cache_root}
    features = hs.extract(texts, **about)
    probe = hs.fit_head(features, "ridge", label="all", out=tmp_path / "probe", plots="none")
    still: Any = {"lr": 1e-12, "head_lr": 1e-12, "epochs": 1, "calibrate": False, "plots": "none"}
    for asked, label in ((None, "kind"), ("first", "first")):
        begun = hs.fine_tune(texts, label=asked, init_head=tmp_path / "probe", **about, **still)
        figures = [run.report["metrics"]["train"]["accuracy"] for run in (begun, probe.of(label))]
        assert figures[0] == figures[1], label


def test_same_seed_same_weights(tuned: Any, tmp_path: Path) -> None:
    first, again = (saved(tuned("full", seed=1), tmp_path / name) for name in ("a", "b"))
    other = saved(tuned("full", seed=2), tmp_path / "c")
    assert not changed(first, again)
    assert changed(first, other)


class TestSearch:
    """Options are chosen on validation data."""

    def test_a_grid_keeps_the_best_without_training_it_again(self, tuned: Any) -> None:
        record = tuned("full", sweep={"lr": [1e-9, 1e-3], "strategy": ["last:1", "full"]}, seed=2)
        sweep = record.report["sweep"]
        assert [trial["params"] for trial in sweep["trials"]] == [
            {"lr": lr, "strategy": strategy} for lr in (1e-9, 1e-3) for strategy in ("last:1", "full")
        ]
        assert record.report["method"]["strategy"] == sweep["best"]["strategy"]
        best = next(trial for trial in sweep["trials"] if trial["params"] == sweep["best"])
        kept = max(
            record.history, key=lambda entry: (entry["validation_accuracy"], -entry["validation_loss"])
        )
        assert best["validation"]["accuracy"]["mean"] == kept["validation_accuracy"]
        assert best["validation"]["loss"]["mean"] == pytest.approx(kept["validation_loss"], rel=1e-6)
        assert record.report["epochs"]["best"] == kept["number"]

    @pytest.mark.parametrize("strategy", variants(["last:1", "gradual"], {"gradual"}))
    def test_trials_that_were_done_before_a_crash_keep_their_scores(
        self, texts: Path, tiny_bert: Path, cache_root: Path, tmp_path: Path, strategy: str
    ) -> None:
        """A phase counts by its own epochs: no other's weights are kept."""
        config = TuneConfig(
            plots="none",
            data=str(texts), backbone=f"hf:{tiny_bert}", cache=str(cache_root), strategy=strategy, epochs=[2],
            sweep={"lr": [1e-9, 1e-3]}, **({"unfreeze": ["0", "1"]} if strategy == "gradual" else {}),
        )  # fmt: skip
        first, again = (fine_tune(config, Silence(), tmp_path / "state") for _ in range(2))
        sweep = first.report["sweep"]
        assert again.report["sweep"]["trials"] == sweep["trials"]
        assert again.report["sweep"]["best"] == sweep["best"] == {"lr": 1e-3}
        best, kept = sweep["trials"][1], first.history[first.report["epochs"]["best"] - 1]
        assert kept["phase"] == first.history[-1]["phase"]
        assert best["validation"]["loss"]["mean"] == pytest.approx(kept["validation_loss"], rel=1e-6)

    def test_a_trial_that_diverges_is_one_that_lost(self, tuned: Any) -> None:
        options = {name: value for name, value in RUINOUS.items() if name != "lr"}
        trials = tuned("full", sweep={"lr": [9e5, 1e-5]}, **options).report["sweep"]["trials"]
        assert [trial["diverged"] for trial in trials] == [True, False]
        with pytest.raises(ConfigError, match="all 1 trainings diverged; sweep over smaller"):
            tuned("full", sweep={"lr": [9e5]}, **options)

    def test_optuna_gives_up_on_the_worse(self, tuned: Any) -> None:
        pytest.importorskip("optuna")
        options = {"sweep": {"lr": [1e-8, 1e-2]}, "search": "optuna", "trials": 5, "epochs": [2]}
        first = tuned("last:1", **options).report["sweep"]["trials"]
        again = tuned("last:1", **{**options, "trials": 2}).report["sweep"]["trials"]
        assert [trial["params"] for trial in first[:2]] == [trial["params"] for trial in again]
        assert len(first) == 5
        assert all(1e-8 <= trial["params"]["lr"] <= 1e-2 for trial in first)

    def test_what_is_no_option_is_refused(self, tuned: Any) -> None:
        with pytest.raises(ConfigError, match="--sweep is over options of fine-tune"):
            tuned("full", sweep={"C": [1.0]})


@pytest.mark.parametrize("kind", ["multi", "regression"])
def test_several_labels_and_numbers(tmp_path: Path, tiny_bert: Path, cache_root: Path, kind: str) -> None:
    lines = ["text,label,split"]
    for row in range(48):
        label = "|".join(["red", "blue", "green"][: row % 3 + 1]) if kind == "multi" else str(row / 7)
        lines.append(
            f"{'red ' * (row % 3)}{'blue ' * (row % 5)}word {row},{label},{['train', 'validation', 'test'][row % 3]}"
        )
    (tmp_path / "data.csv").write_text("\n".join(lines))
    config = TuneConfig(
        plots="none",
        data=str(tmp_path / "data.csv"), backbone=f"hf:{tiny_bert}", cache=str(cache_root), strategy="last:1",
        lr=[1e-3], epochs=[2], label_kind=kind, label_separator="|" if kind == "multi" else None,
    )  # fmt: skip
    record = fine_tune(config, Silence(), tmp_path / "state")
    assert record.report["task"] == kind
    assert ("rmse" if kind == "regression" else "macro_f1") in record.report["metrics"]["test"]
    record.save(tmp_path / "run")
    assert hs.load_run(tmp_path / "run").predict(["red blue"]).num_rows == 1


class TestResume:
    """An interrupted training ends where the uninterrupted one ends."""

    @pytest.mark.property
    def test_from_any_epoch_of_any_phase(
        self, tuned: Any, texts: Path, tiny_bert: Path, cache_root: Path, tmp_path: Path, monkeypatch: Any
    ) -> None:
        from headstart.training.checkpoint import Checkpoint

        options: dict[str, Any] = {"unfreeze": ["0", "1", "all"], "epochs": [2], "seed": 5}
        whole = saved(tuned("gradual", **options), tmp_path / "whole")
        config = TuneConfig(
            plots="none",
            data=str(texts), backbone=f"hf:{tiny_bert}", cache=str(cache_root), strategy="gradual", lr=[1e-3],
            **options,
        )  # fmt: skip

        class Cut(BaseException):
            pass

        for stop_after in (1, 3, 4, 6) if ALL_EXAMPLES in os.environ else (3,):
            state = tmp_path / f"cut-{stop_after}"
            n_done = 0
            real = Checkpoint.write

            def write(self: Any, tensors: Any, plain: Any, stop: int = stop_after, real: Any = real) -> None:
                nonlocal n_done
                real(self, tensors, plain)
                n_done += 1
                if n_done == stop:
                    raise Cut

            monkeypatch.setattr(Checkpoint, "write", write)
            with pytest.raises(Cut):
                fine_tune(config, Silence(), state)
            monkeypatch.setattr(Checkpoint, "write", real)
            record = fine_tune(config, Silence(), state)
            assert not changed(whole, saved(record, tmp_path / f"run-{stop_after}"))
            assert len(record.history) == 6

    def test_other_settings_are_refused_with_the_difference(
        self, texts: Path, tiny_bert: Path, tmp_path: Path
    ) -> None:
        config = TuneConfig(plots="none", data=str(texts), backbone=f"hf:{tiny_bert}", epochs=[2])
        target = tmp_path / "runs" / "x"
        state = prepare_state(config, target, resume=False, overwrite=False)
        state.mkdir()
        (state / "settings.json").write_text('{"strategy": "full", "epochs": [9]}')
        with pytest.raises(ConfigError, match=r"epochs was \[9\] and is \[2\]"):
            prepare_state(config, target, resume=True, overwrite=False)
        with pytest.raises(ConfigError, match="--resume goes on with it"):
            prepare_state(config, target, resume=False, overwrite=False)
        prepare_state(config, target, resume=False, overwrite=True)
        assert not state.exists()

    def test_a_damaged_state_is_named(
        self, texts: Path, tiny_bert: Path, cache_root: Path, tmp_path: Path
    ) -> None:
        config = TuneConfig(
            plots="none",
            data=str(texts), backbone=f"hf:{tiny_bert}", cache=str(cache_root), strategy="last:1", epochs=[1],
        )  # fmt: skip
        fine_tune(config, Silence(), tmp_path / "state")
        [path] = (tmp_path / "state").glob("phase-*")
        whole = path.read_bytes()
        for damaged in (whole[: len(whole) // 2], b"", b"no safetensors at all"):
            path.write_bytes(damaged)
            with pytest.raises(StorageError, match=r"phase-1.*holds no state of a training .*--overwrite"):
                fine_tune(config, Silence(), tmp_path / "state")
        state = load_file(path) if path.write_bytes(whole) else {}
        with safe_open(path, "np") as file:
            metadata = file.metadata()
        state.pop(next(name for name in state if name.startswith("done.0/")))
        save_file(state, path, metadata)
        with pytest.raises(StorageError, match="holds no state of a training"):
            fine_tune(config, Silence(), tmp_path / "state")

    @pytest.mark.parametrize(
        "left", ["history.json", "phase-1/checkpoint-4/trainer_state.json", "trial-1/history.json"]
    )
    def test_the_state_of_an_earlier_loop_is_refused(
        self, texts: Path, tiny_bert: Path, tmp_path: Path, left: str
    ) -> None:
        config = TuneConfig(plots="none", data=str(texts), backbone=f"hf:{tiny_bert}", epochs=[2])
        target = tmp_path / "runs" / "x"
        state = prepare_state(config, target, resume=False, overwrite=False)
        (state / left).parent.mkdir(parents=True)
        (state / left).write_text("{}")
        with pytest.raises(ConfigError, match=r"made by an earlier version's training loop.*--overwrite"):
            prepare_state(config, target, resume=True, overwrite=False)


class TestCallbacks:
    """A callback is what fit-head takes."""

    def test_it_is_told_each_epoch_and_may_end_a_phase(
        self, tuned: Any, tmp_path: Path, monkeypatch: Any
    ) -> None:
        (tmp_path / "my_callbacks.py").write_text(
            "heard = []\ndef second(record):\n    heard.append(record)\n    return record['number'] == 2\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        record = tuned("last:1", epochs=[5], callback=["py:my_callbacks:second"])
        heard = importlib.import_module("my_callbacks").heard
        assert heard == record.history
        assert [(each["number"], each["phase"]) for each in heard] == [(1, 1), (2, 1)]
        assert all(0 < each["moved"] <= 1 and each["gradient_norm"] > 0 for each in heard)

    def test_one_of_transformers_is_refused(self, tuned: Any, tmp_path: Path, monkeypatch: Any) -> None:
        (tmp_path / "their_callbacks.py").write_text(
            "from transformers import TrainerCallback\nclass Mine(TrainerCallback):\n    pass\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        with pytest.raises(ConfigError, match="is a TrainerCallback of transformers, which no training here"):
            tuned("last:1", callback=["py:their_callbacks:Mine"])


class TestRefusals:
    """What cannot be trained says why."""

    def test_a_set_without_labels(self, tiny_bert: Path, cache_root: Path, tmp_path: Path) -> None:
        (tmp_path / "bare.txt").write_text("x")
        (tmp_path / "bare.csv").write_text("text\n" + "\n".join(f"word {n}" for n in range(20)))
        config = TuneConfig(
            plots="none", data=str(tmp_path / "bare.csv"), backbone=f"hf:{tiny_bert}", cache=str(cache_root)
        )
        with pytest.raises((ConfigError, DataError), match="label"):
            fine_tune(config, Silence(), tmp_path / "state")

    def test_data_that_changed_since(
        self, tuned: Any, texts: Path, tiny_bert: Path, cache_root: Path, tmp_path: Path
    ) -> None:
        name = tuned("frozen", epochs=[1]).report["provenance"]["set"]
        lines = texts.read_text().splitlines()
        texts.write_text("\n".join([lines[0], "another text,food,train", *lines[2:]]))
        config = TuneConfig(plots="none", data=name, cache=str(cache_root), epochs=[1])
        with pytest.raises(MismatchError, match="1 samples of the set are not in the data any more"):
            fine_tune(config, Silence(), tmp_path / "state")

    def test_a_head_of_another_backbone(
        self, tuned: Any, tiny_bert: Path, cache_root: Path, texts: Path, tmp_path: Path
    ) -> None:
        features = hs.extract(
            str(texts), f"hf:{tiny_bert}", taps=["1.cls"], cache=str(cache_root), set="other", quiet=True
        )
        hs.fit_head(features, "ridge", out=tmp_path / "other", plots="none")
        with pytest.raises(MismatchError, match=r"reads 1\.cls"):
            tuned("full", init_head=tmp_path / "other")

    def test_what_was_decided_at_extraction(self, tuned: Any, cache_root: Path, tmp_path: Path) -> None:
        name = tuned("frozen", epochs=[1]).report["provenance"]["set"]
        with pytest.raises(ConfigError, match="--max-length was decided when the set was extracted"):
            fine_tune(
                TuneConfig(plots="none", data=name, cache=str(cache_root), max_length=9),
                Silence(),
                tmp_path / "state",
            )

    def test_a_set_that_is_not_there(self, texts: Path, cache_root: Path, tmp_path: Path) -> None:
        config = TuneConfig(plots="none", data="no-such-set", cache=str(cache_root))
        with pytest.raises((ConfigError, DataError), match="no-such-set"):
            fine_tune(config, Silence(), tmp_path / "state")


def test_running_out_of_memory_halves_the_parts(tuned: Any, monkeypatch: Any) -> None:
    """The step stays what it is, so that the weights are those of a machine with more memory."""
    from headstart.tuning.trainee import WholeNetwork

    real = WholeNetwork.losses

    def tight(self: Any, part: Any) -> Any:
        if len(part[0]["labels"]) > 4:
            raise torch.OutOfMemoryError("out of memory")
        return real(self, part)

    roomy = tuned("frozen", epochs=[2], batch_size=16, part_size=4)
    monkeypatch.setattr(WholeNetwork, "losses", tight)
    found = tuned("frozen", epochs=[2], batch_size=16, part_size=16)
    assert found.report["method"]["part_size"] == 4
    np.testing.assert_array_equal(found.predictor.head.coef_, roomy.predictor.head.coef_)


def test_every_parameter_is_in_one_group_or_frozen(tiny_bert: Path) -> None:
    from headstart.backbones import BackboneOptions, open_backbone
    from headstart.tuning.whole_model import LinearHeadLayer, WholeModel

    frozen = open_backbone(f"hf:{tiny_bert}", BackboneOptions()).load("cpu", "fp32")
    model = WholeModel(frozen, "final.mean", LinearHeadLayer(torch.zeros(32), torch.ones(32), 3), "text")
    model.find_unread(frozen.collate(frozen.prepare(["a cat", "dog"])))
    for depth in range(5):
        model.train_from(depth)
        groups = model.groups(1e-4, 1e-3, 0.5, 0.01)
        named = dict(model.named_parameters())
        grouped = [id(named[name]) for group in groups for name in group["names"]]
        assert len(grouped) == len(set(grouped))
        assert set(grouped) == {id(p) for p in model.parameters() if p.requires_grad}
        assert {id(p) for p in model.head.parameters()} <= set(grouped)
    model.train_from(0)
    rates = sorted({group["lr"] for group in model.groups(1e-4, 1e-3, 0.5, 0.01)})
    assert rates == pytest.approx([1.25e-5, 2.5e-5, 5e-5, 1e-3])  # embeddings, two blocks, head


def test_what_is_frozen_is_in_eval_mode(tiny_bert: Path) -> None:
    from headstart.backbones import BackboneOptions, open_backbone
    from headstart.tuning.whole_model import LinearHeadLayer, WholeModel

    frozen = open_backbone(f"hf:{tiny_bert}", BackboneOptions()).load("cpu", "fp32")
    model = WholeModel(frozen, "final.mean", LinearHeadLayer(torch.zeros(32), torch.ones(32), 3), "text")
    model.train_from(2)
    model.train()
    training = {name for name, module in frozen.module.named_modules() if module.training}
    assert "encoder.layer.1.output.dropout" in training
    assert not {name for name in training if name.startswith(("embeddings", "encoder.layer.0"))}
    model.eval()
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("live", [True, False])
def test_batch_norms_of_what_is_frozen_keep_their_statistics(live: bool) -> None:
    import timm

    from headstart.tuning.whole_model import Depths, LinearHeadLayer, WholeModel

    class Frozen:
        def __init__(self) -> None:
            self.module = timm.create_model("resnet18", num_classes=0).eval()
            self.device = torch.device("cpu")

        def forward(self, batch: Any, reads: Any) -> Any:
            from headstart.types import Activations

            return Activations({}, {"pooler": self.module(batch["pixel_values"])})

    frozen = Frozen()
    layer = LinearHeadLayer(torch.zeros(512), torch.ones(512), 2)
    model = WholeModel(frozen, "pooler", layer, "image", live_statistics=live)  # type: ignore[arg-type]
    before = copy.deepcopy(frozen.module.state_dict())
    model.train_from(4)
    model.train()
    model({"pixel_values": torch.randn(4, 3, 64, 64)}).sum().backward()
    after = frozen.module.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    depths = Depths.of(frozen.module).of_parameter
    assert bool(moved) == live
    assert all(name.startswith("layer4.") for name in moved)
    assert all(p.grad is None for n, p in frozen.module.named_parameters() if depths[n] < 4)
