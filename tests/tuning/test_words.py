"""fine-tune on words: every strategy, windows of long sentences, and the cut cache."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import headstart as hs
from headstart.config import TuneConfig
from headstart.progress import Silence
from headstart.tuning.stage import fine_tune

from ..variants import variants
from .changes import saved

TYPES = {"a": ["ada", "abe", "ana"], "b": ["bea", "bob", "ben"]}
STRATEGIES = ("full", "frozen", "last:1", "gradual", "lora", "scratch")


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    """60 sentences with names of two types, some of two words, in a JSONL file with splits; one is long, one empty."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for number in range(60):
        words, tags = [], []
        for _ in range(40 if number == 3 else int(rng.integers(1, 5))):
            kind = rng.choice(["O", "a", "b"])
            size = int(rng.integers(1, 3)) if kind != "O" else 1
            words += list(rng.choice(TYPES.get(kind, ["we", "see", "you"]), size))
            tags += ["O"] if kind == "O" else [f"B-{kind}", *[f"I-{kind}"] * (size - 1)]
        split = ["train", "train", "validation", "test"][number % 4]
        rows.append({"tokens": words, "ner_tags": tags, "split": split})
    rows[4] = {"tokens": [], "ner_tags": [], "split": "train"}
    rows[8]["tokens"][0] = ""  # a word without tokens
    path = tmp_path / "sentences.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return path


@pytest.fixture
def tuned(sentences: Path, tiny_bert: Path, cache_root: Path, tmp_path: Path) -> Callable[..., Any]:
    counter = iter(range(1000))

    def tune(strategy: str, **options: Any) -> Any:
        config = TuneConfig(
            data=str(sentences), backbone=f"hf:{tiny_bert}", cache=str(cache_root), strategy=strategy, max_length=24,
            **{"epochs": [2], "lr": [1e-3], "plots": "none", **options},
        )  # fmt: skip
        return fine_tune(config, Silence(), tmp_path / f"state-{next(counter)}")

    return tune


def written(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "predictions.parquet").to_pylist()
    return rows


@pytest.mark.parametrize("strategy", variants(STRATEGIES, {"full", "last:1"}))
def test_every_strategy_trains_saves_and_predicts(
    tuned: Callable[..., Any], tmp_path: Path, sentences: Path, strategy: str
) -> None:
    options = {"unfreeze": ["0", "1"], "epochs": [1, 1]} if strategy == "gradual" else {}
    run = tuned(strategy, **options)
    assert run.task == "tags"
    assert 0 <= run.report["metrics"]["test"]["micro_f1"] <= 1
    run.save(tmp_path / "run")
    again = hs.load_run(tmp_path / "run")
    said = again.predict(str(sentences), tags_column="ner_tags")
    kept = {row["id"]: row["prediction"] for row in written(tmp_path / "run")}
    rows = said.to_pylist()
    assert [len(row["prediction"]) for row in rows] == [len(row["words"]) for row in rows]
    assert all(row["prediction"] == kept[row["id"]] for row in rows)


@pytest.mark.parametrize(
    "tap", variants(["last.words", "1.words-mean", "last.words-last.l2"], {"1.words-mean"})
)
def test_the_network_reads_words_as_the_cache_does(
    tuned: Callable[..., Any], sentences: Path, tiny_bert: Path, cache_root: Path, tap: str
) -> None:
    features = hs.extract(
        str(sentences), backbone=f"hf:{tiny_bert}", taps=[tap], max_length=24, cache=cache_root, set="same"
    )
    run = hs.fit_head(features, head="linear", params={"epochs": 1})
    network = run.module()
    rows = [json.loads(line) for line in sentences.read_text("utf-8").splitlines()]
    texts = [
        rows[3]["tokens"],
        rows[8]["tokens"],
        rows[0]["tokens"],
    ]  # the long one, and one with an empty word
    with torch.no_grad():
        read = network.features(network.inputs(texts)).numpy()
    stored = features.tokens(tap=tap)
    for own, number in zip(read, (3, 8, 0), strict=True):
        expected = np.asarray(stored[number])
        np.testing.assert_allclose(own[: len(expected)], expected, atol=1e-5)


def test_what_enters_the_last_block_is_kept_and_the_weights_are_the_same(
    tuned: Callable[..., Any], tmp_path: Path
) -> None:
    whole, short = tuned("last:1", cut_cache=False), tuned("last:1")
    assert list(short.report["cut"]["spaces"]) == ["1"]
    before, after = (saved(one, tmp_path / name) for one, name in ((whole, "whole"), (short, "short")))
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, atol=2e-5, rtol=0)


def test_a_head_that_was_fitted_begins(
    tuned: Callable[..., Any], sentences: Path, tiny_bert: Path, tmp_path: Path, cache_root: Path
) -> None:
    features = hs.extract(
        str(sentences), backbone=f"hf:{tiny_bert}", max_length=24, cache=cache_root, set="init"
    )
    hs.fit_head(features, head="logistic", out=tmp_path / "head")
    run = tuned("frozen", init_head=str(tmp_path / "head"), epochs=[1], lr=[1e-9], head_lr=1e-9)
    run.save(tmp_path / "tuned")
    before, after = (written(tmp_path / name) for name in ("head", "tuned"))
    assert [row["prediction"] for row in before] == [row["prediction"] for row in after]
