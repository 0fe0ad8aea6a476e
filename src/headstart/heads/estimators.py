"""What the heads that are not trained by epochs share: reading features and targets, and answering."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d, validate_data

from headstart.errors import ConfigError, DataError
from headstart.heads.parameters import Interval, check
from headstart.heads.scaling import moments
from headstart.types import UNSEEN, LabelKind

FLOATS = (np.float32, np.float64)
"""What features are computed in; anything else becomes the first."""
SCALINGS = ("standard", "none")
CLASS_WEIGHTS = ("none", "balanced")


class OneClassError(DataError, ValueError):
    """All labels are the same; also the ValueError that scikit-learn promises."""


class BaseHead(BaseEstimator):  # type: ignore[misc]
    """What every head says of itself; see `headstart.contracts.Head`."""

    kind: ClassVar[str]
    """The head's name: what `open_head` takes and ``head.json`` says."""
    intervals: ClassVar[Mapping[str, Interval]] = {}
    """Which numbers its parameters may have."""
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"scaling": SCALINGS}
    """Which words its parameters may have."""
    fitted: ClassVar[tuple[str, ...]] = ()
    """Attributes besides the tensors that are kept with a saved head."""
    trains_by_epochs: ClassVar[bool] = False
    """Whether ``fit`` takes callbacks, views and a checkpoint, and features that stay on disk."""
    trains_side_by_side: ClassVar[bool] = False
    """Whether several of them can be trained in one pass."""
    computes_in_torch: ClassVar[bool] = False
    """Whether fitting imports torch in any case."""
    takes_sequences: ClassVar[bool] = False
    """Whether a sample is several vectors."""
    takes_views: ClassVar[bool] = False
    """Whether training draws features of changed copies."""
    integers: ClassVar[tuple[str, ...]] = ()
    """Tensors of whole numbers."""
    label_kind: LabelKind | None = None
    """What its labels mean, where that is more than their form says."""


class ClosedFormHead(BaseHead):
    """A head over features (N, D) that is fitted in one go.

    Attributes
    ----------
    mean_, scale_ : ndarray of float64, shape (D,)
        Of the training rows; the scale of a constant column is 1. Without scaling 0 and 1.
    n_features_in_ : int
    """

    scaling: str

    mean_: NDArray[np.float64]
    scale_: NDArray[np.float64]
    n_features_in_: int

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What was fitted, as arrays that go into a safetensors file."""
        raise NotImplementedError

    def restore(self, classes: NDArray[Any] | None, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """Become fitted with classes (n_classes,), None for a regressor, and what `tensors` gave."""
        raise NotImplementedError

    def shapes(
        self, tensors: Mapping[str, NDArray[Any]], n_classes: int, n_features: int
    ) -> dict[str, tuple[int, ...]]:
        """The shape that each tensor must have."""
        raise NotImplementedError

    def _scores(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """What answers come from, shape (N, n_outputs): logits, or numbers."""
        raise NotImplementedError

    def _begin(self, X: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.floating[Any]], NDArray[Any]]:
        """Check everything, and learn the scale; features (N, D) as they are, and the targets."""
        check(self)
        features, targets = validate_data(
            self, X, y, dtype=FLOATS, multi_output=True, y_numeric=isinstance(self, Regressor)
        )
        n_features = features.shape[1]
        scales = self.scaling == "standard"
        self.mean_, self.scale_ = moments(features) if scales else (np.zeros(n_features), np.ones(n_features))
        return features, targets

    def _validation(
        self, X_val: ArrayLike | None, y_val: ArrayLike | None
    ) -> tuple[NDArray[np.floating[Any]], NDArray[Any]] | None:
        """Checked validation features and targets; None: there are none."""
        if X_val is None and y_val is None:
            return None
        if X_val is None or y_val is None:
            raise ConfigError("X_val and y_val go together; give both or neither")
        features, targets = validate_data(self, X_val, y_val, dtype=FLOATS, multi_output=True, reset=False)
        return features, targets


class Answers:
    """What a classifier says, from its logits (N, n_classes); with several labels a sample (N, L)."""

    classes_: NDArray[Any]
    is_multi_: bool
    _scores: Callable[[Any], NDArray[np.floating[Any]]]

    def decision_function(self, X: Any) -> NDArray[np.floating[Any]]:
        """Logits, shape (N, n_classes).

        With two classes, by scikit-learn's convention, how far the second is ahead, shape (N,).
        """
        logits = self._scores(X)
        if self.is_multi_ or logits.shape[1] > 2:
            return logits
        ahead: NDArray[np.floating[Any]] = logits[:, 1] - logits[:, 0]
        return ahead

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of the largest logit, shape (N,); or which labels are likelier than not, (N, L)."""
        logits = self._scores(X)
        if self.is_multi_:
            return (logits > 0).astype(np.int64)
        labels: NDArray[Any] = self.classes_[logits.argmax(axis=1)]
        return labels

    def predict_proba(self, X: Any) -> NDArray[np.floating[Any]]:
        """Probabilities, shape (N, n_classes): rows sum to 1, or with several labels each is by itself."""
        logits = self._scores(X)
        if self.is_multi_:
            likely: NDArray[np.floating[Any]] = expit(logits)
            return likely
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits


