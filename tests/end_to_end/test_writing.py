"""Texts to write, as a user has them written: trained, killed, resumed, predicted, judged and compared."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import AutoModelForSeq2SeqLM

from ..processes import start
from ..tuning.writers import rows, save_writer, write_rows
from .conftest import Result, undrawn

Runner = Callable[..., Result]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that wait for each other over tiny products take minutes on a busy machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "digits.jsonl", rows(50))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_writer(tmp_path / "t5", "t5")


def words_for(digits: Path, model: Path, out: str, *more: str) -> list[str]:
    return [
        "fine-tune", str(digits), "--backbone", f"hf:{model}", "--target-column", "target", "--cache", "cache",
        "--lr", "1e-2", "--out", out, *more,
    ]  # fmt: skip


def head(run: str) -> dict[str, np.ndarray]:
    return load_file(Path(run) / "model" / "head.safetensors")


def test_a_training_that_was_killed_ends_where_the_uninterrupted_one_ends(
    headstart: Runner, digits: Path, model: Path
) -> None:
    asked = ("--strategy", "gradual", "--unfreeze", "1,all", "--epochs", "4", "--batch-size", "8")
    whole = headstart(*words_for(digits, model, "whole", *asked))
    assert whole.code == 0, whole.err
    started = start(*undrawn(words_for(digits, model, "cut", *asked)))
    deadline = time.monotonic() + 200
    while not list(Path(".cut.training").glob("phase-2.safetensors")):
        assert time.monotonic() < deadline
        assert started.poll() is None, started.communicate()
        time.sleep(0.01)
    started.kill()
    started.wait()
    assert not Path("cut").exists()
    other = headstart(*words_for(digits, model, "cut", *asked, "--resume", "--label-smoothing", "0.1"))
    assert other.code == 2
    assert "label_smoothing was 0.0 and is 0.1" in other.err
    again = headstart(*words_for(digits, model, "cut", *asked, "--resume", "--num-beams", "2"))
    assert again.code == 0, again.err
    assert "taking up a training that was interrupted" in again.err
    for name, tensor in head("whole").items():
        assert np.array_equal(tensor, head("cut")[name]), name
    encoders = [load_file(Path(run) / "model/backbone/model.safetensors") for run in ("whole", "cut")]
    assert all(np.array_equal(encoders[0][name], encoders[1][name]) for name in encoders[0])


def test_from_data_to_a_model_that_others_load(headstart: Runner, digits: Path, model: Path) -> None:
    done = headstart(*words_for(digits, model, "runs/frozen", "--strategy", "decoder", "--epochs", "6"))
    assert done.code == 0, done.err
    assert "labels in 'target' (texts to write)" in done.err
    assert "chrF" in done.out
    assert "the encoder's states are kept (0.0 MB to come)" not in done.err  # the set has them
    full = headstart(*words_for(digits, model, "runs/full", "--strategy", "full", "--epochs", "6", "--json"))
    assert full.code == 0, full.err
    assert set(full.json["metrics"]) == {"validation", "test"}
    intervals = full.json["metrics"]["test"]["intervals"]
    assert set(intervals) == {"chrf", "bleu", "rouge_l", "exact_match"}

    texts = ("--text", "row9 3", "--text", "4")
    said = headstart(
        "predict", "runs/frozen", *texts, "--cache", "cache", "--num-beams", "2", "--out", "said.csv"
    )
    assert said.code == 0, said.err
    with open("said.csv", encoding="utf-8", newline="") as file:
        assert [row["prediction"] for row in csv.DictReader(file)]
    judged = headstart("evaluate", "runs/full", digits, "--cache", "cache", "--json")
    assert judged.code == 0, judged.err
    assert judged.json["metrics"]["chrf"] == full.json["metrics"]["test"]["chrf"]
    refused = headstart("evaluate", "runs/full", digits, "--cache", "cache", "--max-new-tokens", "0")
    assert refused.code == 2

    compared = headstart("compare", "runs/frozen", "runs/full", "--cache", "cache", "--out", "compared")
    assert compared.code == 0, compared.err
    assert "chrF" in compared.out
    assert json.loads(Path("compared/comparison.json").read_text())["figure"] == "chrf"
    listed = headstart("runs", "ls", "runs")
    assert listed.code == 0, listed.err
    assert "chrf" in listed.out.lower()

    exported = headstart("export", "runs/frozen", "--out", "out", "--offline")
    assert exported.code == 0, exported.err
    AutoModelForSeq2SeqLM.from_pretrained("out")
    further = headstart(
        "fine-tune", digits, "--backbone", "hf:out", "--target-column", "target", "--strategy", "cross-attention",
        "--epochs", "1", "--cache", "cache", "--out", "runs/further",
    )  # fmt: skip
    assert further.code == 0, further.err


def test_mistakes_are_said_in_a_line(headstart: Runner, digits: Path, model: Path) -> None:
    for more, said in (
        (("--strategy", "last:9"), "has 2 blocks, fewer than the 9"),
        (("--dropout", "0.1"), "--dropout means nothing to a model that writes texts"),
        (("--label-column", "target"), "--target-column and --label-column both say the same"),
        (("--label-kind", "multi"), "--label-kind multi is something else"),
    ):
        refused = headstart(*words_for(digits, model, "run", *more))
        assert refused.code == 2
        assert said in refused.err
        assert len(refused.err.strip().splitlines()[-1]) < 400
