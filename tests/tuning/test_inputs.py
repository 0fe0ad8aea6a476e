"""The order of an epoch."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch

from headstart.training.examples import batches_of
from headstart.tuning.samples import Windows


@pytest.mark.parametrize(
    ("n", "batch_size", "part_size"), [(100, 32, 8), (10, 32, 8), (33, 16, 16), (7, 3, 2)]
)
def test_parts_are_the_batches_of_a_head_in_pieces(n: int, batch_size: int, part_size: int) -> None:
    lengths = np.random.default_rng(0).integers(3, 50, n)
    windows = Windows(n, batch_size, part_size, seed=3, lengths=lengths)
    windows.epoch = 2
    parts = list(windows)
    assert len(parts) == len(windows)
    assert max(map(len, parts)) <= part_size
    batches = [set(rows.tolist()) for rows in batches_of(n, batch_size, 3, 2, torch.device("cpu"))]
    regrouped, rest = [], list(parts)
    for batch in batches:
        n_parts = -(-len(batch) // part_size)
        regrouped.append(set(chain.from_iterable(rest[:n_parts])))
        for part in rest[: n_parts - 1]:
            assert len(part) == part_size
        rest = rest[n_parts:]
    assert regrouped == batches
    for batch, start in zip(batches, range(0, len(parts), windows.n_parts), strict=False):
        rows = list(chain.from_iterable(parts[start : start + -(-len(batch) // part_size)]))
        assert lengths[rows].tolist() == sorted(lengths[rows])


def test_epochs_differ_and_seeds_too() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        windows = Windows(50, 10, 5, seed=seed)
        windows.epoch = epoch
        return list(windows)

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)
