"""Ridge regression, for numbers and for classes, with its penalty chosen by exact leave-one-out error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from headstart.devices import pick_gpu
from headstart.heads.answers import Floats
from headstart.heads.estimators import AffineHead, Classifier, Regressor
from headstart.heads.parameters import Interval, numbers_of
from headstart.heads.ridge_path import Design, RidgePath, ridge_each, ridge_path, ridge_paths


class _Ridge(AffineHead):
    kind: ClassVar[str] = "ridge"
    path_parameter: ClassVar[str] = "alpha"
    intervals: ClassVar = {"alpha": Interval(0, open_low=True, auto=True)}

    alpha_: float
    loo_error_: float
    path_: list[dict[str, float]]

    def __init__(
        self,
        alpha: float | str = "auto",
        alphas: Sequence[float] | None = None,
        scaling: str = "standard",
        device: str = "cpu",
    ) -> None:
        self.alpha = alpha
        self.alphas = alphas
        self.scaling = scaling
        self.device = device

    def _as_numbers(self, targets: NDArray[Any]) -> NDArray[Any]:
        """Targets (N, T) of a regression."""
        return targets

    def _fit(self, features: Floats, targets: NDArray[Any], held: tuple[Any, Any]) -> None:
        path = ridge_path(self._design(features), self._as_numbers(targets), self._tried())
        self._take(path, features)

    def _tried(self) -> NDArray[np.float64] | None:
        """The penalties that are tried; None if they follow from the features."""
        return numbers_of("alphas", self.alphas if self.alpha == "auto" else [float(self.alpha)])

    def _fit_beside(
        self, heads: Sequence[Any], features: Floats, targets: Sequence[NDArray[Any]], held: Sequence[Any]
    ) -> None:
        problems = [head._as_numbers(own) for head, own in zip(heads, targets, strict=True)]
        paths = ridge_paths(self._design(features), problems, self._tried())
        for head, path in zip(heads, paths, strict=True):
            head._take(path, features)

    def _fit_along(
        self, heads: Sequence[Self], features: Floats, targets: NDArray[Any], guides: Sequence[Any]
    ) -> Sequence[Any]:
        alphas = np.array([float(head.alpha) for head in heads])
        one = heads[0]
        paths = ridge_each(one._design(features), one._as_numbers(targets), alphas)
        for head, path in zip(heads, paths, strict=True):
            head._take(path, features)
        return [None] * len(heads)

    def _design(self, features: Floats) -> Design:
        return Design(features, self._centre(features), self.scale_, pick_gpu(self.device))

    def _take(self, path: RidgePath, features: Floats) -> None:
        self.alpha_, self.loo_error_ = path.alpha, float(path.errors[path.best])
        pairs = zip(path.alphas.tolist(), path.errors.tolist(), strict=True)
        self.path_ = [{"alpha": alpha, "loo_error": error} for alpha, error in pairs]
        shift = path.coef @ self._centre(features) if self.scaling == "none" else 0
        self._keep(path.coef, path.offset - shift, features.dtype)


class RidgeHead(Classifier, _Ridge):
    """Least squares with an L2 penalty onto +1 for a sample's class and -1 for the others.

    Closed form, so by far the fastest to fit. It has **no calibrated probabilities**:
    ``predict_proba`` is the softmax of the decision values, which rank classes rightly but are
    much too unsure of themselves. Where probabilities matter, use ``logistic``.

    Parameters
    ----------
    alpha : float in (0, inf) or "auto"
        Strength of the penalty, on standardised features. ``auto`` takes the one with the least exact
        leave-one-out error, as scikit-learn's RidgeClassifierCV does.
    alphas : sequence of float, optional
        What ``auto`` chooses from; on a command line ``1,10,100``. Without it, 15 values from 1e-5 to 100
        times the mean eigenvalue of the features' Gram matrix.
    scaling : {"standard", "none"}
    device : str
        ``cpu``, or ``cuda`` …, in double precision too: it pays for hundreds of thousands of samples. ``auto`` is a GPU
        where there is one.

    Attributes
    ----------
    alpha_, loo_error_ : float
        The penalty, and its mean squared leave-one-out error.
    path_ : list of dict
        ``alpha`` and ``loo_error`` of all that were tried.

    Examples
    --------
    >>> head = RidgeHead().fit([[0.0], [1.0], [2.0], [3.0]], ["cat", "cat", "dog", "dog"])
    >>> head.predict([[0.5], [9.0]]).tolist()
    ['cat', 'dog']
    """

    fitted: ClassVar = (*Classifier.fitted, "alpha_", "loo_error_", "path_")

    def _as_numbers(self, targets: NDArray[Any]) -> NDArray[Any]:
        if self.is_multi_:
            hot = targets > 0
        elif len(self.classes_) == 2:
            hot = targets[:, None] == 1  # the other column would be its mirror image
        else:
            hot = targets[:, None] == np.arange(len(self.classes_))
        return np.where(hot, np.int8(1), np.int8(-1))


class RidgeRegressor(Regressor, _Ridge):
    """Least squares with an L2 penalty; for the parameters see `RidgeHead`.

    Examples
    --------
    >>> head = RidgeRegressor(alpha=1e-9).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    >>> head.predict([[3.0]]).round(3).tolist()
    [7.0]
    """

    fitted: ClassVar = (*Regressor.fitted, "alpha_", "loo_error_", "path_")
