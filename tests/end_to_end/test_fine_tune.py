"""fine-tune as a user runs it: killed, resumed, repeated, and told wrong things."""

from __future__ import annotations

import json
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ..processes import start
from .conftest import Result, undrawn

Runner = Callable[..., Result]
WORDS = {
    "animal": "cat dog cow hen pig",
    "colour": "red blue tan gold grey",
    "food": "rice bread egg jam oat",
}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that wait for each other over tiny products take minutes on a busy machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """72 texts of three classes."""
    rng = np.random.default_rng(0)
    rows = ["text,label,split"]
    for row in range(72):
        name = list(WORDS)[row % 3]
        words = rng.choice(WORDS[name].split(), int(rng.integers(1, 6)))
        rows.append(
            f"{' '.join(words)} {row},{name},{['train', 'train', 'validation', 'test'][row // 3 % 4]}"
        )
    path = tmp_path / "texts.csv"
    path.write_text("\n".join(rows), "utf-8")
    return path


def weights(run: str) -> dict[str, np.ndarray]:
    return load_file(Path(run) / "model" / "backbone" / "model.safetensors")


def words_for(texts: Path, tiny_bert: Path, out: str, *more: str) -> list[str]:
    return [
        "fine-tune", str(texts), "--backbone", f"hf:{tiny_bert}", "--strategy", "gradual", "--unfreeze", "1,all",
        "--epochs", "3", "--lr", "1e-3", "--batch-size", "8", "--out", out, *more,
    ]  # fmt: skip


