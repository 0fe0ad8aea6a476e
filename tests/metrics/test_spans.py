"""Exact match and F1 are those of SQuAD's own scripts, and so is the threshold; intervals are over questions."""

from __future__ import annotations

import collections
import json
import re
import string
from typing import Any

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.groups import Groups
from headstart.metrics.spans import Marks, best_threshold, evaluate_spans, judge_spans

# The rules of evaluate-v2.0.py and evaluate-v1.1.py, line by line.


def normalize_answer(s: str) -> str:
    def remove_articles(text: str) -> str:
        regex = re.compile(r"\b(a|an|the)\b", re.UNICODE)
        return re.sub(regex, " ", text)

    def white_space_fix(text: str) -> str:
        return " ".join(text.split())

    def remove_punc(text: str) -> str:
        exclude = set(string.punctuation)
        return "".join(ch for ch in text if ch not in exclude)

    def lower(text: str) -> str:
        return text.lower()

    return white_space_fix(remove_articles(remove_punc(lower(s))))


def get_tokens(s: str) -> list[str]:
    if not s:
        return []
    return normalize_answer(s).split()


def compute_exact(a_gold: str, a_pred: str) -> int:
    return int(normalize_answer(a_gold) == normalize_answer(a_pred))


def compute_f1(a_gold: str, a_pred: str) -> float:
    gold_toks = get_tokens(a_gold)
    pred_toks = get_tokens(a_pred)
    common = collections.Counter(gold_toks) & collections.Counter(pred_toks)
    num_same = sum(common.values())
    if len(gold_toks) == 0 or len(pred_toks) == 0:
        return int(gold_toks == pred_toks)
    if num_same == 0:
        return 0
    precision = 1.0 * num_same / len(pred_toks)
    recall = 1.0 * num_same / len(gold_toks)
    return (2 * precision * recall) / (precision + recall)


def get_raw_scores(references: list[list[str]], preds: list[str]) -> tuple[list[float], list[float]]:
    exact, f1 = [], []
    for each, a_pred in zip(references, preds, strict=True):
        gold_answers = [a for a in each if normalize_answer(a)]
        if not gold_answers:
            gold_answers = [""]
        exact.append(max(compute_exact(a, a_pred) for a in gold_answers))
        f1.append(max(compute_f1(a, a_pred) for a in gold_answers))
    return exact, f1


def f1_score_v1(prediction: str, ground_truth: str) -> float:
    prediction_tokens = normalize_answer(prediction).split()
    ground_truth_tokens = normalize_answer(ground_truth).split()
    common = collections.Counter(prediction_tokens) & collections.Counter(ground_truth_tokens)
    num_same = sum(common.values())
    if num_same == 0:
        return 0
    precision = 1.0 * num_same / len(prediction_tokens)
    recall = 1.0 * num_same / len(ground_truth_tokens)
    return (2 * precision * recall) / (precision + recall)


def find_best_thresh(
    preds: list[str], scores: list[float], na_probs: list[float], has_ans: list[bool]
) -> tuple[float, float]:
    qid_list = sorted(range(len(preds)), key=lambda k: na_probs[k])
    num_no_ans = sum(1 for k in qid_list if not has_ans[k])
    cur_score: float = num_no_ans
    best_score = cur_score
    best_thresh = 0.0
    for qid in qid_list:
        if has_ans[qid]:
            diff = scores[qid]
        elif preds[qid]:
            diff = -1
        else:
            diff = 0
        cur_score += diff
        if cur_score > best_score:
            best_score = cur_score
            best_thresh = na_probs[qid]
    return 100.0 * best_score / len(scores), best_thresh


WORDS = [
    *(
        "the",
        "The",
        "a",
        "an",
        "A.",
        "cat",
        "Cat",
        "cat,",
        "dog's",
        "dogs",
        "anthem",
        "2,000",
        "2000",
        "U.S.",
        "us",
    ),
    *(
        "ß",
        "SS",
        "İstanbul",
        "istanbul",
        "東京",
        "«voilà»",
        "voilà",
        "—",
        "...",
        "$5",
        "\u00a0",
        "\t",
        "e\u0301",
        "é",
    ),
    *("", " ", "no-one", "noone", "theatre", "a-b", "?"),
]


def trial(n: int, seed: int, without: float = 0.3) -> tuple[list[list[str]], list[str]]:
    """References and answers: the same words in other writing, parts of each other, nothing at all."""
    rng = np.random.default_rng(seed)

    def text() -> str:
        return " ".join(str(word) for word in rng.choice(WORDS, rng.integers(0, 5)))

    references: list[list[str]] = []
    answers: list[str] = []
    for _ in range(n):
        each = [] if rng.random() < without else [text() for _ in range(rng.integers(1, 4))]
        kind = rng.random()
        answer = text() if kind < 0.4 or not each else str(rng.choice(each))
        answers.append("" if kind > 0.8 else answer.upper() if kind > 0.6 else answer)
        references.append(each)
    return references, answers


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_the_script(seed: int) -> None:
    references, answers = trial(400, seed)
    report = evaluate_spans(references, answers, resamples=0)
    exact, f1 = get_raw_scores(references, answers)
    has = [bool(each) for each in references]
    assert report["exact_match"] == pytest.approx(np.mean(exact))
    assert report["f1"] == pytest.approx(np.mean(f1))
    for prefix, part in (("has_answer", np.array(has)), ("no_answer", ~np.array(has))):
        assert report[f"{prefix}_exact_match"] == pytest.approx(np.array(exact)[part].mean())
        assert report[f"{prefix}_f1"] == pytest.approx(np.array(f1)[part].mean())
    assert report["n_with_answer"] == sum(has)


