"""Pairs that contrastive tuning makes of labels, and their loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.tuning.pairs import LEAST_STEPS, batch_loss, cross_loss, pair_loss, paired_batches

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


class TestLoss:
    """That of SetFit, over all pairs of a batch."""

    @pytest.fixture
    def features(self) -> torch.Tensor:
        return torch.randn(6, 5, generator=torch.Generator().manual_seed(0))

    def test_of_pairs_drawn_evenly_it_is_that_of_sentence_transformers(self, features: torch.Tensor) -> None:
        losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
        theirs = losses.CosineSimilarityLoss(model=None)
        first, second, alike = [0, 1, 2, 3], [1, 2, 4, 5], torch.tensor([1.0, 0.0, 1.0, 0.0])
        wanted = theirs.compute_loss_from_embeddings([features[first], features[second]], alike)
        found = pair_loss(torch.cosine_similarity(features[first], features[second]), alike.bool())
        torch.testing.assert_close(found, wanted)

    def test_of_a_batch_it_is_the_mean_over_pairs_of_either_kind(self, features: torch.Tensor) -> None:
        codes = torch.tensor([0, 0, 1, 1, 1, 2])
        kinds: dict[bool, list[float]] = {True: [], False: []}
        for first in range(6):
            for second in range(first):
                cosine = torch.cosine_similarity(features[first], features[second], dim=0)
                is_alike = bool(codes[first] == codes[second])
                kinds[is_alike].append((float(cosine) - is_alike) ** 2)
        assert {is_alike: len(each) for is_alike, each in kinds.items()} == {True: 4, False: 11}
        wanted = np.mean([np.mean(each) for each in kinds.values()])
        assert float(batch_loss(features, codes)) == pytest.approx(wanted, rel=1e-5)

    def test_it_does_not_depend_on_lengths_and_is_nothing_where_all_is_learnt(
        self, features: torch.Tensor
    ) -> None:
        codes = torch.tensor([0, 1, 0, 1, 0, 1])
        torch.testing.assert_close(batch_loss(features, codes), batch_loss(3 * features, codes))
        learnt = torch.eye(2)[codes]
        assert float(batch_loss(learnt, codes)) == pytest.approx(0)

    def test_where_one_kind_of_pair_is_missing_the_other_counts(self, features: torch.Tensor) -> None:
        unit = torch.nn.functional.normalize(features, dim=1)
        [cosine] = unit[:1] @ unit[1]
        assert float(batch_loss(features[:2], torch.tensor([3, 3]))) == pytest.approx(
            (float(cosine) - 1) ** 2
        )
        assert float(batch_loss(features[:2], torch.tensor([3, 4]))) == pytest.approx(float(cosine) ** 2)

    def test_between_train_and_validation_each_pair_counts(self, features: torch.Tensor) -> None:
        train, new = torch.tensor([0, 0, 1, 1]), torch.tensor([0, -1])  # of a class that training lacks
        cosines = torch.cosine_similarity(features[4:, None], features[:4], dim=-1)
        alike, others = cosines[0, :2], torch.cat([cosines[0, 2:], cosines[1]])
        wanted = ((alike - 1).square().mean() + others.square().mean()) / 2
        torch.testing.assert_close(cross_loss(features[4:], new, features[:4], train), wanted)