class Classifier(Answers, ClassifierMixin, ClosedFormHead):  # type: ignore[misc]
    """A head for classes, or for several labels a sample (``y`` of shape (N, L), 0 or 1).

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        For several labels a sample, the numbers of the labels.
    is_multi_ : bool
        Whether a sample has several labels.
    """

    takes_labels: ClassVar[bool] = True
    """Whether it can give a sample several labels."""
    fitted: ClassVar[tuple[str, ...]] = ("is_multi_",)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = self.takes_labels
        return tags

    def _learn_classes(self, y: NDArray[Any]) -> NDArray[Any]:
        """Learn the classes; codes int64 (N,), or labels 0/1 as uint8 (N, L)."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if y.ndim == 2 and not self.takes_labels:
            raise DataError(f"the head {self.kind!r} gives one class a sample; y has shape {y.shape}")
        check_classification_targets(y)
        self.is_multi_ = y.ndim == 2
        if self.is_multi_:
            if not np.isin(y, (0, 1)).all():
                raise DataError(f"several labels a sample must be 0 or 1, got {type_of_target(y)} targets")
            self.classes_ = np.arange(y.shape[1])
            return y.astype(np.uint8)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            all_are = "the one sample is" if len(codes) == 1 else f"all {len(codes)} training samples are"
            raise OneClassError(f"a head needs at least two classes; {all_are} {self.classes_.tolist()[0]!r}")
        return codes.astype(np.int64)

    def _codes(self, y: NDArray[Any]) -> NDArray[Any]:
        """Other targets, coded as those of training were; ``UNSEEN`` for a class that training lacks."""
        if self.is_multi_:
            if y.ndim != 2 or y.shape[1] != len(self.classes_):
                raise DataError(f"y_val has shape {y.shape}; training had {len(self.classes_)} labels")
            return y.astype(np.uint8)
        codes = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        return np.where(self.classes_[codes] == y, codes, UNSEEN)


class Regressor(RegressorMixin, ClosedFormHead):  # type: ignore[misc]
    """A head for numbers: one a sample, ``y`` of shape (N,), or several, (N, T)."""

    fitted: ClassVar[tuple[str, ...]] = ("is_flat_", "n_outputs_")

    is_flat_: bool
    n_outputs_: int

    def predict(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Numbers, of the shape that the targets had: (N,) or (N, T)."""
        numbers = self._scores(X)
        return numbers[:, 0] if self.is_flat_ else numbers

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _learn_targets(self, y: NDArray[Any]) -> NDArray[np.float64]:
        """Learn their shape; float64 (N, T)."""
        self.is_flat_ = y.ndim == 1
        numbers = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        self.n_outputs_ = numbers.shape[1]
        return numbers


def sample_weights(codes: NDArray[Any], n_classes: int, class_weight: str) -> NDArray[np.float64] | None:
    """What samples count, shape (N,), or (N, L) for labels (N, L); None: all alike.

    Balanced, all classes together count as many samples as there are, and each as much as another.
    """
    if class_weight == "none":
        return None
    if codes.ndim == 1:
        counts = np.bincount(codes, minlength=n_classes)
        balanced: NDArray[np.float64] = (len(codes) / (n_classes * counts))[codes]
        return balanced
    ones = codes.sum(axis=0, dtype=np.int64)
    n = len(codes)
    weights: NDArray[np.float64] = np.where(
        codes > 0, n / (2 * ones.clip(min=1)), n / (2 * (n - ones).clip(min=1))
    )
    return weights
