"""Heads that tag words: what they learn, what they never say, and how they are kept."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from headstart.errors import ConfigError, DataError
from headstart.heads import TAGGERS, open_head
from headstart.heads.decoding import FORBIDDEN, Transitions, best_sequences, marginals
from headstart.heads.predictor import Predictor
from headstart.heads.sequences import Sequences, held_sequences, side_by_side
from headstart.samples import ChosenSequences
from headstart.tasks.schemes import open_scheme

from ..variants import variants

FAST = {"epochs": 8, "lr": 0.05, "batch_size": 8}
NETWORKS = [(name, crf) for name in ("linear", "mlp", "bilstm") for crf in ("no", "yes")]
ALL = [*((name, "") for name in TAGGERS if name not in ("linear", "mlp", "bilstm")), *NETWORKS]
FEW = [("logistic", ""), ("linear", "yes"), ("bilstm", "no")]


def opened(name: str, crf: str, **params: Any) -> Any:
    given = {**FAST, "crf": crf, **({"width": 16} if name != "linear" else {})} if crf else {}
    return open_head(name, {**given, **params}, seed=0, task="tags")


def sentences(n: int = 60, seed: int = 0) -> tuple[Sequences, np.ndarray]:
    """Vectors that show the kind of each word, apart from the first of an entity, which looks like the others."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, n)
    lengths[3] = 0
    tags = np.empty(n, dtype=object)
    vectors = []
    for row, length in enumerate(lengths):
        own: list[str] = []
        while len(own) < length:
            kind = rng.choice(["O", "a", "b"])
            size = 1 if kind == "O" else rng.integers(1, 4)
            own += ["O"] if kind == "O" else [f"B-{kind}", *[f"I-{kind}"] * (size - 1)]
        tags[row] = np.array(own[:length], dtype=np.str_)
        for tag in tags[row]:
            centre = {"O": 0, "B-a": 1, "I-a": 2, "B-b": 3, "I-b": 4}[tag]
            vectors.append(np.eye(6)[centre] * 3 + rng.normal(scale=0.3, size=6))
    return Sequences(np.array(vectors, dtype=np.float32), np.cumsum([0, *lengths])), tags


@pytest.fixture(params=variants(["-".join(one) for one in ALL], ["-".join(one) for one in FEW]))
def tagger(request: pytest.FixtureRequest) -> tuple[str, str]:
    name, _, crf = request.param.partition("-")
    return name, crf


class TestTaggers:
    def test_it_learns_what_is_easy(self, tagger: tuple[str, str]) -> None:
        X, y = sentences()
        head = opened(*tagger)
        assert head.fit(X, y) is head
        assert head.classes_.tolist() == ["B-a", "B-b", "I-a", "I-b", "O"]
        predicted = head.predict(X)
        assert [len(tags) for tags in predicted] == [len(tags) for tags in y]
        assert head.score(X, y) > 0.9
        for chances in head.predict_proba(X):
            np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)

    def test_it_never_says_what_its_scheme_forbids(self, tagger: tuple[str, str]) -> None:
        X, y = sentences()
        head, scheme = opened(*tagger).fit(X, y), open_scheme("iob2")
        noise = Sequences(
            np.random.default_rng(1).normal(size=X.values.shape).astype(np.float32) * 3, X.offsets
        )
        for tags in head.predict(noise):
            assert scheme.is_legal(tags.tolist())

    def test_a_word_without_tokens_is_outside(self, tagger: tuple[str, str]) -> None:
        X, y = sentences()
        head = opened(*tagger).fit(X, y)
        values = X.values.copy()
        values[::3] = 0
        tags = np.concatenate(head.predict(Sequences(values, X.offsets)))
        assert (tags[::3] == "O").all()

    def test_the_same_seed_gives_the_same_head_and_what_is_kept_answers_alike(
        self, tagger: tuple[str, str], tmp_path: Path
    ) -> None:
        X, y = sentences()
        head = opened(*tagger)
        one, two = head.fit(X, y), clone(head).fit(X, y)
        for kept, other in zip(one.predict_proba(X), two.predict_proba(X), strict=True):
            assert kept.tobytes() == other.tobytes()
        Predictor(one).save(tmp_path)
        assert json.loads((tmp_path / "head.json").read_text("utf-8"))["task"] == "tags"
        again = Predictor.load(tmp_path)
        assert again.task == "tags"
        for kept, other in zip(again.outputs(X), Predictor(one).outputs(X), strict=True):
            assert kept.tags.tolist() == other.tags.tolist()
            assert kept.probabilities.tobytes() == other.probabilities.tobytes()

    def test_tags_that_are_not_one_a_word_are_refused(self, tagger: tuple[str, str]) -> None:
        X, y = sentences()
        short = y.copy()
        short[5] = short[5][:-1]
        with pytest.raises(DataError, match=rf"sentence 5 has {len(y[5])} words, and {len(y[5]) - 1} tags"):
            opened(*tagger).fit(X, short)
        with pytest.raises(ConfigError, match=r"60 \w+, and y 59"):
            opened(*tagger).fit(X, y[:-1])
        with pytest.raises(DataError, match="at least two"):
            opened(*tagger).fit(X, [np.array(["O"] * len(tags)) for tags in y])


def test_word_by_word_a_head_is_what_it_is_over_vectors() -> None:
    X, y = sentences()
    tagger = open_head("logistic", {"C": 0.5}, seed=0, task="tags").fit(X, y)
    plain = open_head("logistic", {"C": 0.5}, seed=0).fit(X.values, np.concatenate(list(y)))
    np.testing.assert_array_equal(tagger.coef_, plain.coef_)
    np.testing.assert_allclose(
        np.concatenate(list(tagger.predict_proba(X))), plain.predict_proba(X.values), atol=1e-6
    )


