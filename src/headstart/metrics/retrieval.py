"""How well the two sides of pairs find each other: recall at k and the median rank, both ways.

As CLIP's authors and those of Flickr30k's and COCO's benchmarks count (Karpathy and Fei-Fei 2015; Radford et al. 2021):
each caption looks for its one image among all images; each image looks for its captions among all captions, of which
any counts, so that its rank is that of the best of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.heads.neighbours import unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

KS = (1, 5, 10)
BLOCK_SCORES = 1 << 22
SAME = 1e-9
"""Cosines that differ by less are equal: the wrong one comes first, so that vectors that are all alike find nothing."""


@dataclass(frozen=True, slots=True)
class Recall:
    """How well queries of one side find the other.

    ``recall_at_1``, ``recall_at_5``, ``recall_at_10``: the share of queries with a right answer among the first so
    many; ``median_rank`` is that of the first right answer, counted from 1.
    """

    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    median_rank: float
    n_queries: int
    n_answers: int

    @classmethod
    def of(cls, ranks: Ints, n_answers: int) -> Recall:
        """Of the rank of each query's first right answer."""
        first, fifth, tenth = (float((ranks <= k).mean()) for k in KS)
        return cls(first, fifth, tenth, float(np.median(ranks)), len(ranks), n_answers)

    @property
    def mean(self) -> float:
        """The mean of the three recalls."""
        return (self.recall_at_1 + self.recall_at_5 + self.recall_at_10) / 3

    def __str__(self) -> str:
        at = ", ".join(
            f"{value:.1%} at {k}"
            for value, k in zip((self.recall_at_1, self.recall_at_5, self.recall_at_10), KS, strict=True)
        )
        return f"{at}, median rank {self.median_rank:g} ({self.n_queries:,} among {self.n_answers:,})"


def first_right_ranks(images: NDArray[Any], texts: NDArray[Any], image_of: Ints) -> tuple[Ints, Ints]:
    """The rank of the first right answer of each image, (N,), and of each text, (M,), by cosine; from 1.

    Parameters
    ----------
    images : ndarray of shape (N, D)
        Each of them has a text.
    texts : ndarray of shape (M, D)
    image_of : ndarray of int64, shape (M,)
        The image that each text is of.

    Examples
    --------
    >>> axes = np.eye(3)
    >>> for_images, for_texts = first_right_ranks(axes, axes[[0, 1, 2, 1]], np.array([0, 1, 2, 0]))
    >>> for_images.tolist(), for_texts.tolist()
    ([1, 2, 1], [1, 1, 1, 3])
    """
    left, right = unit_rows(images), unit_rows(texts)
    for_images = np.empty(len(left), dtype=np.int64)
    own = np.einsum("md,md->m", left[image_of], right)
    best = np.full(len(left), -np.inf)
    np.maximum.at(best, image_of, own)
    n_above = np.zeros(len(right), dtype=np.int64)
    step = max(1, BLOCK_SCORES // max(len(right), 1))
    for start in range(0, len(left), step):
        block = slice(start, start + step)
        scores = left[block] @ right.T
        is_own = image_of[None, :] == np.arange(len(left))[block, None]
        for_images[block] = 1 + ((scores > best[block, None] - SAME) & ~is_own).sum(axis=1)
        n_above += ((scores > own - SAME) & ~is_own).sum(axis=0)
    return for_images, 1 + n_above
