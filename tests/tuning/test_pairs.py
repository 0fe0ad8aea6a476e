"""Pairs that contrastive tuning makes of labels, and their loss."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.tuning.pairs import (
    LEAST_STEPS,
    LOSSES,
    TEMPERATURE,
    batch_loss,
    cosine_loss,
    cross_loss,
    paired_batches,
)

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=60).map(lambda each: np.array(each, dtype=np.int64))


@given(codes=LABELS, batch_size=st.integers(6, 24), seed=st.integers(0, 99), epoch=st.integers(1, 9))
def test_each_sample_comes_in_each_pass_and_meets_another_of_its_class(
    codes: Any, batch_size: int, seed: int, epoch: int
) -> None:
    batches = paired_batches(codes, batch_size, seed, epoch)
    assert len(batches) >= LEAST_STEPS
    assert max(map(len, batches)) <= batch_size
    counts = np.bincount(codes)
    assert len(np.unique(codes)) == 1 or min(map(len, batches)) > 1, "a batch has no pair at all"
    for batch in batches:
        for code, n in zip(*np.unique(codes[batch], return_counts=True), strict=True):
            assert n >= 2 or counts[code] == 1, "a sample has no positive pair"
    seen = np.bincount(np.concatenate(batches), minlength=len(codes))
    n_passes = seen.min()
    assert n_passes >= 1
    # A class of an odd number has one sample that comes a second time in each pass.
    assert seen.sum() == n_passes * sum(n + (n > 1 and n % 2) for n in counts[counts > 0])


@given(codes=LABELS, seed=st.integers(0, 99))
def test_the_order_follows_from_the_seed_and_the_epoch(codes: Any, seed: int) -> None:
    first, again = (paired_batches(codes, 8, seed, 3) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    sizes = [list(map(len, paired_batches(codes, 8, seed, epoch))) for epoch in (1, 2)]
    assert sum(sizes[0]) == sum(sizes[1])  # a schedule knows all steps ahead
    assert len(sizes[0]) == len(sizes[1])


@pytest.mark.parametrize("counts", [(40, 40), (30, 10), (8,) * 12])
def test_a_batch_has_pairs_of_both_kinds(counts: tuple[int, ...]) -> None:
    codes = np.repeat(np.arange(len(counts)), counts)
    for batch in paired_batches(codes, 16, seed=0, epoch=1):
        _, own = np.unique(codes[batch], return_counts=True)
        assert len(own) > 1
        assert own.max() > 1


FEATURES = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
CODES = torch.tensor([0, 0, 1, 1, 1, 2])


def cosine(first: int, second: int) -> float:
    return float(torch.cosine_similarity(FEATURES[first], FEATURES[second], dim=0))


class TestCosineLoss:
    """That of SetFit, over all pairs of a batch."""

    def test_of_pairs_drawn_evenly_it_is_that_of_sentence_transformers(self) -> None:
        losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
        theirs = losses.CosineSimilarityLoss(model=None)
        first, second, alike = [0, 1, 2, 3], [1, 2, 4, 5], torch.tensor([1.0, 0.0, 1.0, 0.0])
        wanted = theirs.compute_loss_from_embeddings([FEATURES[first], FEATURES[second]], alike)
        cosines = torch.cosine_similarity(FEATURES[first], FEATURES[second])
        torch.testing.assert_close(cosine_loss(cosines, alike.bool(), torch.ones(4).bool()), wanted)

    def test_of_a_batch_it_is_the_mean_over_pairs_of_either_kind(self) -> None:
        kinds: dict[bool, list[float]] = {True: [], False: []}
        for first, second in combinations(range(6), 2):
            is_alike = bool(CODES[first] == CODES[second])
            kinds[is_alike].append((cosine(first, second) - is_alike) ** 2)
        assert {is_alike: len(each) for is_alike, each in kinds.items()} == {True: 4, False: 11}
        wanted = np.mean([np.mean(each) for each in kinds.values()])
        assert float(batch_loss("cosine", FEATURES, CODES)) == pytest.approx(wanted, rel=1e-5)

    def test_where_one_kind_of_pair_is_missing_the_other_counts(self) -> None:
        two = FEATURES[:2]
        alike, others = torch.tensor([3, 3]), torch.tensor([3, 4])
        assert float(batch_loss("cosine", two, alike)) == pytest.approx((cosine(0, 1) - 1) ** 2, rel=1e-5)
        assert float(batch_loss("cosine", two, others)) == pytest.approx(cosine(0, 1) ** 2, rel=1e-5)

    def test_between_train_and_validation_each_pair_counts(self) -> None:
        train, new = CODES[:4], torch.tensor([0, -1])  # of a class that training lacks
        alike = [(cosine(4, 0) - 1) ** 2, (cosine(4, 1) - 1) ** 2]
        others = [cosine(4, 2) ** 2, cosine(4, 3) ** 2, *(cosine(5, place) ** 2 for place in range(4))]
        found = cross_loss("cosine", FEATURES[4:], new, FEATURES[:4], train)
        assert float(found) == pytest.approx((np.mean(alike) + np.mean(others)) / 2, rel=1e-5)


class TestSupervisedContrastiveLoss:
    """That of Khosla et al., 2020: equation 2, at temperature 0.07."""

    def test_it_is_the_formula_of_its_authors(self) -> None:
        losses = []
        for anchor in range(5):  # the last sample has no partner
            others = [place for place in range(6) if place != anchor]
            whole = sum(math.exp(cosine(anchor, place) / TEMPERATURE) for place in others)
            partners = [place for place in others if CODES[place] == CODES[anchor]]
            likely = [math.log(math.exp(cosine(anchor, place) / TEMPERATURE) / whole) for place in partners]
            losses.append(-sum(likely) / len(likely))
        assert float(batch_loss("supcon", FEATURES, CODES)) == pytest.approx(np.mean(losses), rel=1e-5)

    def test_without_any_partner_there_is_nothing_to_learn(self) -> None:
        features = FEATURES.clone().requires_grad_()
        loss = batch_loss("supcon", features, torch.arange(6))
        torch.autograd.backward(loss)
        assert float(loss.detach()) == 0
        assert features.grad is not None
        assert not features.grad.any()


@pytest.mark.parametrize("name", list(LOSSES))
class TestBoth:
    """What any loss of pairs is to hold."""

    def test_lengths_do_not_matter_and_what_is_learnt_costs_little(self, name: str) -> None:
        codes = torch.tensor([0, 1, 0, 1, 0, 1])
        torch.testing.assert_close(batch_loss(name, FEATURES, codes), batch_loss(name, 3 * FEATURES, codes))
        learnt = torch.eye(2)[codes]
        assert float(batch_loss(name, learnt, codes)) < 0.7  # a partner of two is one in two: log 2
        assert float(batch_loss(name, learnt, codes)) < float(batch_loss(name, FEATURES, codes))

    def test_a_step_downhill_brings_classes_together(self, name: str) -> None:
        features = FEATURES.clone().requires_grad_()
        loss = batch_loss(name, features, CODES)
        torch.autograd.backward(loss)
        assert features.grad is not None
        moved = FEATURES - 0.05 * features.grad
        assert float(batch_loss(name, moved, CODES)) < float(loss.detach())
