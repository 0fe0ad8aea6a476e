"""Contrastive tuning: a backbone learns from pairs of a few labels, and a head is fitted behind it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import headstart as hs
from headstart.config import TuneConfig
from headstart.errors import ConfigError, DataError, HeadstartError
from headstart.progress import Silence
from headstart.tuning.stage import fine_tune

from .changes import WORDS, Ear, changed, image_backbone, saved, tensors_of

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Four train samples of each of three classes, as many to choose by, and 48 to test on."""
    rng = np.random.default_rng(0)
    path = tmp_path / "few.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "split"])
        for row in range(72):
            name = list(WORDS)[row % 3]
            words = " ".join(rng.choice(WORDS[name].split(), 3))
            split = "train" if row < 12 else "validation" if row < 24 else "test"
            writer.writerow([f"{words} {row}", name, split])
    return path


def spread(X: Any, y: Any) -> float:
    """The mean cosine within classes, less that between them."""
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    cosines, alike = unit @ unit.T, y[:, None] == y
    own = alike & ~np.eye(len(y), dtype=bool)
    return float(cosines[own].mean() - cosines[~alike].mean())


@pytest.mark.parametrize("pair_loss", ["supcon", "cosine"])
def test_classes_come_together_and_the_head_stands_on_the_tuned_features(
    tuned: Any, pair_loss: str, tiny_bert: Path, cache_root: Path, texts: Path, tmp_path: Path
) -> None:
    from transformers import BertModel

    run = tuned("contrastive", epochs=[3], pair_loss=pair_loss)
    losses = [entry["train_loss"] for entry in run.history]
    assert losses == sorted(losses, reverse=True)
    after = saved(run, tmp_path / "run")
    moved = changed(BertModel.from_pretrained(tiny_bert).state_dict(), after)
    assert {"embeddings.word_embeddings.weight", "encoder.layer.1.output.dense.weight"} <= moved
    assert not {name for name in moved if name.startswith("pooler")}  # which no feature depends on

    data: dict[str, Any] = {"label_column": "label", "split_column": "split", "cache": cache_root}
    frozen = hs.extract(texts, f"hf:{tiny_bert}", set="frozen", **data)
    new = hs.extract(texts, f"hf:{tmp_path / 'run' / 'model' / 'backbone'}", set="new", **data)
    assert spread(*new.arrays("test")) > spread(*frozen.arrays("test")) + 0.1
    # The head is that of fit-head on the features of the tuned backbone, which a batch rounds otherwise.
    again = hs.fit_head(new, "logistic", params={"C": run.head.C_}, plots="none")
    X, _ = new.arrays("test")
    np.testing.assert_allclose(run.head.decision_function(X), again.head.decision_function(X), atol=0.1)


def test_a_run_is_one_like_any_other(tuned: Any, texts: Path, cache_root: Path, tmp_path: Path) -> None:
    record = tuned("contrastive", epochs=[1], class_weight="balanced", label_smoothing=0.1)
    record.save(tmp_path / "run")
    run = hs.load_run(tmp_path / "run")
    assert run.report["head"]["name"] == run.head.kind == "logistic"
    assert run.report["head"]["params"] == {"class_weight": "balanced", "label_smoothing": 0.1}
    assert run.head.class_weight == "balanced"
    assert [entry["number"] for entry in run.history] == [1]
    assert run.report["method"]["strategy"] == run.strategy == "contrastive"
    assert "tuned on pairs of 48 samples" in (tmp_path / "run" / "README.md").read_text("utf-8")
    table = hs.predict(tmp_path / "run", str(texts), label_column=["label"], with_inputs=True).to_pylist()
    said = {row["id"]: row for row in record.predictions.to_pylist()}
    for row in table:
        for name in WORDS:
            assert row[f"p:{name}"] == pytest.approx(said[row["id"]][f"p:{name}"], abs=1e-5)
    whole = run.module()
    logits = whole(whole.inputs([row["input"] for row in table[:4]]))
    chosen = [run.labels["classes"][place] for place in logits.argmax(dim=1).tolist()]
    assert chosen == [row["prediction"] for row in table[:4]]
    probe = hs.fit_head(record.report["provenance"]["set"], "logistic", cache=str(cache_root), plots="none")
    compared = hs.compare([probe, run])
    assert [one.method for one in compared.runs] == ["head", "contrastive"]