def test_validation_sentences_choose_the_epoch_and_may_have_tags_that_are_new() -> None:
    X, y = sentences()
    X_val, y_val = sentences(20, seed=1)
    y_val[0] = np.array(["B-new"] * len(y_val[0]))
    for name, crf in NETWORKS:
        head = opened(name, crf).fit(X, y, X_val, y_val)
        losses = [record["validation_loss"] for record in head.history_]
        assert head.best_epoch_ == 1 + int(np.argmin(losses))
        assert all(np.isfinite(record["validation_loss"]) for record in head.history_)


@pytest.mark.parametrize("crf", ["no", "yes"])
def test_where_nearly_all_words_are_outside_a_short_training_knows_it(crf: str) -> None:
    rng = np.random.default_rng(0)
    X = Sequences(rng.normal(size=(400, 8)).astype(np.float32), np.arange(0, 401, 10))
    y = np.array([["B-a", *["O"] * 9]] * 40, dtype=object)
    head = open_head("linear", {"crf": crf, "epochs": 5}, seed=0, task="tags").fit(X, y)
    assert head.score(X, y) >= 0.9
    np.testing.assert_allclose(np.mean(np.concatenate(head.predict_proba(X)), axis=0), [0.1, 0.9], atol=0.05)


def test_tags_that_are_to_count_alike_are_alike_at_first() -> None:
    X, y = sentences()
    head = opened("linear", "no", epochs=1, lr=1e-9, class_weight="balanced").fit(X, y)
    np.testing.assert_allclose(head.weights_["output.bias"], 0, atol=1e-6)


def test_a_crf_learns_what_single_words_do_not_show() -> None:
    """Words of two kinds look alike; which it is depends on the word before."""
    rng = np.random.default_rng(0)
    tags = [np.array(["x", *rng.choice(["A", "B"], 1).repeat(4)]) for _ in range(150)]
    vectors = []
    for own in tags:
        for place, tag in enumerate(own):
            is_shown = place == 1
            vectors.append([tag == "x", is_shown and tag == "A", is_shown and tag == "B", 0.1 * rng.normal()])
    X = Sequences(np.array(vectors, np.float32), np.arange(151) * 5)
    without = opened("linear", "no", epochs=40).fit(X, tags)
    with_crf = opened("linear", "yes", epochs=40).fit(X, tags)
    assert without.score(X, tags) < 0.8
    assert with_crf.score(X, tags) > 0.97


def test_marginals_are_those_of_all_sequences() -> None:
    rng = np.random.default_rng(0)
    scores, transitions = rng.normal(size=(4, 3)), Transitions(*(rng.normal(size=s) for s in (3, (3, 3), 3)))
    transitions.next[1, 2] = FORBIDDEN
    sums = np.zeros((4, 3))
    for path in itertools.product(range(3), repeat=4):
        score = (
            transitions.first[path[0]]
            + transitions.last[path[-1]]
            + sum(scores[t, tag] for t, tag in enumerate(path))
        )
        score += sum(transitions.next[a, b] for a, b in itertools.pairwise(path))
        sums[np.arange(4), path] += np.exp(score)
    (found,) = marginals([scores], transitions)
    np.testing.assert_allclose(found, sums / sums.sum(axis=1, keepdims=True), atol=1e-9)
    assert next(marginals([scores[:0]], transitions)).shape == (0, 3)


@given(st.integers(0, 10_000))
def test_the_best_sequence_is_legal_whatever_is_scored(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scheme = open_scheme(["iob2", "iobes", "bilou"][seed % 3])
    prefixes = [prefix for prefix in scheme.prefixes if prefix != "O"]
    names = ["O", *(f"{prefix}-{kind}" for prefix in prefixes for kind in ("a", "b"))]
    scores = [rng.normal(scale=rng.choice([0.1, 10]), size=(n, len(names))) for n in rng.integers(0, 12, 5)]
    for path in best_sequences(scores, Transitions.allowing(scheme.legal_moves(names))):
        assert scheme.is_legal([names[tag] for tag in path])


def test_layers_are_put_side_by_side_and_sentences_of_any_form_are_taken() -> None:
    X, y = sentences()
    double = side_by_side([X, X])
    assert double.values.shape == (len(X.values), 12)
    with pytest.raises(DataError, match="cannot be put side by side"):
        side_by_side([X, Sequences(X.values[:-1], np.r_[X.offsets[:-1], X.offsets[-1] - 1])])
    parts = [X.values[X.offsets[row] : X.offsets[row + 1]] for row in range(len(X))]
    head = opened("logistic", "")
    tags = head.fit(parts, list(y)).predict(parts)
    chosen = ChosenSequences(X, np.array([5, 2]))
    assert [own.tolist() for own in head.predict(chosen)] == [tags[5].tolist(), tags[2].tolist()]
    assert held_sequences(chosen).lengths.tolist() == [len(y[5]), len(y[2])]
    with pytest.raises(DataError, match="one vector a sample"):
        head.predict(X.values)


def test_heads_that_tag_no_words_are_named() -> None:
    with pytest.raises(
        ConfigError, match=r"'attention' is not for a tag for each word; those that are: logistic"
    ):
        open_head("attention", {}, seed=0, task="tags")
    with pytest.raises(ConfigError, match=r"'bilstm' is not for classes"):
        open_head("bilstm", {}, seed=0)
    with pytest.raises(ConfigError, match="mixup must be"):
        opened("linear", "no", mixup=0.2).fit(*sentences())
