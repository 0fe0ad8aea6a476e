"""Labels that spread along nearest neighbours, from samples that have one to those that have none."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, dia_array

from headstart.heads.answers import FLOATS, Floats
from headstart.heads.estimators import Classifier, Shapes, Tensors
from headstart.heads.graphs import graph_of, index_of
from headstart.heads.knn import KNNHead
from headstart.heads.neighbours import TEMPERATURE, Neighbours
from headstart.heads.parameters import Interval, check
from headstart.heads.scikit import validate_data

MOST_TIES = 1000
"""Of each sample: more of them are no neighbours, and take minutes of 10,000 samples."""
TOLERANCE, MOST_ITERATIONS = 1e-12, 1000
"""Of the conjugate gradients: the residual of each class as a share of its labels. Along a chain of neighbours what
comes of a label shrinks at each, and far from all labels it is small numbers that decide."""


class PropagateHead(KNNHead):
    """Label spreading: close samples have the same class, along chains of neighbours that nobody labelled.

    Each training sample, labelled or not, is tied to its k nearest by cosine. A label goes over the ties, weakened by
    ``alpha`` at each, until nothing changes; new samples take the vote of their k nearest, whose classes are those that
    came to them. Without unlabelled samples it is little more than `KNNHead`.

    Parameters
    ----------
    alpha : float in (0, 1)
        What a sample takes from its neighbours; the rest is its own label.
    k : int in [1, 1000]
        Neighbours, of training samples and of new ones.
    temperature : float in (0, inf)
        The weight of a tie is exp(cosine / temperature).
    scaling : {"standard", "none"}
    neighbours : {"exact", "approximate"}
        With more than 200,000 rows ``approximate`` looks for neighbours in an index; with fewer it is exact.

    Attributes
    ----------
    n_labelled_, n_unlabelled_ : int
    n_iter_ : int
        Of the conjugate gradients.

    References
    ----------
    Zhou et al. (2004), Learning with Local and Global Consistency; solved by conjugate gradients on a sparse graph, as
    in Iscen et al. (2019), Label Propagation for Deep Semi-supervised Learning.

    Examples
    --------
    >>> head = PropagateHead(k=1, scaling="none")
    >>> head = head.fit([[0.0, 1.0], [1.0, 0.0]], ["cat", "dog"], unlabelled=[[0.3, 1.0], [0.6, 1.0]])
    >>> head.predict([[0.7, 1.0]]).tolist()
    ['cat']
    """

    kind: ClassVar[str] = "propagate"
    path_parameter: ClassVar[str | None] = None  # type: ignore[assignment]
    takes_labels: ClassVar[bool] = False
    takes_unlabelled: ClassVar[bool] = True
    fits_beside: ClassVar[bool] = False
    integers: ClassVar[tuple[str, ...]] = ("lists",)
    intervals: ClassVar = {
        "alpha": Interval(0, 1, open_low=True),
        "k": Interval(1, MOST_TIES, closed_high=True, whole=True),
        "temperature": Interval(0, open_low=True),
    }
    fitted: ClassVar = (*Classifier.fitted, "k_", "n_labelled_", "n_unlabelled_", "n_iter_", "search_")

    n_labelled_: int
    n_unlabelled_: int
    n_iter_: int

    def __init__(
        self,
        alpha: float = 0.9,
        k: int = 10,
        temperature: float = TEMPERATURE,
        scaling: str = "standard",
        neighbours: str = "exact",
    ) -> None:
        self.alpha = alpha
        self.k = k
        self.temperature = temperature
        self.scaling = scaling
        self.neighbours = neighbours

    def _shapes(self, tensors: Tensors, n_outputs: int, n_features: int) -> Shapes:
        shapes = super()._shapes(tensors, n_outputs, n_features)
        return shapes | {"answers": (*shapes["answers"][:1], n_outputs)}

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        unlabelled: ArrayLike | None = None,
    ) -> Self:
        """Fit on features (N, D) and classes (N,), and on features (M, D) without; nothing is chosen on validation.

        Raises
        ------
        ConfigError
            A parameter cannot have this value.
        DataError
            There is only one class.
        """
        check(self)
        features, codes = self._learn(X, y)
        self._validation((X_val, y_val))
        self.n_labelled_ = len(features)
        if unlabelled is not None and len(unlabelled):  # type: ignore[arg-type]
            others = validate_data(self, unlabelled, dtype=FLOATS, reset=False)
            features = np.concatenate([features, others.astype(features.dtype, copy=False)])
            self.mean_, self.scale_ = self._moments(features)
        self.n_unlabelled_ = len(features) - self.n_labelled_
        self.rows_ = self._unit(features)
        self.k_ = min(int(self.k), len(features) - 1)
        start = np.zeros((len(features), len(self.classes_)))
        start[np.arange(len(codes)), codes] = 1
        self.index_ = index_of(self.rows_, self.neighbours)
        self._measure()
        ties = _ties(graph_of(self.rows_, self.k_, self.index_), self.temperature)
        spread, self.n_iter_ = _spread(ties, start, self.alpha)
        self.answers_ = _shares(spread)
        return self

    def _fit(self, features: Floats, targets: NDArray[Any], held: tuple[Any, Any]) -> None:
        raise NotImplementedError  # `fit` does all of it


def _ties(near: Neighbours, temperature: float) -> csr_array:
    """How strongly samples are tied to their nearest, symmetric and normalised by what leaves both ends, (N, N)."""
    n, k = near.row.shape
    weights = np.exp((near.cosine - 1) / temperature).ravel()
    one_way = csr_array((weights, (np.repeat(np.arange(n), k), near.row.ravel())), shape=(n, n))
    ties = one_way.maximum(one_way.T)
    # A sample far from all others has weights that would round to nothing.
    scale = 1 / np.sqrt(np.maximum(ties.sum(axis=1), np.finfo(np.float64).tiny))
    diagonal = dia_array((scale[None], [0]), shape=(n, n))
    return csr_array(diagonal @ ties @ diagonal)


def _spread(ties: csr_array, start: NDArray[np.float64], alpha: float) -> tuple[NDArray[np.float64], int]:
    """What labels (N, C) come to, (1 - alpha) (I - alpha S)⁻¹ Y, by conjugate gradients; and after how many steps."""
    right = (1 - alpha) * start
    found = right.copy()
    residual = right - (found - alpha * (ties @ found))
    direction, squares = residual.copy(), np.square(residual).sum(axis=0)
    enough = TOLERANCE**2 * np.square(right).sum(axis=0)
    for step in range(MOST_ITERATIONS):
        if (squares <= enough).all():
            return found, step
        moved = direction - alpha * (ties @ direction)
        along = (direction * moved).sum(axis=0)
        length = np.divide(squares, along, out=np.zeros_like(squares), where=along > 0)
        found += length * direction
        residual -= length * moved
        before, squares = squares, np.square(residual).sum(axis=0)
        direction = (
            residual + np.divide(squares, before, out=np.zeros_like(squares), where=before > 0) * direction
        )
    return found, MOST_ITERATIONS


def _shares(spread: NDArray[np.float64]) -> NDArray[np.float32]:
    """The share of each class in what came to a sample; all alike where nothing did."""
    spread = spread.clip(min=0)  # of a sum of positive numbers; rounding may leave others
    total = spread.sum(axis=1, keepdims=True)
    shares = np.divide(spread, total, out=np.full_like(spread, 1 / spread.shape[1]), where=total > 0)
    found: NDArray[np.float32] = shares.astype(np.float32)
    return found