def test_training_with_few_labels_takes_several_steps(
    few: Path, tiny_bert: Path, cache_root: Path, tmp_path: Path
) -> None:
    """Twelve samples are one batch, and one step an epoch would not move a weight to speak of."""
    options: dict[str, Any] = {
        "lr": 1e-3,
        "epochs": 3,
        "pair_loss": "cosine",
        "cache": cache_root,
        "plots": "none",
    }
    run = hs.fine_tune(few, f"hf:{tiny_bert}", strategy="contrastive", out=tmp_path / "run", **options)
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"] / 2


@pytest.mark.parametrize("name", ["hf:resnet", "test_vit.r160_in1k"])
def test_images_too_and_batch_norms_keep_what_they_knew(
    photos: Path, cache_root: Path, tmp_path: Path, name: str
) -> None:
    about = image_backbone(name, tmp_path)
    options: dict[str, Any] = {"lr": 1e-3, "epochs": 1, "cache": cache_root, "plots": "none"}
    run = hs.fine_tune(photos, strategy="contrastive", out=tmp_path / "run", **about, **options)
    assert run.strategy == "contrastive"
    if not name.startswith("hf:"):
        return
    before = tensors_of(Path(about["backbone"].removeprefix("hf:")))
    after = tensors_of(tmp_path / "run" / "model" / "backbone")
    moved = changed({name: before[name] for name in after}, after)
    statistics = {name for name in after if "running_" in name or "num_batches" in name}
    assert statistics
    assert not moved & statistics
    assert moved


class Cut(BaseException):
    """The training ends here, as if it were killed."""


def test_a_training_that_is_taken_up_ends_where_the_uninterrupted_one_ends(
    tuned: Any, texts: Path, tiny_bert: Path, cache_root: Path, tmp_path: Path
) -> None:
    whole = tuned("contrastive", epochs=[3], seed=5)
    config = TuneConfig(
        data=str(texts), backbone=f"hf:{tiny_bert}", cache=str(cache_root), strategy="contrastive", lr=[1e-3],
        epochs=[3], seed=5, plots="none",
    )  # fmt: skip

    from headstart.training.checkpoint import Checkpoint

    real, n_written = Checkpoint.write, 0

    def write(self: Any, tensors: Any, plain: Any) -> None:
        nonlocal n_written
        real(self, tensors, plain)
        n_written += 1
        if n_written == 2:
            raise Cut

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "write", write)
        with pytest.raises(Cut):
            fine_tune(config, Silence(), tmp_path / "state")
    resumed = fine_tune(config, Silence(), tmp_path / "state")
    assert not changed(saved(whole, tmp_path / "whole"), saved(resumed, tmp_path / "resumed"))
    np.testing.assert_array_equal(whole.head.coef_, resumed.head.coef_)
    assert [entry["train_loss"] for entry in whole.history] == [
        entry["train_loss"] for entry in resumed.history
    ]


def test_same_seed_same_numbers(tuned: Any, tmp_path: Path) -> None:
    first, again, other = (tuned("contrastive", epochs=[1], seed=seed) for seed in (1, 1, 2))
    weights = [saved(run, tmp_path / str(number)) for number, run in enumerate((first, again, other))]
    assert not changed(weights[0], weights[1])
    np.testing.assert_array_equal(first.head.coef_, again.head.coef_)
    assert changed(weights[0], weights[2])


def test_it_can_be_searched_over_beside_other_strategies(tuned: Any) -> None:
    run = tuned("contrastive", sweep={"lr": [1e-9, 1e-3], "strategy": ["contrastive", "last:1"]}, epochs=[1])
    trials = run.report["sweep"]["trials"]
    assert len(trials) == 4
    assert all(trial["validation"]["accuracy"]["mean"] is not None for trial in trials)


def test_it_says_what_trains(texts: Path, tiny_bert: Path, cache_root: Path, tmp_path: Path) -> None:
    config = TuneConfig(
        data=str(texts), backbone=f"hf:{tiny_bert}", cache=str(cache_root), strategy="contrastive",
        epochs=[1], plots="none",
    )  # fmt: skip
    ear = Ear()
    fine_tune(config, ear, tmp_path / "state")
    lines = [line.split()[0] for line in ear.said if "backbone" in line or line.strip().startswith("head")]
    assert "backbone" in lines
    assert "head" not in lines  # which does not train with it


