"""Figures of written texts are those of sacrebleu and rouge-score, on whole corpora and on resamples."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from headstart.errors import DataError, MissingDependencyError
from headstart.groups import Groups
from headstart.metrics.intervals import exact_interval
from headstart.metrics.resampling import draws_of
from headstart.metrics.texts import TextCounts, evaluate_texts, judge_texts

Texts = Sequence[tuple[Sequence[str], str]]
"""References and a prediction for each sample."""
ADVERSARIAL: Texts = [
    (["the cat sat on the mat"], ""),
    ([""], "something"),
    ([""], ""),
    (["   "], "\t"),
    (["a"], "a"),
    (["a b", "a b c d e", "x"], "a b c d"),
    (["a b c d e f g h", "a b"], "a b"),
    (["東京は日本の首都です", "日本の首都は東京"], "東京は 日本の首都"),
    (["naïve café", "🙂🙂 ok"], "naive café 🙂"),
    (["Hello, world (again)!"], "hello , world ( again ) !"),
    (["the the the the"], "the the the the the the the"),
    (["&quot;x&quot; 1,000.5 - a-b"], '"x" 1,000.5 -a-b .'),
    (["é"], "e\u0301"),
    (["line\none"], "line one"),
]
WORDS = st.sampled_from(["the", "cat", "Sat", "mat.", "3,000", "東京", "é", "🙂", "-", "(x)", "a", ""])
TEXT = st.one_of(st.lists(WORDS, max_size=9).map(" ".join), st.text(max_size=12))
SAMPLES = st.lists(st.tuples(st.lists(TEXT, min_size=1, max_size=3), TEXT), min_size=1, max_size=8)


def apart(texts: Texts) -> tuple[list[Sequence[str]], list[str]]:
    return [refs for refs, _ in texts], [text for _, text in texts]


def of_libraries(texts: Texts) -> dict[str, float]:
    """The figures as the libraries' own functions over a corpus give them."""
    references, predicted = apart(texts)
    most = max(map(len, references))
    streams: Any = [[refs[n] if n < len(refs) else None for refs in references] for n in range(most)]
    rouge = RougeScorer(["rougeL"])
    shares = [rouge.score_multi(refs, text)["rougeL"].fmeasure for refs, text in texts]
    return {
        "bleu": BLEU(force=True).corpus_score(predicted, streams).score,
        "chrf": CHRF().corpus_score(predicted, streams).score,
        "rouge_l": float(np.mean(shares)),
        "exact_match": float(
            np.mean([any(one.strip() == text.strip() for one in refs) for refs, text in texts])
        ),
    }


def figures(texts: Texts) -> dict[str, float]:
    report = evaluate_texts(*apart(texts), resamples=0)
    return {name: report[name] for name in ("bleu", "chrf", "rouge_l", "exact_match")}


@given(SAMPLES)
def test_figures_of_random_texts_are_those_of_the_libraries(texts: Texts) -> None:
    assert figures(texts) == pytest.approx(of_libraries(texts), abs=1e-9)


@pytest.mark.parametrize("texts", [[one] for one in ADVERSARIAL] + [ADVERSARIAL, ADVERSARIAL[4:]])
def test_figures_of_adversarial_texts_are_those_of_the_libraries(texts: Texts) -> None:
    assert figures(texts) == pytest.approx(of_libraries(texts), abs=1e-9)


def test_figures_of_a_resample_are_those_of_its_texts() -> None:
    counts = TextCounts.of(*apart(ADVERSARIAL))
    draws = np.random.default_rng(0).integers(0, len(ADVERSARIAL), (20, len(ADVERSARIAL)))
    resampled = judge_texts(*apart(ADVERSARIAL)).resample(draws)
    assert len(counts) == len(ADVERSARIAL)
    for place, rows in enumerate(draws.tolist()):
        expected = of_libraries([ADVERSARIAL[row] for row in rows])
        assert {name: float(values[place]) for name, values in resampled.items()} == pytest.approx(expected)


def some(n: int) -> Texts:
    rng = np.random.default_rng(3)
    words = np.array(["one", "two", "three", "four", "five", "six"])
    texts = []
    for _ in range(n):
        wanted = rng.choice(words, 6)
        said = np.where(rng.random(6) < 0.8, wanted, rng.choice(words, 6))
        texts.append(([" ".join(wanted)], " ".join(said)))
    return texts


def test_intervals_hold_the_figures_and_narrow_with_the_samples() -> None:
    widths = []
    for n in (40, 400):
        report = evaluate_texts(*apart(some(n)), resamples=200, seed=1)
        for name, (low, high) in report["intervals"].items():
            assert low < report[name] < high, name
        widths.append(np.diff(report["intervals"]["bleu"])[0])
    assert widths[1] < widths[0] / 2
    assert set(report["intervals"]) == {"bleu", "chrf", "rouge_l", "exact_match"}


def test_the_interval_of_exact_match_is_that_of_a_proportion() -> None:
    report = evaluate_texts(*apart(some(40)), resamples=100)
    hits = round(report["exact_match"] * 40)
    assert report["intervals"]["exact_match"] == exact_interval(hits, 40)


def test_the_same_seed_gives_the_same_intervals() -> None:
    first, second, other = (evaluate_texts(*apart(some(40)), resamples=100, seed=s) for s in (0, 0, 1))
    assert first == second
    assert first["intervals"]["bleu"] != other["intervals"]["bleu"]


def test_samples_in_groups_are_drawn_together() -> None:
    texts = [text for text in some(20) for _ in range(5)]
    groups = Groups(np.repeat(np.arange(20), 5))
    alone = evaluate_texts(*apart(texts), resamples=200)
    together = evaluate_texts(*apart(texts), resamples=200, groups=groups)
    assert together["n_groups"] == 20
    for name in ("bleu", "rouge_l", "exact_match"):
        assert np.diff(together["intervals"][name]) > np.diff(alone["intervals"][name])


def test_few_samples_have_no_interval_and_it_is_said_why() -> None:
    report = evaluate_texts([["a b"]] * 3, ["a b", "a", ""], resamples=50)
    assert report["intervals"]["bleu"] is None
    assert report["no_interval"]["bleu"] == "3 samples are too few; it takes 10"
    assert report["n_empty"] == 1


def test_counts_of_one_sample_are_drawn_as_a_matrix() -> None:
    counts = TextCounts.of(*apart(ADVERSARIAL))
    for draws in draws_of(len(counts), 3, 0):
        found = counts.figures(np.stack([np.bincount(rows, minlength=len(counts)) for rows in draws]) * 1.0)
        assert all(values.shape == (len(draws),) for values in found.values())


@pytest.mark.parametrize(
    ("references", "predicted", "said"),
    [
        ([], [], "no samples"),
        ([["a"]], ["a", "b"], "references for 1 samples, and 2 texts"),
        ([["a"], []], ["a", "b"], "sample 1 has no reference"),
    ],
)
def test_what_cannot_be_judged_is_refused(
    references: list[list[str]], predicted: list[str], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        evaluate_texts(references, predicted)


@pytest.mark.parametrize(("library", "name"), [("sacrebleu", "sacrebleu"), ("rouge_score", "rouge-score")])
def test_a_missing_library_is_named_with_its_extra(
    library: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = builtins.__import__

    def without(module: str, *rest: Any, **more: Any) -> Any:
        if module.partition(".")[0] == library:
            raise ImportError(module)
        return plain(module, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=rf"needs {name}.*headstart\[text\]"):
        evaluate_texts([["a"]], ["a"])
