"""What the affine heads share: one matrix and one intercept over standardised features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from headstart.heads.estimators import FLOATS as FLOATS
from headstart.heads.estimators import Classifier, ClosedFormHead, Regressor
from headstart.heads.estimators import OneClassError as OneClassError
from headstart.heads.scaling import blocks, standardise


class AffineHead(ClosedFormHead):
    """A head whose scores are ``((X - mean_) / scale_) @ coef_.T + intercept_``.

    Attributes
    ----------
    coef_ : ndarray of float, shape (n_outputs, D)
        For two classes too: minus and plus half of what scikit-learn keeps as one row.
    intercept_ : ndarray of float, shape (n_outputs,)
    """

    coef_: NDArray[np.floating[Any]]
    intercept_: NDArray[np.floating[Any]]

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What was fitted, as arrays that go into a safetensors file."""
        check_is_fitted(self)
        return {"mean": self.mean_, "scale": self.scale_, "coef": self.coef_, "intercept": self.intercept_}

    def shapes(
        self, tensors: Mapping[str, NDArray[Any]], n_classes: int, n_features: int
    ) -> dict[str, tuple[int, ...]]:
        """The shape that each tensor must have."""
        n_outputs = n_classes or self.n_outputs_
        return {
            "mean": (n_features,),
            "scale": (n_features,),
            "coef": (n_outputs, n_features),
            "intercept": (n_outputs,),
        }

    def restore(self, classes: NDArray[Any] | None, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """Become fitted with classes (n_classes,), None for a regressor, and what `tensors` gave."""
        if classes is not None:
            self.classes_ = classes
        self.mean_, self.scale_ = tensors["mean"], tensors["scale"]
        self.coef_, self.intercept_ = tensors["coef"], tensors["intercept"]
        self.n_features_in_ = self.coef_.shape[1]
        return self

    def _keep(
        self, coef: NDArray[np.floating[Any]], intercept: NDArray[np.floating[Any]], dtype: Any
    ) -> None:
        """Take over what a solver found."""
        # A transposed view would take another path through BLAS than the array that a saved head
        # is read back as, and the two would differ in the last bit.
        self.coef_ = np.ascontiguousarray(coef, dtype=dtype)
        self.intercept_ = np.ascontiguousarray(intercept, dtype=dtype)

    def _scores(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        check_is_fitted(self)
        features: NDArray[np.floating[Any]] = validate_data(self, X, dtype=FLOATS, reset=False)
        parts = [standardise(block, self.mean_, self.scale_) @ self.coef_.T for block in blocks(features)]
        scores: NDArray[np.floating[Any]] = np.concatenate(parts) + self.intercept_
        return scores


class AffineClassifier(AffineHead, Classifier):
    """A classifier whose logits are affine in the features."""

    def _keep(
        self, coef: NDArray[np.floating[Any]], intercept: NDArray[np.floating[Any]], dtype: Any
    ) -> None:
        """Take over what a solver found; one row for two classes becomes two."""
        if len(coef) == 1 and not self.is_multi_:
            coef = np.concatenate([-coef, coef]) / 2
            intercept = np.concatenate([-intercept, intercept]) / 2
        super()._keep(coef, intercept, dtype)


class AffineRegressor(AffineHead, Regressor):
    """A regressor whose numbers are affine in the features."""
