"""Words with tags from a file to entities in new sentences, by the command line alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from .conftest import Result

NAMES = {"per": ["ada", "bob", "eve", "dan"], "loc": ["rome", "oslo", "kiev", "bern"]}


@pytest.fixture
def conll(in_a_fresh_folder: Path) -> Path:
    """90 sentences with names of two types, in CoNLL files by split; one word in a few has no tokens."""
    rng = np.random.default_rng(0)
    folder = in_a_fresh_folder / "news"
    folder.mkdir()
    for split, n in (("train", 60), ("validation", 15), ("test", 15)):
        lines = []
        for _ in range(n):
            for _ in range(int(rng.integers(1, 6))):
                kind = str(rng.choice(["O", "O", "per", "loc"]))
                word = str(rng.choice(NAMES.get(kind, ["we", "met", "in", "at"])))
                lines.append(f"{word}\t{'O' if kind == 'O' else f'B-{kind}'}")
            if rng.random() < 0.1:
                lines.append("\u200b\tO")  # BERT's tokenizer drops it
            lines.append("")
        (folder / f"{split}.conll").write_text("\n".join(lines), "utf-8")
    return folder


def test_from_a_file_to_entities(headstart: Callable[..., Result], conll: Path, tiny_bert: Path) -> None:
    taps = "last.words,1.words"
    done = headstart("extract", conll, "--backbone", f"hf:{tiny_bert}", "--set", "news", "--taps", taps)
    assert done.code == 0, done.err
    assert "words in 'tokens'" in done.err
    assert "IOB2, entities of 2 types: loc, per" in done.err
    assert "without tokens" in done.err
    assert "fit-head news --head logistic" in done.out + done.err
    warm = headstart("extract", conll, "--backbone", f"hf:{tiny_bert}", "--set", "news", "--taps", taps)
    assert "0 computed" in warm.out

    fitted = headstart(
        "fit-head", "news", "--tap", "last.words", "--tap", "1.words", "--sweep", "C=0.1,10", "--plots", "png"
    )
    assert fitted.code == 0, fitted.err
    run = Path("runs/news-logistic")
    report = json.loads((run / "report.json").read_text("utf-8"))
    assert report["task"] == "tags"
    figures = report["metrics"]["test"]
    assert figures["micro_f1"] > 0.8
    assert {"conlleval_f1", "word_accuracy", "macro_f1", "log_loss"} <= figures.keys()
    assert set(figures["per_type"]) == {"loc", "per"}
    low, high = figures["intervals"]["micro_f1"]
    assert low <= figures["micro_f1"] <= high
    assert (run / "plots" / "f1.png").is_file()
    rows = pq.read_table(run / "predictions.parquet").to_pylist()
    assert all(len(row["prediction"]) == len(row["label"]) for row in rows)
    assert {entity["type"] for row in rows for entity in row["entities"]} == {"loc", "per"}
    assert "entities of 2 types" in (run / "README.md").read_text("utf-8")

    other = headstart("fit-head", "news", "--head", "linear", "--param", "crf=yes", "--param", "epochs=5")
    assert other.code == 0, other.err
    compared = headstart("compare", run, "runs/news-linear")
    assert "entity F1" in compared.out
    few = ("--param", "epochs=2", "--curve", "50%,100%", "--seeds", "2", "--out", "runs/few")
    curve = headstart("fit-head", "news", "--head", "linear", *few)
    assert curve.code == 0, curve.err
    for size in json.loads(Path("runs/few/report.json").read_text("utf-8"))["curve"]:
        low, high = size["interval"]["micro_f1"]
        assert 0 <= low <= size["mean"]["micro_f1"] <= high <= 1
    refused = headstart("fit-head", "news", "--shots", "1")
    assert (refused.code, "with other labels use --curve" in refused.err) == (2, True)

    sentences = (conll / "train.conll").read_text("utf-8").split("\n\n")
    known = next(row for row in rows if row["split"] == "train" and row["entities"] and len(row["label"]) > 2)
    words = [line.split("\t")[0] for line in sentences[int(known["id"].split(":")[1]) - 1].splitlines()]
    text = "  ".join(word for word in words if word != "\u200b")
    said = headstart("predict", run, "--text", text, "--out", "said.jsonl")
    assert said.code == 0, said.err
    (row,) = [json.loads(line) for line in Path("said.jsonl").read_text("utf-8").splitlines()]
    assert row["words"] == text.split()
    assert row["prediction"] == [
        tag for tag, word in zip(known["prediction"], words, strict=True) if word != "\u200b"
    ]
    assert [one["type"] for one in row["entities"]] == [one["type"] for one in known["entities"]]
    for one in row["entities"]:
        assert text[one["start"] : one["end"]] == one["text"]
        assert one["text"].split() == row["words"][one["first_word"] : one["end_word"]]

    judged = headstart("evaluate", run, conll / "validation.conll")
    assert judged.code == 0, judged.err
    assert "entity F1" in judged.out

    audited = headstart("audit", "news", "--out", "audit")
    assert audited.code == 0, audited.err
    refused = headstart("audit", "news", "--checks", "duplicates")
    assert refused.code == 2
    assert "of words the tags are examined" in refused.err


def test_wrong_tags_are_found(headstart: Callable[..., Result], conll: Path, tiny_bert: Path) -> None:
    path = conll / "train.conll"
    lines = path.read_text("utf-8").split("\n")
    wrong = [place for place, line in enumerate(lines) if line.endswith("B-loc")][::8]
    for place in wrong:
        lines[place] = lines[place].replace("B-loc", "B-per")
    path.write_text("\n".join(lines), "utf-8")
    headstart("extract", conll, "--backbone", f"hf:{tiny_bert}", "--set", "news")
    done = headstart("audit", "news", "--out", "audit")
    assert done.code == 0, done.err
    found = pq.read_table("audit/label_errors.parquet").to_pylist()
    flipped = [row for row in found if (row["label"], row["suggested"]) == ("B-per", "B-loc")]
    assert len(flipped) >= 0.8 * len(wrong)
    assert all({"id", "word", "split", "score"} <= row.keys() for row in found)


def test_what_does_not_fit_is_refused_in_a_line(
    headstart: Callable[..., Result], conll: Path, tiny_bert: Path
) -> None:
    def refused(*arguments: Any, code: int = 2) -> str:
        done = headstart(*arguments)
        assert done.code == code, done.err
        return done.err

    extract = ("extract", conll, "--backbone", f"hf:{tiny_bert}", "--set", "news")
    assert "is of whole texts; choose one of last.words" in refused(*extract, "--taps", "last.mean")
    assert headstart(*extract).code == 0
    assert "'attention' is not for a tag for each word" in refused("fit-head", "news", "--head", "attention")
    assert "mixup" in refused("fit-head", "news", "--head", "linear", "--param", "mixup=0.5")
    assert "crf must be one of no, yes" in refused(
        "fit-head", "news", "--head", "linear", "--param", "crf=maybe"
    )
    Path("mixed.jsonl").write_text(json.dumps({"tokens": ["a", "b"], "ner_tags": ["B-x", "M-x"]}), "utf-8")
    assert "no scheme that headstart knows" in refused(
        "extract", "mixed.jsonl", "--backbone", f"hf:{tiny_bert}", code=1
    )
    done = headstart("fit-head", "news")
    assert done.code == 0
    assert "--to hf" in refused("export", "runs/news-logistic", "--to", "onnx", "--out", "x")
