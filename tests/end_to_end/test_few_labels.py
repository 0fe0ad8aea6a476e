"""`headstart suggest` and `headstart cluster`: from texts that nobody labelled to a head, by the command line alone."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Result

Runner = Callable[..., Result]
TEXTS = "py:tiny_backbones:texts"


@pytest.fixture
def messages(headstart: Runner, in_a_fresh_folder: Path) -> Path:
    """80 texts in two kinds, without labels, extracted as the set ``messages``."""
    path = in_a_fresh_folder / "messages.txt"
    path.write_text("".join(f"{'zz yy' if row % 2 else 'aa bb'} {row}\n" for row in range(80)), "utf-8")
    done = headstart("extract", path, "--backbone", TEXTS, "--set", "messages")
    assert done.code == 0, done.err
    return path


def test_the_loop_from_no_label_to_a_head(headstart: Runner, messages: Path) -> None:
    done = headstart("suggest", "messages", "--budget", "20", "--out", "next.csv")
    assert done.code == 0, done.err
    assert "20 suggestions by typical of" in done.err
    assert "headstart fit-head messages --corrections next.csv" in done.err
    with Path("next.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "key",
        "id",
        "label",
        "old",
        "new",
        "action",
        "note",
        "digest",
        "predicted",
        "input",
    ]
    for row in rows[:15]:
        number = int("".join(letter for letter in row["id"].rpartition(":")[2] if letter.isdigit()))
        row["new"] = f"kind {number % 2}"
    with Path("next.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    fitted = headstart("fit-head", "messages", "--head", "ridge", "--corrections", "next.csv", "--out", "run",
                       "--plots", "none")  # fmt: skip
    assert fitted.code == 0, fitted.err
    assert "next.csv: 5 of 20 rows are not filled in" in fitted.err
    assert json.loads(Path("run/labels.json").read_text("utf-8"))["classes"] == ["kind 0", "kind 1"]
    more = headstart(
        "suggest", "messages", "--strategy", "margin", "--run", "run", "--budget", "5", "--json"
    ).json
    assert (more["label"], more["n_labelled"], len(more["suggestions"])) == ("label", 15, 5)
    assert {row["predicted"] for row in more["suggestions"]} <= {"kind 0", "kind 1"}
    page = headstart("report", "messages", "--suggestions", "next.csv", "--out", "page.html", "--json")
    assert page.json["counts"]["queues.suggestions"] == 5


def test_groups_are_told_and_shown(headstart: Runner, messages: Path) -> None:
    done = headstart("cluster", "messages", "-k", "2", "--out", "groups.csv")
    assert done.code == 0, done.err
    header, *lines = done.out.splitlines()
    assert header.split() == ["cluster", "size", "words", "typical"]
    assert [line.split()[0] for line in lines] == ["c1", "c2"]
    assert "set messages has the column meta:cluster" in done.err
    found = headstart("cluster", "messages", "-k", "auto", "--json", "-q").json
    assert found["k"] == len(found["clusters"]) >= 2
    assert {entry["k"] for entry in found["tried"]} >= {2, 3, 4}
    assert headstart("project", "messages", "--colour", "meta:cluster", "--out", "map.png").code == 0


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("suggest nowhere", 1, "there is no set 'nowhere'"),
        ("suggest messages --budget 0", 2, "budget"),
        ("suggest messages --strategy margin", 1, "--strategy typical, cover or random do without"),
        ("suggest messages --strategy margin --run nowhere", 1, "nowhere is not a run directory"),
        ("suggest messages --per-class 2", 2, "--per-class"),
        ("cluster messages -k 500", 2, "-k 500 is more than the 80 samples"),
        ("cluster messages -k many", 2, "-k takes a number of clusters"),
        ("cluster messages --method dbscan", 2, "did you mean 'hdbscan'"),
        ("report messages --suggestions nowhere.csv --out page.html", 1, "nowhere.csv cannot be read"),
    ],
)
def test_a_mistake_is_one_line(headstart: Runner, messages: Path, line: str, code: int, words: str) -> None:
    done = headstart(*line.split())
    assert done.code == code
    assert words in done.err
    assert "Traceback" not in done.err


def test_words_and_answers_are_refused(headstart: Runner, in_a_fresh_folder: Path, tiny_bert: Path) -> None:
    """They have a label for each word, and no vector of their own."""
    lines = "".join(f"{word}\t{tag}\n" for word, tag in (("ada", "B-per"), ("met", "O"), ("bob", "B-per")))
    Path("news.conll").write_text("\n".join([lines] * 20), "utf-8")
    taps = ("--taps", "last.words")
    assert (
        headstart("extract", "news.conll", "--backbone", f"hf:{tiny_bert}", "--set", "news", *taps).code == 0
    )
    for command, said in (
        ("suggest", "suggestions are of whole samples"),
        ("cluster", "has several vectors a sample"),
    ):
        done = headstart(command, "news")
        assert done.code == 2
        assert said in done.err
