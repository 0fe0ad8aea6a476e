"""Figures of entities are seqeval's, strict and by default, and nervaluate's; intervals are over sentences."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
from nervaluate import Evaluator
from seqeval import metrics as oracle
from seqeval import scheme as schemes

from headstart.errors import DataError
from headstart.groups import Groups
from headstart.metrics.entities import TaggedSentences, evaluate_tags, judge_tags
from headstart.tasks.schemes import NAMES, open_scheme

each_scheme = pytest.mark.parametrize("name", NAMES)
FIGURES = ("precision", "recall", "f1")


def trial(name: str, n: int, seed: int = 0, noise: float = 0.3) -> tuple[list[list[str]], list[list[str]]]:
    """Legal tags of sentences, and what a careless tagger says: any tag at all for some of the words."""
    rng, scheme = np.random.default_rng(seed), open_scheme(name)
    kinds = ["a", "b", "c-d"]
    names = ["O", *(f"{prefix}-{kind}" for prefix in scheme.prefixes if prefix != "O" for kind in kinds)]
    moves = scheme.legal_moves(names)
    true = []
    for length in rng.integers(0, 12, n):
        tags: list[int] = []
        while len(tags) < length:
            allowed = moves.next[tags[-1]] if tags else moves.first
            tags.append(int(rng.choice(np.flatnonzero(allowed))))
        while tags and not moves.last[tags[-1]]:
            tags.pop()
        true.append([names[tag] for tag in tags])
    predicted = [[str(rng.choice(names)) if rng.random() < noise else tag for tag in tags] for tags in true]
    return true, predicted


def evaluate(true: Any, predicted: Any, scheme: Any, **options: Any) -> dict[str, Any]:
    return evaluate_tags(TaggedSentences(true, predicted, scheme), **options)


@each_scheme
@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
def test_strict_figures_are_seqevals(name: str, noise: float) -> None:
    true, predicted = trial(name, 200, noise=noise)
    report = evaluate(true, predicted, open_scheme(name), resamples=0)
    options: dict[str, Any] = {
        "mode": "strict", "scheme": getattr(schemes, name.upper()), "zero_division": 0,
    }  # fmt: skip
    for average in ("micro", "macro", "weighted"):
        for figure in FIGURES:
            score = getattr(oracle, f"{figure}_score")
            expected = score(true, predicted, average=average, **options)
            assert report[f"{average}_{figure}"] == pytest.approx(expected), (average, figure)
    table = oracle.classification_report(true, predicted, output_dict=True, **options)
    for kind, row in report["per_type"].items():
        expected = [table[kind][column] for column in ("precision", "recall", "f1-score", "support")]
        assert list(row.values()) == pytest.approx(expected)
    assert report["word_accuracy"] == pytest.approx(oracle.accuracy_score(true, predicted))


@pytest.mark.parametrize("name", ["iob1", "iob2", "iobes"])
def test_lenient_figures_are_those_of_conlleval(name: str) -> None:
    true, predicted = trial(name, 200)
    report = evaluate(true, predicted, open_scheme(name), resamples=0)
    for figure in FIGURES:
        expected = getattr(oracle, f"{figure}_score")(true, predicted, zero_division=0)
        assert report[f"conlleval_{figure}"] == pytest.approx(expected)
    strict = [report[f"micro_{figure}"] for figure in FIGURES]
    assert strict != [report[f"conlleval_{figure}"] for figure in FIGURES]  # the tagger says illegal things


def test_of_legal_tags_they_are_nervaluates_as_well() -> None:
    true, predicted = trial("iob2", 200, noise=0.0)
    predicted = [*predicted[1:], predicted[0]]  # legal tags of other sentences, as far as these reach
    cut = [
        [
            tag if place < len(other) else "O"
            for place, tag in enumerate([*other, *["O"] * len(one)][: len(one)])
        ]
        for one, other in zip(true, predicted, strict=True)
    ]
    report = evaluate(true, cut, open_scheme("iob2"), resamples=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = Evaluator(true, cut, tags=["a", "b", "c-d"], loader="list").evaluate()["overall"]["strict"]
    assert [report[f"micro_{figure}"] for figure in FIGURES] == pytest.approx(
        [found.precision, found.recall, found.f1]
    )


def test_a_resample_is_evaluated_as_the_sentences_that_are_in_it() -> None:
    true, predicted = trial("iob2", 12)
    draws = np.random.default_rng(3).integers(0, 12, (20, 12))
    found = judge_tags(TaggedSentences(true, predicted, open_scheme("iob2"))).resample(draws)
    for number, rows in enumerate(draws):
        drawn = [[tags[row] for row in rows] for tags in (true, predicted)]
        expected = evaluate(*drawn, open_scheme("iob2"), resamples=0)
        for name, values in found.items():
            assert values[number] == pytest.approx(expected[name]), name


def test_few_sentences_say_that_they_have_no_interval() -> None:
    report = evaluate([["B-a"], ["O"]], [["B-a"], ["O"]], open_scheme("iob2"))
    assert report["intervals"]["micro_f1"] is None
    assert "2 samples are too few" in report["no_interval"]["micro_f1"]


def test_parts_of_speech_are_figures_of_each_tag() -> None:
    true, predicted = [["NN", "VB", "NN"], ["DT", "NN"]], [["NN", "NN", "NN"], ["DT", "NN"]]
    report = evaluate(true, predicted, None, resamples=0)
    assert report["micro_f1"] == report["word_accuracy"] == pytest.approx(0.8)
    assert report["per_type"]["NN"] == {
        "precision": 0.75,
        "recall": 1.0,
        "f1": pytest.approx(6 / 7),
        "support": 3,
    }
    assert not any(name.startswith("conlleval") for name in report)


def test_intervals_hold_the_figure_and_are_wider_over_documents() -> None:
    true, predicted = trial("iob2", 60)
    true, predicted = true * 4, predicted * 4  # each sentence four times, in one document each
    scheme, groups = open_scheme("iob2"), Groups(np.tile(np.arange(60), 4))
    alone = evaluate(true, predicted, scheme)
    together = evaluate(true, predicted, scheme, groups=groups)
    assert together["n_groups"] == 60
    for name, (low, high) in alone["intervals"].items():
        assert low <= alone[name] <= high
        assert together["intervals"][name][1] - together["intervals"][name][0] > 1.5 * (high - low)
    json.dumps(together, allow_nan=False)


def test_nothing_found_and_nothing_to_find_are_zero() -> None:
    scheme = open_scheme("iob2")
    report = evaluate([["O", "O"], []], [["O", "O"], []], scheme)
    assert report["n_entities"] == 0
    assert [report[f"micro_{figure}"] for figure in FIGURES] == [0, 0, 0]
    assert report["word_accuracy"] == 1
    assert report["per_type"] == {}
    assert evaluate([[]], [[]], scheme)["word_accuracy"] == 0


def test_what_does_not_fit_together_is_named() -> None:
    scheme = open_scheme("iob2")
    with pytest.raises(DataError, match="no sentences"):
        evaluate([], [], scheme)
    with pytest.raises(DataError, match="2 sentences, and tags for 1"):
        evaluate([["O"], ["O"]], [["O"]], scheme)
    with pytest.raises(DataError, match="sentence 1 has 2 words, and 1 tags"):
        evaluate([["O"], ["O", "O"]], [["O"], ["O"]], scheme)
    with pytest.raises(DataError, match="'E-a' is not of IOB2"):
        evaluate([["O"]], [["E-a"]], scheme)
