"""The best sequence of tags and a CRF's likelihood are those of trying all sequences, and no sequence is illegal."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import DataError
from headstart.heads import decoding
from headstart.heads.crf import CRF
from headstart.heads.decoding import Transitions, best_sequences
from headstart.tasks.schemes import NAMES, open_scheme


def tags_of(name: str) -> list[str]:
    prefixes = open_scheme(name).prefixes.replace("O", "")
    return ["O", *(f"{prefix}-{kind}" for prefix in prefixes for kind in "ab")]


def drawn(n_tags: int, seed: int = 0) -> Transitions:
    rng = np.random.default_rng(seed)
    return Transitions(rng.normal(size=n_tags), rng.normal(size=(n_tags, n_tags)), rng.normal(size=n_tags))


def score(tags: Any, scores: Any, transitions: Transitions) -> float:
    total = transitions.first[tags[0]] + transitions.last[tags[-1]]
    total += sum(transitions.next[one, other] for one, other in pairwise(tags))
    return float(total + sum(scores[place, tag] for place, tag in enumerate(tags)))


@pytest.mark.parametrize("block", [1, 1 << 22])
def test_the_best_sequence_is_that_of_trying_all(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "AT_ONCE", block)
    rng, transitions = np.random.default_rng(1), drawn(3)
    sequences = [rng.normal(size=(length, 3)) for length in (4, 0, 1, 5, 2, 5, 0, 3)]
    found = best_sequences(sequences, transitions)
    for scores, tags in zip(sequences, found, strict=True):
        assert tags.shape == (len(scores),)
        if len(scores):
            every = product(range(3), repeat=len(scores))
            assert tuple(tags) == max(every, key=lambda one: score(one, scores, transitions))


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 1 << 32), lengths=st.lists(st.integers(0, 9), max_size=5))
def test_what_is_decoded_within_a_scheme_is_legal(name: str, seed: int, lengths: list[int]) -> None:
    scheme, names, rng = open_scheme(name), tags_of(name), np.random.default_rng(seed)
    moves = scheme.legal_moves(names)
    sequences = [rng.normal(scale=100, size=(length, len(names))) for length in lengths]
    for transitions in (Transitions.allowing(moves), drawn(len(names), seed).within(moves)):
        for tags in best_sequences(sequences, transitions):
            assert scheme.is_legal([names[tag] for tag in tags])


def test_legal_scores_are_decoded_to_what_they_say() -> None:
    scheme, names = open_scheme("iob2"), tags_of("iob2")
    true = ["O", "B-a", "I-a", "B-b", "O"]
    scores = np.full((5, len(names)), -5.0)
    scores[np.arange(5), [names.index(tag) for tag in true]] = 0
    [tags] = best_sequences([scores], Transitions.allowing(scheme.legal_moves(names)))
    assert [names[tag] for tag in tags] == true


def test_where_nothing_is_legal_the_fewest_illegal_moves_are_made() -> None:
    scheme, names = open_scheme("iobes"), ["B-a", "E-a"]  # of which no single word can be tagged
    transitions = Transitions.allowing(scheme.legal_moves(names))
    tags = best_sequences([np.zeros((1, 2)), np.zeros((2, 2)), np.zeros((3, 2))], transitions)
    assert [len(each) for each in tags] == [1, 2, 3]
    assert tags[1].tolist() == [0, 1]


def test_without_moves_the_best_tag_of_each_word_is_taken() -> None:
    scores = np.random.default_rng(0).normal(size=(7, 4))
    [tags] = best_sequences([scores], Transitions.free(4))
    assert tags.tolist() == scores.argmax(axis=1).tolist()


def test_a_head_that_diverged_is_named() -> None:
    with pytest.raises(DataError, match="its training diverged"):
        best_sequences([np.array([[np.nan, 0.0]])], Transitions.free(2))


@pytest.fixture
def crf() -> CRF:
    torch.manual_seed(0)
    made = CRF(3).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return made


def batch(lengths: list[int], n_tags: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    scores = torch.randn(len(lengths), max(lengths), n_tags, dtype=torch.float64)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return scores, torch.randint(n_tags, mask.shape), mask


def test_the_likelihood_is_that_of_trying_all(crf: CRF) -> None:
    lengths = [4, 1, 3]
    scores, tags, mask = batch(lengths)
    found, transitions = crf(scores, tags, mask), crf.transitions()
    for row, length in enumerate(lengths):
        every = [score(one, scores[row].numpy(), transitions) for one in product(range(3), repeat=length)]
        own = score(tags[row, :length].tolist(), scores[row].numpy(), transitions)
        assert found[row].item() == pytest.approx(own - np.logaddexp.reduce(every))


def test_likelihoods_of_all_sequences_sum_to_one(crf: CRF) -> None:
    every = torch.tensor(list(product(range(3), repeat=4)))
    scores = torch.randn(1, 4, 3, dtype=torch.float64).expand(len(every), -1, -1)
    total = crf(scores, every, torch.ones_like(every, dtype=torch.bool)).exp().sum()
    assert total.item() == pytest.approx(1)


def test_padding_changes_nothing(crf: CRF) -> None:
    scores, tags, mask = batch([3, 2])
    expected = crf(scores, tags, mask)
    longer = torch.cat([scores, torch.full((2, 2, 3), 1e6, dtype=torch.float64)], dim=1)
    unknown = torch.cat([tags, torch.full((2, 2), -1)], dim=1)  # what stands there is no tag
    found = crf(longer, unknown, torch.cat([mask, torch.zeros(2, 2, dtype=torch.bool)], dim=1))
    torch.testing.assert_close(found, expected)


def test_an_empty_sequence_is_certain(crf: CRF) -> None:
    scores, tags, mask = batch([2, 0])
    assert crf(scores, tags, mask)[1].item() == 0
    assert crf(scores[:, :0], tags[:, :0], mask[:, :0]).tolist() == [0, 0]


def test_gradients_are_those_of_finite_differences(crf: CRF) -> None:
    scores, tags, mask = batch([3, 2])
    scores.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *given: crf(given[0], tags, mask).sum(), (scores, *crf.parameters())
    )


def test_it_learns_which_tag_follows_which() -> None:
    torch.manual_seed(0)
    crf, tags = CRF(2), torch.tensor([[0, 1] * 5] * 8)
    optimizer = torch.optim.Adam(crf.parameters(), lr=0.1)
    nothing, mask = torch.zeros(8, 10, 2), torch.ones(8, 10, dtype=torch.bool)
    for _ in range(100):
        optimizer.zero_grad()
        (-crf(nothing, tags, mask).mean()).backward()
        optimizer.step()
    [found] = best_sequences([np.zeros((6, 2))], crf.transitions())
    assert found.tolist() == [0, 1, 0, 1, 0, 1]
