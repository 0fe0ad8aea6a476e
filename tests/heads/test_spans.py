"""Heads that answer questions: the best stretch of all, learnt from tokens, with a threshold for no answer."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.base import clone

from headstart.errors import ConfigError, DataError
from headstart.heads import open_head
from headstart.heads.best_spans import best_spans, token_places
from headstart.heads.predictor import Predictor
from headstart.heads.sequences import Sequences
from headstart.heads.spans import token_targets
from headstart.samples import Passages
from headstart.types import Answer

from ..variants import examples

WIDTH = 12
HEADS = {
    "linear": {"epochs": 60, "lr": 0.1},
    "attention": {"epochs": 25, "lr": 0.01, "width": 16, "n_heads": 2, "dropout": 0.0},
}


def questions(n: int, seed: int = 0, without: float = 0.0) -> tuple[Passages, NDArray[Any]]:
    """Contexts of one letter a token, whose answer begins at a token of one direction and ends at one of another.

    The first of all tokens says whether there is an answer.
    """
    rng = np.random.default_rng(seed)
    values, places, contexts, lengths = [], [], [], []
    y = np.empty(n, dtype=object)
    for row in range(n):
        n_question, n_context = int(rng.integers(2, 5)), int(rng.integers(4, 20))
        tokens = rng.normal(size=(n_question + n_context + 1, WIDTH)).astype(np.float32)
        context = "".join(rng.choice(list("abcdefgh"), n_context))
        start = int(rng.integers(n_context))
        end = int(rng.integers(start, min(start + 4, n_context))) + 1
        tokens[n_question + start, 0] += 8
        tokens[n_question + end - 1, 1] += 8
        is_without = rng.random() < without
        tokens[0, 2] = 8 if is_without else -8
        where = np.full((len(tokens), 2), -1.0, dtype=np.float32)
        where[n_question:-1] = np.stack([np.arange(n_context), np.arange(n_context) + 1], axis=1)
        values.append(tokens)
        places.append(where)
        contexts.append(context)
        lengths.append(len(tokens))
        y[row] = () if is_without else (Answer(start, end, context[start:end]),)
    offsets = np.cumsum([0, *lengths])
    return Passages(
        Sequences(np.concatenate(values), offsets), Sequences(np.concatenate(places), offsets), contexts
    ), y


@pytest.mark.parametrize("name", HEADS)
def test_it_learns_where_answers_stand(name: str) -> None:
    head: Any = open_head(name, HEADS[name], seed=0, task="spans")
    X, y = questions(200)
    fitted = head.fit(X, y, *questions(60, 1))
    assert fitted is head
    assert head.threshold_ is None
    other, wanted = questions(60, 2)
    guesses = head.guesses(other)
    right = [guess.answer == answers[0] for guess, answers in zip(guesses, wanted, strict=True)]
    assert np.mean(right) > 0.9
    assert head.predict(other).tolist() == [guess.answer.text for guess in guesses]
    for guess, context in zip(guesses, other.contexts, strict=True):
        assert len(guess.others) <= 20
        assert guess.others[0][0] == guess.answer
        assert context[guess.answer.start : guess.answer.end] == guess.answer.text


@pytest.mark.parametrize("name", HEADS)
def test_it_learns_when_there_is_none(name: str) -> None:
    head: Any = open_head(name, HEADS[name], seed=0, task="spans")
    head.fit(*questions(200, without=0.5), *questions(80, 1, without=0.5))
    assert head.threshold_ is not None
    X, y = questions(80, 2, without=0.5)
    said = [guess.answer is None for guess in head.guesses(X)]
    assert np.mean(np.array(said) == np.array([not answers for answers in y])) > 0.9


def test_the_same_seed_gives_the_same_head_and_it_is_kept(tmp_path: Path) -> None:
    X, y = questions(60, without=0.3)
    head: Any = open_head("attention", {**HEADS["attention"], "epochs": 2}, seed=3, task="spans")
    other = clone(head)
    one, two = (each.fit(X, y).guesses(X).tolist() for each in (head, other))
    assert one == two
    predictor = Predictor(head)
    predictor.save(tmp_path)
    again = Predictor.load(tmp_path)
    assert again.task == "spans"
    assert again.takes_passages
    assert again.outputs(X).tolist() == one
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".safetensors"}


def test_neighbours_change_nothing() -> None:
    X, y = questions(40)
    head: Any = open_head("attention", {**HEADS["attention"], "epochs": 2}, seed=0, task="spans").fit(X, y)
    alone = [head.guesses(X.take(np.array([row])))[0] for row in range(10)]
    for one, other in zip(alone, head.guesses(X)[:10], strict=True):
        assert one.answer == other.answer
        assert one.score == pytest.approx(other.score, abs=1e-4)


def test_what_it_cannot_be_fitted_on_is_refused() -> None:
    X, y = questions(10)
    with pytest.raises(
        ConfigError, match="the head 'mlp' is not for answers in a context; those that are: linear"
    ):
        open_head("mlp", {}, seed=0, task="spans")
    with pytest.raises(DataError, match="do not say where tokens stand in a context"):
        open_head("linear", {}, seed=0, task="spans").fit(X.tokens, y)
    with pytest.raises(ConfigError, match="mixup mixes samples, and tokens of two contexts"):
        open_head("linear", {"mixup": 0.2}, seed=0, task="spans").fit(X, y)
    with pytest.raises(ConfigError, match="width must be a multiple of n_heads"):
        open_head("attention", {"width": 10, "n_heads": 4}, seed=0, task="spans").fit(X, y)
    with pytest.raises(ConfigError, match="longest_answer must be a whole number in"):
        open_head("linear", {"longest_answer": 0}, seed=0, task="spans").fit(X, y)


@given(
    n=st.integers(1, 12), n_question=st.integers(1, 4), longest=st.integers(1, 6), n_best=st.integers(1, 30),
    seed=st.integers(0, 10_000),
)  # fmt: skip
@settings(max_examples=examples(200), deadline=None)
def test_the_best_stretches_are_those_of_all(
    n: int, n_question: int, longest: int, n_best: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n_question + n + 1, 2))
    places = np.full((len(scores), 2), -1)
    places[n_question:-1] = np.stack([np.arange(n), np.arange(n) + 1], axis=1)
    context = "abcdefghijkl"[:n]
    every = sorted(
        (
            (scores[n_question + i, 0] + scores[n_question + j, 1], i, j + 1)
            for i, j in itertools.product(range(n), repeat=2)
            if i <= j < i + longest
        ),
        reverse=True,
    )[:n_best]
    found = best_spans(scores, places, context, n_best, longest)
    assert [(answer.start, answer.end) for answer, _ in found.others] == [(i, j) for _, i, j in every]
    np.testing.assert_allclose([score for _, score in found.others], [score for score, _, _ in every])
    assert found.no_answer_score == pytest.approx(scores[0].sum() - every[0][0])
    at = found.no_answer_score
    assert best_spans(scores, places, context, n_best, longest, threshold=at).answer is not None
    assert best_spans(scores, places, context, n_best, longest, threshold=at - 1e-6).answer is None


def test_blanks_around_an_answer_are_left_out() -> None:
    scores = np.array([[0, 0], [3, 0], [0, 3.0]])
    places = np.array([[-1, -1], [0, 6], [6, 11]])
    guess = best_spans(scores, places, "  some more text")
    assert guess.answer == Answer(2, 11, "some more")
    assert best_spans(scores, places, " " * 20).answer is None


def test_tokens_of_an_answer_are_those_that_hold_some_of_it() -> None:
    places = np.array([[-1, -1], [0, 3], [4, 9], [9, 12]])
    assert token_places(places, Answer(5, 6, "x")) == (2, 2)
    assert token_places(places, Answer(2, 10, "x")) == (1, 3)
    assert token_places(places, Answer(3, 4, " ")) is None
    y = np.empty(3, dtype=object)
    y[:] = [(Answer(4, 9, "x"), Answer(0, 3, "y")), (), (Answer(3, 4, " "),)]
    X = Passages(None, Sequences(np.concatenate([places] * 3), np.arange(4) * 4), [""] * 3)
    np.testing.assert_array_equal(token_targets(X, y), [[2, 2], [0, 0], [np.nan, np.nan]])
