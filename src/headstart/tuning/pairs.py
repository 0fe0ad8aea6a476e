"""Pairs of samples for contrastive tuning: which samples meet in a batch, and the loss of all pairs of a batch.

SetFit (Tunstall et al., 2022, "Efficient Few-Shot Learning Without Prompts") draws pairs, and runs each sample once for
each of its pairs. Here each sample of a batch runs once, and all pairs of the batch are looked at, as in supervised
contrastive learning (Khosla et al., 2020). The loss is SetFit's, ``cosine``, or that of the latter, ``supcon``.

Importing this imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOGETHER = 2
"""Samples of a class that come into a batch together, so that each of them has a positive pair."""
TEMPERATURE = 0.07
"""Of ``supcon``: what its authors chose, and setfit takes."""
LEAST_STEPS = 8
"""Of an epoch: with a handful of labels, one pass over the samples would be a step or two."""
SMALLEST_BATCH = 3 * TOGETHER
"""With room for fewer, what is left over for the last batch could be a single sample, which has no pair."""


def paired_batches(
    codes: NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """The rows of each batch of an epoch: all samples, in one pass or in as many as make `LEAST_STEPS` batches.

    Parameters
    ----------
    codes : ndarray of int64, shape (N,)
        The class of each sample.
    batch_size : int in [6, inf)
        The most samples of a batch.

    Returns
    -------
    list of ndarray of int64
        Each sample is beside another of its class if there is one. The last of a class of an odd number meets one that
        comes a second time in the pass. Classes are spread over the batches in proportion.

    Examples
    --------
    >>> batches = paired_batches(np.array([0, 0, 1, 1]), batch_size=6, seed=0, epoch=1)
    >>> [sorted(batch.tolist()) for batch in batches[:2]], len(batches)
    ([[0, 1, 2, 3], [0, 1, 2, 3]], 8)
    """
    rng = np.random.default_rng([seed, epoch])
    batches = _one_pass(codes, batch_size, rng)
    for _ in range(1, -(-LEAST_STEPS // len(batches))):
        batches += _one_pass(codes, batch_size, rng)
    return batches


def _one_pass(codes: NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """The rows of each batch of one pass over all samples."""
    groups: list[tuple[float, NDArray[np.int64]]] = []
    order = rng.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        own = _grouped(rows, rng)
        places = (np.arange(len(own)) + rng.random(len(own))) / len(own)
        groups += zip(places.tolist(), own, strict=True)
    groups.sort(key=lambda group: group[0])
    n_batches = -(-len(groups) // (batch_size // TOGETHER))
    shares = np.array_split(np.arange(len(groups)), n_batches)
    return [np.concatenate([groups[place][1] for place in share]) for share in shares]


def _grouped(rows: NDArray[np.int64], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """The shuffled rows of a class by two; the last of an odd number takes one of the others along."""
    if len(rows) > 1 and len(rows) % TOGETHER:
        rows = np.append(rows, rng.choice(rows[:-1]))
    return [rows[start : start + TOGETHER] for start in range(0, len(rows), TOGETHER)]


def cosine_loss(cosines: Tensor, are_alike: Tensor, are_pairs: Tensor) -> Tensor:
    """The mean squared distance of cosines from 1 where samples are of a class, else from 0.

    Pairs of a kind count half together, as if as many of either had been drawn; where one kind is missing, the other
    counts alone. Which entries are pairs is said beside; all are of one shape.
    """
    errors = (cosines - are_alike.to(cosines.dtype)).square()
    kinds = [errors[kind & are_pairs] for kind in (are_alike, ~are_alike)]
    return torch.stack([each.mean() for each in kinds if len(each)]).mean()


def supcon_loss(cosines: Tensor, are_alike: Tensor, are_pairs: Tensor) -> Tensor:
    """How unlikely each sample (N, …) takes those of its class (…, M) for its partners, by a softmax over all of them.

    A sample without a partner of its class has no loss; 0 if none has.
    """
    logits = (cosines / TEMPERATURE).masked_fill(~are_pairs, float("-inf"))
    positive = are_alike & are_pairs
    likely = (logits - logits.logsumexp(dim=1, keepdim=True)).masked_fill(~positive, 0.0).sum(dim=1)
    n_positive = positive.sum(dim=1)
    losses = -likely / n_positive.clamp(min=1)
    return losses.sum() / (n_positive > 0).sum().clamp(min=1)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"cosine": cosine_loss, "supcon": supcon_loss}


def batch_loss(name: str, features: Tensor, codes: Tensor) -> Tensor:
    """The loss of all pairs of different samples of a batch: features (B, D) of classes (B,)."""
    unit = normalize(features, dim=-1)
    are_pairs = ~torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    return LOSSES[name](unit @ unit.T, codes[:, None] == codes, are_pairs)


def cross_loss(name: str, features: Tensor, codes: Tensor, others: Tensor, other_codes: Tensor) -> Tensor:
    """The loss of all pairs of a sample of the one kind, (N, D) with classes (N,), and one of the other."""
    cosines = normalize(features, dim=-1) @ normalize(others, dim=-1).T
    are_alike = codes[:, None] == other_codes
    return LOSSES[name](cosines, are_alike, torch.ones_like(are_alike))
