"""What fitted heads answer, from scores; and heads that are affine, from their arrays alone.

Importing scikit-learn takes longer than to predict a thousand samples, so that nothing here does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import DataError
from headstart.heads.rows import blocks, standardise
from headstart.types import LabelKind

FLOATS = (np.float32, np.float64)
"""What features are computed in; anything else becomes the first."""

Floats = NDArray[np.floating[Any]]


class ClassAnswers:
    """Answers in classes, or in several labels a sample, from logits (N, n_classes).

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        For several labels a sample, the numbers of the labels.
    is_multi_ : bool
        Whether a sample has several labels.
    """

    label_kind: LabelKind | None
    classes_: NDArray[Any]
    is_multi_: bool
    _scores: Callable[[Any], Floats]

    @property
    def task(self) -> LabelKind:
        """What it predicts."""
        return self.label_kind or ("multi" if self.is_multi_ else "single")

    def decision_function(self, X: Any) -> Floats:
        """Logits, shape (N, n_classes).

        With two classes, by scikit-learn's convention, how far the second is ahead, shape (N,).
        """
        logits = self._scores(X)
        if self.is_multi_ or logits.shape[1] > 2:
            return logits
        ahead: Floats = logits[:, 1] - logits[:, 0]
        return ahead

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of the largest logit, shape (N,); or which labels are likelier than not, (N, L)."""
        logits = self._scores(X)
        if self.is_multi_:
            return (logits > 0).astype(np.int64)
        labels: NDArray[Any] = self.classes_[logits.argmax(axis=1)]
        return labels

    def predict_proba(self, X: Any) -> Floats:
        """Probabilities, shape (N, n_classes): rows sum to 1, or with several labels each is by itself."""
        logits = self._scores(X)
        if self.is_multi_:
            from scipy.special import expit

            likely: Floats = expit(logits)
            return likely
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits


class NumberAnswers:
    """Answers in numbers: one a sample, ``y`` of shape (N,), or several, (N, T)."""

    label_kind: LabelKind | None
    is_flat_: bool
    _scores: Callable[[Any], Floats]

    @property
    def task(self) -> LabelKind:
        """What it predicts."""
        return self.label_kind or "regression"

    def predict(self, X: Any) -> Floats:
        """Numbers, of the shape that the targets had: (N,) or (N, T)."""
        numbers = self._scores(X)
        return numbers[:, 0] if self.is_flat_ else numbers


@dataclass(frozen=True)
class Affine:
    """The arrays of an affine head: scores are ``((X - mean) / scale) @ coef.T + intercept``.

    ``coef`` has shape (n_outputs, D); ``is_unit`` says that rows are divided by their lengths once they are scaled.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    coef: Floats
    intercept: Floats
    is_unit: bool = False

    @staticmethod
    def shapes(n_outputs: int, n_features: int) -> dict[str, tuple[int, ...]]:
        """Of its arrays, by their names."""
        scaling = {"mean": (n_features,), "scale": (n_features,)}
        return {**scaling, "coef": (n_outputs, n_features), "intercept": (n_outputs,)}

    def scores(self, features: Floats) -> Floats:
        """Of features (N, D) in single or double precision: shape (N, n_outputs)."""
        parts = [self.standardised(block) @ self.coef.T for block in blocks(features)]
        scores: Floats = np.concatenate(parts) + self.intercept
        return scores

    def standardised(self, block: Floats) -> Floats:
        """Features as the matrix takes them."""
        Z = standardise(block, self.mean, self.scale)
        return unit(Z) if self.is_unit else Z


@dataclass
class KeptAffine:
    """A kept affine head that answers as the estimator does, bit for bit."""

    affine: Affine
    label_kind: LabelKind | None
    takes_sequences: ClassVar[bool] = False
    takes_passages: ClassVar[bool] = False

    def _scores(self, X: ArrayLike) -> Floats:
        features = np.asarray(X)
        n_features = len(self.affine.mean)
        if features.ndim != 2 or features.shape[1] != n_features:
            raise DataError(f"features have shape {features.shape}; the head was fitted on (N, {n_features})")
        return self.affine.scores(features if features.dtype in FLOATS else features.astype(FLOATS[0]))


@dataclass
class KeptClassifier(ClassAnswers, KeptAffine):
    """Of classes, or several labels a sample."""

    classes_: NDArray[Any]
    is_multi_: bool


@dataclass
class KeptRegressor(NumberAnswers, KeptAffine):
    """Of numbers."""

    is_flat_: bool


def unit(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows (N, D) of length 1; those of length 0 as they are."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    divided: NDArray[Any] = rows / np.where(lengths > 0, lengths, 1)
    return divided