@pytest.mark.parametrize("seed", range(5))
def test_without_unanswerable_questions_they_are_those_of_the_first_script(seed: int) -> None:
    references, answers = trial(400, seed, without=0)
    pairs = [
        (each, a) for each, a in zip(references, answers, strict=True) if all(map(normalize_answer, each))
    ]
    report = evaluate_spans(*zip(*pairs, strict=True), resamples=0)
    exact = [max(normalize_answer(a) == normalize_answer(r) for r in each) for each, a in pairs]
    f1 = [max(f1_score_v1(a, r) for r in each) for each, a in pairs]
    assert report["exact_match"] == pytest.approx(np.mean(exact))
    assert report["f1"] == pytest.approx(np.mean(f1))
    assert not any(name.startswith("no_answer") for name in report)


@pytest.mark.parametrize(
    ("references", "answer", "exact", "f1"),
    [
        (["the the the"], "", 1, 1),  # nothing but articles is no reference at all
        (["..."], "the", 1, 1),
        (["..."], "cat", 0, 0),
        (["...", "cat"], "", 0, 0),  # punctuation beside a reference counts for nothing
        (["cat cat"], "cat", 0, 2 / 3),  # words are counted as often as they occur
        (["An apple a day"], "apple day", 1, 1),
        ([], "", 1, 1),
        ([], "the", 1, 1),
        ([], "cat", 0, 0),
        (["İ"], "i\u0307", 1, 1),  # lower case may be longer
        (["a\u00a0b"], "b", 1, 1),  # an unbreakable blank is one
        (["“cat”"], "cat", 0, 0),  # curly quotation marks are no punctuation there
    ],
)  # fmt: skip
def test_adversarial_answers(references: list[str], answer: str, exact: float, f1: float) -> None:
    report = evaluate_spans([references], [answer], resamples=0)
    assert report["exact_match"] == exact
    assert report["f1"] == pytest.approx(f1)
    assert ([exact], [pytest.approx(f1)]) == get_raw_scores([references], [answer])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("ties", [False, True])
def test_the_threshold_gives_the_figure_that_the_script_finds(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    references, answers = trial(60, seed)
    if seed % 2:
        answers = [answer if normalize_answer(answer) else "" for answer in answers]
    marks = Marks.of(references, answers)
    scores = rng.normal(size=60) if not ties else rng.integers(0, 3, 60).astype(np.float64)
    for figure in (marks.exact, marks.f1):
        found = best_threshold(figure, marks.has_answer, scores)
        # What the figure really is at that threshold, by answering nothing above it.
        assert found.value is not None
        kept = scores <= found.value
        real = np.where(kept, figure, np.where(marks.has_answer, 0.0, 1.0))
        assert found.figure == pytest.approx(real.mean())
        best = max(
            np.where(scores <= at, figure, np.where(marks.has_answer, 0.0, 1.0)).mean()
            for at in [scores.min() - 1, *scores.tolist()]
        )
        assert found.figure == pytest.approx(best)
        # The script marks an answer "the" as right where there is none, and counts it as wrong when it chooses.
        odd = any(answer and not normalize_answer(answer) for answer in answers)
        if not ties and not odd:
            theirs, _ = find_best_thresh(answers, figure.tolist(), scores.tolist(), marks.has_answer.tolist())
            assert 100 * found.figure == pytest.approx(theirs)


def test_a_question_without_an_answer_is_what_a_threshold_needs() -> None:
    marks = Marks.of([["cat"], ["dog"]], ["cat", "cow"])
    found = best_threshold(marks.exact, marks.has_answer, np.array([-1.0, 5.0]))
    assert found == (None, 0.5)


def test_intervals_hold_the_figures_and_are_wider_of_few_articles() -> None:
    references, answers = trial(300, 7)
    alone = evaluate_spans(references, answers)
    together = evaluate_spans(references, answers, groups=Groups(np.arange(300) // 50))
    for report in (alone, together):
        assert json.loads(json.dumps(report, allow_nan=False)) == report
        for name, interval in report["intervals"].items():
            if interval is not None:
                low, high = interval
                assert 0 <= low <= report[name] <= high <= 1
    assert together["n_groups"] == 6
    wide, narrow = (np.diff(each["intervals"]["exact_match"])[0] for each in (together, alone))
    assert wide > narrow


def test_resamples_follow_the_seed() -> None:
    references, answers = trial(100, 3)
    one, same, other = (
        evaluate_spans(references, answers, seed=seed)["intervals"]["f1"] for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_runs_are_judged_by_the_same_figures() -> None:
    references, answers = trial(100, 5)
    judged = judge_spans(Marks.of(references, answers))
    report = evaluate_spans(references, answers, resamples=0)
    assert {name: report[name] for name in judged.figures} == pytest.approx(dict(judged.figures))
    draws = np.random.default_rng(0).integers(0, 100, (7, 100))
    resampled: Any = judged.resample(draws)
    marks = Marks.of([references[row] for row in draws[2]], [answers[row] for row in draws[2]])
    assert resampled["f1"][2] == pytest.approx(marks.f1.mean())
    assert resampled["has_answer_f1"][2] == pytest.approx(marks.f1[marks.has_answer].mean())


def test_without_questions_there_is_nothing_to_evaluate() -> None:
    with pytest.raises(DataError, match="no questions"):
        evaluate_spans([], [])
    with pytest.raises(DataError, match="2 questions, and answers to 1"):
        evaluate_spans([["a"], ["b"]], ["a"])
