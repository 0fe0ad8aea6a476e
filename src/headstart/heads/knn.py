"""Nearest neighbours by cosine, for classes, labels and numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.heads.answers import FLOATS, Floats
from headstart.heads.approximate import Index, Lists, recall_of
from headstart.heads.estimators import SCALINGS, Classifier, ClosedFormHead, Regressor, Shapes, Tensors
from headstart.heads.graphs import index_of
from headstart.heads.neighbours import QUERIES, Neighbours, nearest, squared_errors, unit_rows, votes
from headstart.heads.parameters import Interval, ParameterError, numbers_of
from headstart.heads.rows import in_blocks, standardise
from headstart.heads.scikit import check_is_fitted, validate_data

KS = (1, 2, 3, 5, 10, 20, 50, 100, 200)
"""What ``auto`` tries."""
SEARCHES = ("exact", "approximate")
LEAVE_OUT = 20_000
"""At most so many training rows are left out in turn to choose ``k``: more would say the same, and longer."""


class _KNN(ClosedFormHead):
    kind: ClassVar[str] = "knn"
    path_parameter: ClassVar[str] = "k"
    kept: ClassVar[tuple[str, ...]] = ("rows", "answers")
    intervals: ClassVar = {"k": Interval(1, auto=True, whole=True), "temperature": Interval(0, open_low=True)}
    choices: ClassVar = {"scaling": SCALINGS, "neighbours": SEARCHES}

    _n_outputs: Callable[[], int]
    k_: int
    path_: list[dict[str, float]]
    rows_: NDArray[np.float32]
    answers_: NDArray[Any]
    search_: dict[str, Any] | None
    index_: Index | None = None

    def __init__(
        self,
        k: int | str = "auto",
        ks: Sequence[int] | None = None,
        temperature: float = 0.07,
        scaling: str = "standard",
        neighbours: str = "exact",
    ) -> None:
        self.k = k
        self.ks = ks
        self.temperature = temperature
        self.scaling = scaling
        self.neighbours = neighbours

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What was fitted, as arrays; of an index the lists alone, from which it is made again."""
        lists = self.index_ and self.index_.lists
        return super().tensors() | ({"centres": lists.centres, "lists": lists.of_row} if lists else {})

    def restore(self, classes: NDArray[Any] | None, tensors: Tensors) -> Self:
        """Become fitted with classes (n_classes,), None for a regressor, and what `tensors` gave."""
        super().restore(classes, tensors)
        if "centres" in tensors:
            lists = Lists(tensors["centres"], tensors["lists"])
            self.index_ = Index(self.rows_, lists, is_unit=True)
        return self

    def _shapes(self, tensors: Tensors, n_outputs: int, n_features: int) -> Shapes:
        n = len(tensors["rows"]) if "rows" in tensors else 0
        has_codes = isinstance(self, Classifier) and not self.is_multi_
        shapes: Shapes = {"rows": (n, n_features), "answers": (n,) if has_codes else (n, n_outputs)}
        if "centres" in tensors:
            shapes |= {"centres": (len(tensors["centres"]), n_features), "lists": (n,)}
        return shapes

    def _fit(self, features: Floats, targets: NDArray[Any], held: tuple[Any, Any]) -> None:
        judge = self._validation(held)
        self.rows_ = self._unit(features)
        self.answers_ = targets.astype(np.int32) if targets.dtype == np.int64 else targets
        self.path_ = []
        self.index_ = index_of(self.rows_, self.neighbours)
        self.k_ = self._choose(judge) if self.k == "auto" else int(self.k)
        self._measure()

    def _fit_along(
        self, heads: Sequence[Self], features: Floats, targets: NDArray[Any], guides: Sequence[Any]
    ) -> Sequence[Any]:
        heads[0]._fit(features, targets, (None, None))
        for head in heads:
            head.rows_, head.answers_ = heads[0].rows_, heads[0].answers_
            head.index_ = heads[0].index_
            head.k_, head.path_ = int(head.k), []
            head._measure()
        return [None] * len(heads)

    def _scores_along(self, heads: Sequence[Self], X: ArrayLike) -> Iterator[Floats]:
        one = heads[0]
        queries = one._unit(validate_data(one, X, dtype=FLOATS, reset=False))
        ks = [min(head.k_, len(one.rows_)) for head in heads]
        near = nearest(queries, one.rows_, ks[-1], is_unit=True, index=one.index_)
        said = votes(near, one.answers_, one._n_outputs(), ks, float(one.temperature))
        return (one._as_scores(shares) for shares in said)

    def _measure(self) -> None:
        """The recall of an approximate search for the neighbours of training rows."""
        self.search_ = None
        if self.index_ is not None:
            found = recall_of(self._near, lambda rows: self._near(rows, is_exact=True), len(self.rows_))
            self.search_ = found.to_json()

    def _near(self, own: NDArray[np.int64], is_exact: bool = False) -> Neighbours:
        index = None if is_exact else self.index_
        return nearest(
            self.rows_[own], self.rows_, self.k_, own=own, is_unit=True, is_comparable=True, index=index
        )

    def _choose(self, judge: tuple[Floats, NDArray[Any]] | None) -> int:
        """The k with the least squared error of what the neighbours say."""
        n, own = len(self.rows_), None
        if judge is not None:
            queries, wanted, most = self._unit(judge[0]), judge[1], n
        else:
            own = np.unique(np.linspace(0, n - 1, min(n, LEAVE_OUT)).astype(np.int64))
            queries, wanted, most = self.rows_[own], self.answers_[own], n - 1
        ks = [k for k in self._ks() if k <= most]
        if not ks:
            return 1
        errors = np.zeros(len(ks))
        for part, said in self._votes(queries, ks, own):
            errors += [squared_errors(each, wanted[part]) for each in said]
        errors /= len(queries)
        self.path_ = [{"k": k, "error": error} for k, error in zip(ks, errors.tolist(), strict=True)]
        return ks[int(errors.argmin())]

    def _ks(self) -> list[int]:
        given = numbers_of("ks", self.ks)
        if given is None:
            return list(KS)
        if (given % 1).any():
            raise ParameterError(f"ks must be whole numbers, got {self.ks!r}")
        return [int(k) for k in np.unique(given)]

    def _unit(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        return unit_rows(standardise(features, self.mean_, self.scale_)).astype(np.float32)

    def _votes(
        self, queries: NDArray[np.float32], ks: Sequence[int], own: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[slice, Iterator[NDArray[np.float64]]]]:
        """Blocks of queries, with what the neighbours say for each k, ascending; `own` as `nearest` has it."""
        n_outputs: int = self._n_outputs()
        for part, block in in_blocks(queries, QUERIES):
            here = None if own is None else own[part]
            near = nearest(block, self.rows_, ks[-1], own=here, is_unit=True, index=self.index_)
            yield part, votes(near, self.answers_, n_outputs, ks, float(self.temperature))

    def _scores(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Of the weighted means of the neighbours' answers, shape (N, n_outputs)."""
        check_is_fitted(self)
        features = validate_data(self, X, dtype=FLOATS, reset=False)
        k = min(self.k_, len(self.rows_))
        shares = np.concatenate([said for _, [said] in self._votes(self._unit(features), [k])])
        return self._as_scores(shares)

    def _as_scores(self, shares: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
        """What the votes for each output come to as scores."""
        return shares


class KNNHead(Classifier, _KNN):
    """A vote of the nearest training samples by cosine, each weighted by exp(similarity / temperature).

    Nothing is trained, so that it says what the features alone are worth.

    Parameters
    ----------
    k : int in [1, inf) or "auto"
        Neighbours. ``auto`` takes the one with the least squared error of the votes' shares (Brier score) on
        validation data, or without it when each training sample in turn is left out.
    ks : sequence of int, optional
        What ``auto`` chooses from; on a command line ``1,5,20``. Without it 1 to 200.
    temperature : float in (0, inf)
        The smaller, the more the nearest count.
    scaling : {"standard", "none"}
    neighbours : {"exact", "approximate"}
        With more than 200,000 training rows ``approximate`` looks for neighbours in an index (`Index`); with fewer it
        is exact.

    Attributes
    ----------
    k_ : int
    search_ : dict, optional
        The recall of an approximate search, as `Recall.to_json` says it; None if it is exact.
    path_ : list of dict
        ``k`` and ``error`` of all that were tried.

    References
    ----------
    Wu et al. (2018), Unsupervised Feature Learning via Non-Parametric Instance Discrimination; Caron et al.
    (2021), Emerging Properties in Self-Supervised Vision Transformers, with the same temperature.

    Examples
    --------
    >>> head = KNNHead(k=1).fit([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0]], ["cat", "cat", "dog"])
    >>> head.predict([[0.2, 2.0]]).tolist()
    ['cat']
    """

    integers: ClassVar[tuple[str, ...]] = ("answers", "lists")
    fitted: ClassVar = (*Classifier.fitted, "k_", "path_", "search_")

    def _as_scores(self, shares: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
        """Log-odds of labels, or logarithms of the shares of classes: their softmax is the shares."""
        shares = shares.clip(1e-12, 1)
        scores = np.log(shares)
        if self.is_multi_:
            scores -= np.log((1 - shares).clip(min=1e-12))
        logs: NDArray[np.floating[Any]] = scores.astype(np.float32)
        return logs


class KNNRegressor(Regressor, _KNN):
    """The weighted mean of the nearest training samples' numbers; for the parameters see `KNNHead`."""

    integers: ClassVar[tuple[str, ...]] = ("lists",)
    fitted: ClassVar = (*Regressor.fitted, "k_", "path_", "search_")
