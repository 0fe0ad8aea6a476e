"""What the affine heads share: one matrix and one intercept over standardised features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from headstart.errors import DataError
from headstart.heads.parameters import Interval, check
from headstart.heads.scaling import blocks, moments, standardise

FLOATS = (np.float32, np.float64)
"""What features are computed in; anything else becomes the first."""


class OneClassError(DataError, ValueError):
    """All labels are the same; also the ValueError that scikit-learn promises."""


class AffineClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier whose logits are ``((X - mean_) / scale_) @ coef_.T + intercept_``.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
    mean_, scale_ : ndarray of float64, shape (D,)
        Of the training rows; the scale of a constant column is 1.
    coef_ : ndarray of float, shape (n_classes, D)
        For two classes too: minus and plus half of what scikit-learn keeps as one row.
    intercept_ : ndarray of float, shape (n_classes,)
    n_features_in_ : int
    """

    kind: ClassVar[str]
    """The head's name: what `open_head` takes and ``head.json`` says."""
    intervals: ClassVar[Mapping[str, Interval]]
    """Which numbers its parameters may have."""
    fitted: ClassVar[tuple[str, ...]] = ()
    """Attributes besides the tensors that are kept with a saved head."""

    classes_: NDArray[Any]
    mean_: NDArray[np.float64]
    scale_: NDArray[np.float64]
    coef_: NDArray[np.floating[Any]]
    intercept_: NDArray[np.floating[Any]]
    n_features_in_: int

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit on features (N, D) and labels (N,)."""
        raise NotImplementedError

    def decision_function(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Logits, shape (N, n_classes).

        With two classes, by scikit-learn's convention, how far the second is ahead, shape (N,).
        """
        logits = self._logits(X)
        if logits.shape[1] > 2:
            return logits
        ahead: NDArray[np.floating[Any]] = logits[:, 1] - logits[:, 0]
        return ahead

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The label of the largest logit, shape (N,)."""
        best = self._logits(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[best]
        return labels

    def predict_proba(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Softmax of the logits, shape (N, n_classes); rows sum to 1."""
        logits = self._logits(X)
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What was fitted, as arrays that go into a safetensors file."""
        check_is_fitted(self)
        return {"mean": self.mean_, "scale": self.scale_, "coef": self.coef_, "intercept": self.intercept_}

    def restore(self, classes: NDArray[Any], tensors: Mapping[str, NDArray[Any]]) -> Self:
        """Become fitted with classes (n_classes,) and what `tensors` gave."""
        self.classes_ = classes
        self.mean_, self.scale_ = tensors["mean"], tensors["scale"]
        self.coef_, self.intercept_ = tensors["coef"], tensors["intercept"]
        self.n_features_in_ = self.coef_.shape[1]
        return self

    def _begin(self, X: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.floating[Any]], NDArray[np.int64]]:
        """Check everything, learn classes and scale; a standardised copy of X, and class codes (N,)."""
        check(self)
        features, labels = validate_data(self, X, y, dtype=FLOATS)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            all_are = "the one sample is" if len(codes) == 1 else f"all {len(codes)} training samples are"
            raise OneClassError(f"a head needs at least two classes; {all_are} {self.classes_.tolist()[0]!r}")
        self.mean_, self.scale_ = moments(features)
        return standardise(features, self.mean_, self.scale_), codes

    def _keep(self, coef: NDArray[np.floating[Any]], intercept: NDArray[np.floating[Any]]) -> None:
        """Take over what a solver found; one row for two classes becomes two."""
        coef, intercept = np.atleast_2d(coef), np.atleast_1d(intercept)
        if len(coef) == 1:
            coef = np.concatenate([-coef, coef]) / 2
            intercept = np.concatenate([-intercept, intercept]) / 2
        # A transposed view would take another path through BLAS than the array that a saved head
        # is read back as, and the two would differ in the last bit.
        self.coef_, self.intercept_ = np.ascontiguousarray(coef), np.ascontiguousarray(intercept)

    def _logits(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        check_is_fitted(self)
        features: NDArray[np.floating[Any]] = validate_data(self, X, dtype=FLOATS, reset=False)
        parts = [standardise(block, self.mean_, self.scale_) @ self.coef_.T for block in blocks(features)]
        logits: NDArray[np.floating[Any]] = np.concatenate(parts) + self.intercept_
        return logits
