"""Torch heads for classes and for numbers: their targets and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from headstart.errors import DataError
from headstart.heads.estimators import Answers, OneClassError
from headstart.heads.torch_heads import TorchHead
from headstart.types import UNSEEN

if TYPE_CHECKING:
    from headstart.types import LabelKind


class TorchClassifier(Answers, ClassifierMixin, TorchHead):  # type: ignore[misc]
    """A torch head for classes, or for several labels a sample (``y`` of shape (N, L), 0 or 1).

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        For several labels a sample, the numbers of the labels.
    """

    fitted: ClassVar[tuple[str, ...]] = (*TorchHead.fitted, "is_multi_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @property
    def _task(self) -> LabelKind:
        return self.label_kind or ("multi" if self.is_multi_ else "single")

    def _learn_targets(self, y: NDArray[Any], X: Any) -> NDArray[Any]:
        check_classification_targets(y)
        self.is_multi_ = type_of_target(y) == "multilabel-indicator"
        if self.is_multi_:
            self.classes_ = np.arange(y.shape[1])
        else:
            self.classes_ = np.unique(y)
            if len(self.classes_) < 2:
                all_are = "the one sample is" if len(y) == 1 else f"all {len(y)} training samples are"
                raise OneClassError(
                    f"a head needs at least two classes; {all_are} {self.classes_.tolist()[0]!r}"
                )
        self.n_outputs_ = len(self.classes_)
        return self._as_targets(y)

    def _as_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        if self.is_multi_:
            return np.asarray(y, dtype=np.float32)
        codes = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        return np.where(self.classes_[codes] == y, codes, UNSEEN).astype(np.int64)


class TorchRegressor(RegressorMixin, TorchHead):  # type: ignore[misc]
    """A torch head for numbers, by squared error; targets are standardised while it trains."""

    fitted: ClassVar[tuple[str, ...]] = (*TorchHead.fitted, "is_flat_")

    def predict(self, X: Any) -> NDArray[np.floating[Any]]:
        """Numbers, of the shape that the targets had: (N,) or (N, T)."""
        numbers: NDArray[np.floating[Any]] = self._scores(X) * self.target_scale_ + self.target_mean_
        return numbers[:, 0] if self.is_flat_ else numbers

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What was fitted, as arrays that go into a safetensors file."""
        tensors = super().tensors()
        return {**tensors, "target_mean": self.target_mean_, "target_scale": self.target_scale_}

    def restore(self, classes: NDArray[Any] | None, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """Become fitted with what `tensors` gave."""
        rest = dict(tensors)
        self.target_mean_, self.target_scale_ = rest.pop("target_mean"), rest.pop("target_scale")
        return super().restore(None, rest)

    @property
    def _task(self) -> LabelKind:
        return self.label_kind or "regression"

    def _target_shapes(self, n_outputs: int) -> dict[str, tuple[int, ...]]:
        return {"target_mean": (n_outputs,), "target_scale": (n_outputs,)}

    def _learn_targets(self, y: NDArray[Any], X: Any) -> NDArray[Any]:
        self.is_flat_ = y.ndim == 1
        numbers = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        if not np.isfinite(numbers).all():
            raise DataError("targets must be finite numbers; leave out samples without one")
        self.target_mean_, deviation = numbers.mean(axis=0), numbers.std(axis=0)
        self.target_scale_ = np.where(deviation > 0, deviation, 1.0)
        self.n_outputs_ = numbers.shape[1]
        return self._as_targets(numbers)

    def _as_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        numbers = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        scaled: NDArray[np.float32] = ((numbers - self.target_mean_) / self.target_scale_).astype(np.float32)
        return scaled
