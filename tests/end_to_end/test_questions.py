"""Questions with contexts from the file to the answer: frozen, fine-tuned, compared, exported."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import headstart as hs

from .conftest import Result

Runner = Callable[..., Result]
WORDS = ["fox", "dog", "hen", "owl", "ant", "bee", "cow", "pig"]


def passage(rng: np.random.Generator, n_words: int, has_answer: bool) -> tuple[str, dict[str, Any]]:
    """Short words, and among them one or two that begin with z, which are the answer to every question."""
    words = rng.choice(WORDS, n_words).tolist()
    answer = "z" + str(rng.choice(WORDS))
    if has_answer:
        words[int(rng.integers(n_words))] = answer
    context = " ".join(words)
    if not has_answer:
        return context, {"text": [], "answer_start": []}
    return context, {"text": [answer], "answer_start": [context.index(answer)]}


def write(path: Path, n: int, without: float = 0.0, longest: int = 12) -> Path:
    """Questions by split; contexts of up to so many words, some of them longer than the model takes."""
    rng = np.random.default_rng(0)
    rows = []
    for row in range(n):
        context, answers = passage(rng, int(rng.integers(4, longest)), rng.random() >= without)
        split = ["train", "train", "train", "validation", "test"][row % 5]
        rows.append({
            "id": f"q{row}", "title": f"article {row // 10}", "question": f"which animal {row}",
            "context": context, "answers": answers, "split": split,
        })  # fmt: skip
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "animals.jsonl", 120, longest=20)


def extracted(headstart: Runner, data: Path, backbone: Path) -> None:
    done = headstart("extract", data, "--backbone", f"hf:{backbone}", "--set", "q")
    assert done.code == 0, done.err
    assert "they are read in windows" in done.err
    assert "splits" in done.err


@pytest.mark.parametrize("without", [0.0, 0.4])
def test_a_head_on_frozen_tokens_answers(
    without: float, headstart: Runner, tiny_bert: Path, tmp_path: Path
) -> None:
    extracted(headstart, write(tmp_path / "a.jsonl", 200, without, 20), tiny_bert)
    options = (
        "--param",
        "lr=0.02",
        "--param",
        "epochs=60",
        "--param",
        "patience=60",
        "--param",
        "batch_size=16",
    )
    done = headstart("fit-head", "q", "--head", "linear", "--out", "run", *options)
    assert done.code == 0, done.err
    assert "exact match" in done.out + done.err
    report = json.loads(Path("run/report.json").read_text("utf-8"))
    figures = report["metrics"]["test"]
    assert figures["f1"] > 0.6
    assert ("no_answer_f1" in figures) == bool(without)
    assert (report["head"]["threshold"] is None) == (not without)
    card = Path("run/README.md").read_text("utf-8")
    assert "a stretch of its context (`answers`)" in card
    assert "| split | samples | exact match | F1 |" in card
    table = pq.read_table("run/predictions.parquet")
    assert table.column_names == [
        *(
            "id",
            "key",
            "split",
            "label",
            "meta:group",
            "prediction",
            "start",
            "end",
            "score",
            "no_answer_score",
        )
    ]
    samples = hs.open_set("q").samples
    contexts = dict(
        zip(samples.column("id").to_pylist(), samples.column("meta:context").to_pylist(), strict=True)
    )
    for row in table.to_pylist():
        if row["prediction"]:
            assert contexts[row["id"]][row["start"] : row["end"]] == row["prediction"]
        else:
            assert row["start"] is None

    # What it says of raw inputs is what it said of the set.
    said = headstart("predict", "run", tmp_path / "a.jsonl", "--out", "said.jsonl")
    assert said.code == 0, said.err
    rows = [json.loads(line) for line in Path("said.jsonl").read_text("utf-8").splitlines()]
    known = {row["id"]: row["prediction"] for row in table.to_pylist()}
    assert {row["id"]: row["prediction"] for row in rows} == known

    # And evaluated on the same file it has the same figures.
    judged = headstart("evaluate", "run", tmp_path / "a.jsonl", "--json")
    assert judged.code == 0, judged.err
    assert judged.json["metrics"]["f1"] == pytest.approx(figures["f1"])


def test_inputs_are_predicted_one_by_one_and_bad_ones_are_named(
    headstart: Runner, data: Path, tiny_bert: Path
) -> None:
    extracted(headstart, data, tiny_bert)
    assert headstart("fit-head", "q", "--head", "linear", "--param", "epochs=3", "--out", "run").code == 0
    run = hs.load_run("run")
    one = run.predict(("which", "fox dog zebra hen"))
    assert one.column_names == ["id", "prediction", "start", "end", "score", "no_answer_score"]
    Path("more.jsonl").write_text(
        json.dumps({"question": "which", "context": "fox zebra"})
        + "\n" + json.dumps({"question": " ", "context": "fox zebra"}),
        "utf-8",
    )  # fmt: skip
    said = headstart("predict", "run", "more.jsonl", "--out", "said.jsonl")
    assert said.code == 0
    rows = [json.loads(line) for line in Path("said.jsonl").read_text("utf-8").splitlines()]
    assert rows[0]["error"] is None
    assert (rows[1]["error"], rows[1]["prediction"]) == ("the question is empty", None)


def test_what_does_not_fit_is_refused(headstart: Runner, data: Path, tiny_bert: Path) -> None:
    headstart("extract", data, "--backbone", f"hf:{tiny_bert}", "--set", "pooled", "--taps", "last.mean")
    for head in ("linear", "attention"):
        refused = headstart("fit-head", "pooled", "--head", head)
        assert refused.code == 2
        assert "does not say where tokens stand in a context" in refused.err or "attend" in refused.err
    extracted(headstart, data, tiny_bert)
    refused = headstart("fit-head", "q", "--head", "ridge")
    assert refused.code == 2
    assert "'ridge' is not for answers in a context; those that are: linear, attention" in refused.err
    refused = headstart("fit-head", "q")
    assert refused.code == 2
    assert headstart("fit-head", "q", "--head", "linear", "--param", "epochs=1", "--out", "run").code == 0
    for to in ("onnx", "timm"):
        refused = headstart("export", "run", "--to", to, "--out", "out")
        assert refused.code == 2
        assert "a run that answers questions is exported --to hf" in refused.err


@pytest.mark.parametrize("strategy", ["full", "frozen", "last:1", "gradual", "lora"])
def test_the_whole_network_is_tuned(strategy: str, headstart: Runner, data: Path, tiny_bert: Path) -> None:
    extracted(headstart, data, tiny_bert)
    options = ("--lr", "3e-3") if strategy != "frozen" else ()
    if strategy == "gradual":
        options = (*options, "--unfreeze", "0,1,all")
    done = headstart("fine-tune", "q", "--strategy", strategy, "--epochs", "8", *options, "--out", "tuned")
    assert done.code == 0, done.err
    run = hs.load_run("tuned")
    figures = run.report["metrics"]
    assert ("cut" in run.report) == (strategy in ("last:1", "gradual"))
    assert "the whole network runs in each epoch" not in done.err
    assert figures["train"]["n"] == 72
    assert figures["train"]["f1"] > (0.0 if strategy == "frozen" else 0.3)
    # The tuned backbone that was kept gives what the report says.
    again = run.evaluate(str(data))
    assert again.report["metrics"]["f1"] == pytest.approx(figures["test"]["f1"], abs=1e-6)
    assert headstart("fit-head", "q", "--head", "linear", "--param", "epochs=2", "--out", "frozen").code == 0
    compared = headstart("compare", "tuned", "frozen")
    assert compared.code == 0, compared.err
    assert "F1" in compared.out
    assert "exact match" in compared.out


def test_an_exported_run_answers_with_transformers_alone(
    headstart: Runner, data: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    extracted(headstart, data, tiny_bert)
    assert headstart("fine-tune", "q", "--epochs", "3", "--lr", "3e-3", "--out", "tuned").code == 0
    done = headstart("export", "tuned", "--to", "hf", "--out", "out")
    assert done.code == 0, done.err
    assert json.loads(Path("out/export.json").read_text("utf-8"))["class"] == "BertForQuestionAnswering"
    readme = Path("out/README.md").read_text("utf-8")
    code = readme.partition("```python\n")[2].partition("```")[0]
    rows = [json.loads(line) for line in data.read_text("utf-8").splitlines()][:40]
    (tmp_path / "asked.json").write_text(json.dumps([[row["question"], row["context"]] for row in rows]))
    asks = "import json, sys\nasked = json.load(open('../asked.json'))\nprint(json.dumps([answer(*a) for a in asked]))"
    blocked = "import sys\nsys.modules['headstart'] = None\n"
    ran = subprocess.run(
        [sys.executable, "-c", blocked + code + asks], cwd="out", capture_output=True, text=True, check=True
    )
    theirs = json.loads(ran.stdout.splitlines()[-1])
    ours = hs.load_run("tuned").predict([(row["question"], row["context"]) for row in rows]).to_pylist()
    assert max(len(row["context"].replace(" ", "")) for row in rows) > 45  # some are read in windows
    assert [text for text, _, _ in theirs] == [row["prediction"] for row in ours]
    assert [start for _, start, _ in theirs] == [row["start"] for row in ours]


def test_a_head_of_attention_is_no_layer_to_export(headstart: Runner, data: Path, tiny_bert: Path) -> None:
    extracted(headstart, data, tiny_bert)
    params = ("--param", "epochs=1", "--param", "width=8", "--param", "n_heads=2")
    assert headstart("fit-head", "q", "--head", "attention", *params, "--out", "run").code == 0
    refused = headstart("export", "run", "--to", "hf", "--out", "out")
    assert refused.code == 2
    assert "more than the linear layer that AutoModelForQuestionAnswering has" in refused.err


def test_a_network_trains_alike_with_the_cut_cache_and_without(
    headstart: Runner, data: Path, tiny_bert: Path
) -> None:
    extracted(headstart, data, tiny_bert)
    histories = []
    for name, options in (("with", ()), ("without", ("--no-cut-cache",))):
        done = headstart("fine-tune", "q", "--strategy", "last:1", "--epochs", "3", *options, "--out", name)
        assert done.code == 0, done.err
        lines = Path(name, "metrics.jsonl").read_text("utf-8").splitlines()
        histories.append([(line["train_loss"], line["validation_loss"]) for line in map(json.loads, lines)])
    np.testing.assert_allclose(histories[0], histories[1], rtol=2e-2)