@pytest.mark.parametrize("phase", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_training_that_was_killed_ends_where_the_uninterrupted_one_ends(
    headstart: Runner, texts: Path, tiny_bert: Path, phase: int
) -> None:
    whole = headstart(*words_for(texts, tiny_bert, "whole"))
    assert whole.code == 0, whole.err
    started = start(*undrawn(words_for(texts, tiny_bert, "cut")))
    state = Path(".cut.training")
    deadline = time.monotonic() + 200
    while not list(state.glob(f"phase-{phase}.safetensors")):
        assert time.monotonic() < deadline
        assert started.poll() is None
        time.sleep(0.01)
    started.kill()
    started.wait()
    assert not Path("cut").exists()

    refused = headstart(*words_for(texts, tiny_bert, "cut"))
    assert refused.code == 2
    assert "--resume goes on with it" in refused.err
    early = headstart("predict", "cut", "--text", "a film")
    assert early.code == 1
    assert "its training was interrupted" in early.err
    other = headstart(*words_for(texts, tiny_bert, "cut", "--resume", "--seed", "7"))
    assert other.code == 2
    assert "seed was 0 and is 7" in other.err

    again = headstart(*words_for(texts, tiny_bert, "cut", "--resume"))
    assert again.code == 0, again.err
    assert "taking up a training that was interrupted" in again.err
    for name, tensor in weights("whole").items():
        assert np.array_equal(tensor, weights("cut")[name]), name
    assert not state.exists()
    history = [json.loads(line) for line in Path("cut/metrics.jsonl").read_text().splitlines()]
    assert [entry["number"] for entry in history] == list(range(1, len(history) + 1))


def test_the_command_that_an_interrupt_prints_goes_on(
    headstart: Runner, texts: Path, tiny_bert: Path
) -> None:
    started = start(*undrawn(words_for(texts, tiny_bert, "cut", "--overwrite")))
    deadline = time.monotonic() + 200
    while not list(Path(".cut.training").glob("phase-1.safetensors")):
        assert time.monotonic() < deadline
        assert started.poll() is None
        time.sleep(0.01)
    started.send_signal(signal.SIGINT)
    _, err = started.communicate()
    assert started.wait() == 130, err
    program, *words = shlex.split(err.partition("Resume with: ")[2])
    assert program == "headstart"
    again = headstart(*words)
    assert again.code == 0, again.err
    assert "taking up a training that was interrupted" in again.err


def test_a_set_is_trained_on_though_a_folder_has_its_name(
    headstart: Runner, texts: Path, tiny_bert: Path
) -> None:
    assert headstart("extract", texts, "--backbone", f"hf:{tiny_bert}", "--set", "pets").code == 0
    Path("pets").mkdir()
    done = headstart("fine-tune", "pets", "--epochs", "1", "--out", "tuned", "--strategy", "frozen", "--json")
    assert done.code == 0, done.err
    assert "pets is the set of that name" in done.err
    assert done.json["provenance"]["set"] == "pets"


def test_a_run_says_what_was_trained_and_can_be_used(headstart: Runner, texts: Path, tiny_bert: Path) -> None:
    done = headstart(
        "fine-tune", str(texts), "--backbone", f"hf:{tiny_bert}", "--strategy", "last:1", "--epochs", "2",
        "--lr", "1e-3", "--out", "tuned", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    report = done.json
    assert report["method"]["strategy"] == "last:1"
    assert report["epochs"]["run"] == 2
    assert 0 < report["cost"]["parameters"] < report["cost"]["total_parameters"]
    assert report["cost"]["peak_resident_bytes"] >= report["cost"]["loaded_resident_bytes"] > 0
    assert report["timings"]["to_best"] <= report["timings"]["fit"]
    card = Path("tuned/README.md").read_text("utf-8")
    assert "last:1" in card
    assert "frozen features" not in card
    assert headstart("predict", "tuned", str(texts), "--out", "p.csv").code == 0
    assert len(Path("p.csv").read_text("utf-8").splitlines()) == 73
    assert headstart("fit-head", "texts-tiny-bert", "--head", "ridge", "--out", "head").code == 0
    compared = headstart("compare", "head", "tuned")
    assert compared.code == 0, compared.err
    shown = headstart("runs", "ls", ".")
    assert "tuned" in shown.out
    repeated = headstart("fine-tune", "--config", "tuned/config.yaml", "--out", "again")
    assert repeated.code == 0, repeated.err
    for name, tensor in weights("tuned").items():
        assert np.array_equal(tensor, weights("again")[name]), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strategy", "half"], "there is no strategy 'half'"),
        (["--strategy", "last:9"], "has 2 blocks, fewer than the 9"),
        (["--unfreeze", "1,2"], "means nothing to full"),
        (["--epochs", "three"], "--epochs takes whole numbers with commas between"),
        (["--epochs", "0"], "epochs"),
        (["--lr", "-1"], "lr"),
        (["--schedule", "sine"], "schedule"),
        (["--precision", "bf16", "--device", "cpu"], "--precision bf16 trains on GPUs alone"),
        (["--init-head", "nowhere"], "is not a run directory"),
        (["--tap", "last.tokens"], "several vectors"),
        (["--label", "colour"], "colour"),
        (["--callback", "py:no.such:thing"], "no.such"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    headstart: Runner, texts: Path, tiny_bert: Path, options: list[str], message: str
) -> None:
    done = headstart("fine-tune", str(texts), "--backbone", f"hf:{tiny_bert}", "--out", "run", *options)
    assert done.code in (1, 2, 4)
    lines = [line for line in done.err.splitlines() if line.startswith("error")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not Path("run").exists()
    assert "Traceback" not in done.err


def test_nothing_to_train_on(headstart: Runner, texts: Path, tiny_bert: Path) -> None:
    assert "say what to train on" in headstart("fine-tune").err
    assert "--backbone SPEC" in headstart("fine-tune", str(texts)).err
    assert "no set" in headstart("fine-tune", "nothing").err
    one = texts.with_name("one.csv")
    one.write_text("text,label\n" + "\n".join(f"word {n},only" for n in range(20)), "utf-8")
    assert "at least two classes" in headstart("fine-tune", str(one), "--backbone", f"hf:{tiny_bert}").err
    bare = texts.with_name("bare.csv")
    bare.write_text("text\n" + "\n".join(f"word {n}" for n in range(20)), "utf-8")
    assert "label" in headstart("fine-tune", str(bare), "--backbone", f"hf:{tiny_bert}").err


@pytest.mark.slow
def test_a_folder_of_texts_in_another_encoding_is_read_again_as_it_was(
    headstart: Runner, tmp_path: Path, tiny_bert: Path
) -> None:
    for row in range(24):
        name = list(WORDS)[row % 2]
        path = tmp_path / "news" / "topics" / name / str(49960 + row)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{WORDS[name]} café {row}".encode("latin-1"))
    words = ["fine-tune", "news", "--backbone", f"hf:{tiny_bert}", "--epochs", "1", "--strategy", "last:1"]
    done = headstart(*words, "--encoding", "latin-1", "--class-from", "last", "--out", "run")
    assert done.code == 0, done.err
    assert "found 24: 0 held, 24 computed, 0 skipped" in done.err
    labels = json.loads(Path("run/labels.json").read_text())
    assert labels["names"] == ["animal", "colour"]