def tune(rows: list[tuple[str, str]], tiny_bert: Path, cache_root: Path, **options: Any) -> Any:
    texts, labels = zip(*rows, ("grey", rows[0][1]), ("gold", rows[0][1]), strict=True)
    splits = [*["train"] * len(rows), "validation", "test"]
    return hs.fine_tune(
        list(texts), f"hf:{tiny_bert}", labels=list(labels), splits=splits,
        strategy="contrastive", cache=cache_root, plots="none", **{"epochs": 1, "lr": 1e-3, **options},
    )  # fmt: skip


class TestFewest:
    """Labels that are hardly enough."""

    def test_one_class(self, tiny_bert: Path, cache_root: Path) -> None:
        with pytest.raises(HeadstartError, match=r"one class|two classes"):
            tune([("red", "x"), ("blue", "x"), ("tan", "x")], tiny_bert, cache_root)

    def test_one_sample_of_each_class_has_no_pair(self, tiny_bert: Path, cache_root: Path) -> None:
        with pytest.raises(DataError, match="no class has two train samples; label a second"):
            tune([("red", "x"), ("hen", "y"), ("egg", "z")], tiny_bert, cache_root)

    def test_a_class_of_one_is_kept_apart_from_the_others(self, tiny_bert: Path, cache_root: Path) -> None:
        rows = [
            ("red", "colour"),
            ("tan blue", "colour"),
            ("hen", "animal"),
            ("cow cat", "animal"),
            ("egg", "food"),
        ]
        run = tune(rows, tiny_bert, cache_root)
        assert run.labels["classes"] == ["animal", "colour", "food"]
        assert np.isfinite(run.history[0]["train_loss"])

    def test_two_samples_and_one(self, tiny_bert: Path, cache_root: Path) -> None:
        run = tune([("red", "x"), ("blue", "x"), ("hen", "y")], tiny_bert, cache_root)
        assert run.predict(["blue"]).num_rows == 1


@pytest.mark.parametrize(
    ("kind", "column", "message"),
    [
        ("regression", "number", "of one class or of two, and these labels are numbers"),
        ("multi", "several", "of one class or of two, and these labels are labels"),
        ("seq2seq", "label", "of one class or of two, and these labels are texts"),
    ],
)
def test_labels_that_are_no_classes_are_refused_by_name(
    tmp_path: Path, tiny_bert: Path, cache_root: Path, kind: str, column: str, message: str
) -> None:
    lines = ["text,number,several,label"]
    lines += [f"word {row},{row / 7},{'a|b' if row % 2 else 'a'},red" for row in range(20)]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    options: dict[str, Any] = {"label_column": column, "label_kind": kind, "cache": cache_root}
    if kind == "multi":
        options["label_separator"] = "|"
    with pytest.raises(ConfigError, match=message):
        hs.fine_tune(tmp_path / "data.csv", f"hf:{tiny_bert}", strategy="contrastive", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"init_head": "somewhere"},
            "--init-head is for a head that trains with the backbone, and contrastive fits",
        ),
        ({"head_lr": [1e-3]}, "--head-lr is for a head that trains"),
        ({"dropout": 0.1}, "--dropout is for a head that trains"),
        ({"part_size": 4}, "--part-size does not go with contrastive, which compares all samples of a batch"),
        (
            {"batch_size": 3},
            r"contrastive compares the pairs of a batch, which takes 6 samples.*\(got --batch-size 3\)",
        ),
        ({"unfreeze": ["0"]}, "means nothing to contrastive"),
        ({"pair_loss": "triplet"}, "pair-loss"),
    ],
)
def test_options_of_other_strategies_are_refused(tuned: Any, options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tuned("contrastive", **options)


def test_memory_that_does_not_suffice_names_the_way_out(tuned: Any, monkeypatch: Any) -> None:
    from headstart.tuning import contrastive

    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(contrastive, "batch_loss", full)
    with pytest.raises(DataError, match=r"32 samples at once, whose pairs .* smaller --batch-size"):
        tuned("contrastive")
