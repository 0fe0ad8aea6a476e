"""Which columns carry a decision: layers, backbones or single dimensions, by shuffling them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Columns = slice | NDArray[np.integer[Any]]


class Predictor(Protocol):
    """A fitted head, or any other estimator."""

    def predict(self, X: NDArray[Any], /) -> NDArray[Any]:
        """Predictions for rows (N, D)."""


@dataclass(frozen=True, slots=True)
class BlockImportance:
    """What a head loses when it cannot know a block of columns."""

    name: str
    n_columns: int
    intact: float
    """The score on intact rows."""
    drop: float
    """That less the score on rows whose block is shuffled, mean over the repeats."""
    deviation: float
    """The standard deviation of the same; 0 with one repeat."""


def block_importance(
    head: Predictor,
    X: NDArray[Any],
    y: NDArray[Any],
    blocks: Mapping[str, Columns],
    repeats: int = 10,
    seed: int = 0,
    score: Callable[[NDArray[Any], NDArray[Any]], float] | None = None,
) -> list[BlockImportance]:
    """Permutation importance (Breiman 2001) of blocks of columns, the most important first.

    The columns of a block move together, so what they say together is lost together: shuffled one by one, columns
    that repeat each other would all seem to matter little. What two blocks both say is lost with neither.

    Parameters
    ----------
    head : Predictor
    X : ndarray of shape (N, D)
        Rows that the head was not fitted on.
    y : ndarray of N rows
        What it should predict.
    blocks : mapping of str to slice or ndarray of int
        Columns by name, e.g. ``{"layer 6": slice(0, 384), "layer 12": slice(384, 768)}``.
    repeats : int
        Shuffles of each block, in [1, inf).
    seed : int
        The same gives the same shuffles, whatever other blocks there are.
    score : callable, optional
        Of true and predicted, larger is better. None: accuracy.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> X = np.random.default_rng(0).normal(size=(300, 4))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> head = LogisticRegression().fit(X[:200], y[:200])
    >>> found = block_importance(head, X[200:], y[200:], {"rest": slice(2, 4), "first": slice(0, 2)})
    >>> [one.name for one in found]
    ['first', 'rest']
    """
    judge = score or _accuracy
    intact = judge(y, head.predict(X))
    shuffles = [np.random.default_rng([seed, repeat]).permutation(len(X)) for repeat in range(repeats)]
    shuffled = X.copy()
    found = []
    for name, columns in blocks.items():
        drops = []
        for order in shuffles:
            shuffled[:, columns] = X[:, columns][order]
            drops.append(intact - judge(y, head.predict(shuffled)))
        shuffled[:, columns] = X[:, columns]
        spread = float(np.std(drops, ddof=1)) if repeats > 1 else 0.0
        n_columns = shuffled[:0, columns].shape[1]
        found.append(BlockImportance(name, n_columns, intact, float(np.mean(drops)), spread))
    return sorted(found, key=lambda one: -one.drop)


def equal_blocks(width: int, n_blocks: int) -> dict[str, slice]:
    """Columns in so many blocks of about one size, named by their dimensions.

    Examples
    --------
    >>> equal_blocks(10, 3)
    {'0-3': slice(0, 4, None), '4-6': slice(4, 7, None), '7-9': slice(7, 10, None)}
    """
    ends = [0, *np.cumsum([len(part) for part in np.array_split(np.arange(width), n_blocks)]).tolist()]
    return {f"{a}-{b - 1}": slice(a, b) for a, b in pairwise(ends) if b > a}


def _accuracy(true: NDArray[Any], predicted: NDArray[Any]) -> float:
    return float(np.mean(true == predicted))
