"""What all heads share: what they say of themselves, reading features and targets, and answering.

A head is one of a way to be fitted (`ClosedFormHead`, `headstart.heads.torch_heads.TorchHead`) and one of a kind of
answer (`Classifier`, `Regressor`).
"""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import ConfigError, DataError
from headstart.heads.answers import FLOATS, Affine, ClassAnswers, Floats, NumberAnswers
from headstart.heads.parameters import Interval, check
from headstart.heads.rows import moments
from headstart.heads.scikit import (
    BaseEstimator,
    ClassifierMixin,
    RegressorMixin,
    check_classification_targets,
    check_is_fitted,
    column_or_1d,
    type_of_target,
    validate_data,
)
from headstart.types import UNSEEN, LabelKind, PathStep

if TYPE_CHECKING:
    from headstart.class_vectors import ClassVectors

SCALINGS = ("standard", "none")
CLASS_WEIGHTS = ("none", "balanced")
HELD_OUT = 5
"""One in so many samples is held out where there is no validation data."""

Tensors = Mapping[str, NDArray[Any]]
Shapes = dict[str, tuple[int, ...]]
_filtering = threading.Lock()


class OneClassError(DataError, ValueError):
    """All labels are the same; also the ValueError that scikit-learn promises."""


class BaseHead(BaseEstimator):  # type: ignore[misc]
    """What every head says of itself; see `headstart.contracts.Head`."""

    kind: ClassVar[str]
    intervals: ClassVar[Mapping[str, Interval]] = {}
    """Which numbers its parameters may have."""
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"scaling": SCALINGS}
    """Which words its parameters may have."""
    fitted: ClassVar[tuple[str, ...]] = ()
    trains_by_epochs: ClassVar[bool] = False
    trains_side_by_side: ClassVar[bool] = False
    is_thread_safe: ClassVar[bool] = False
    computes_in_torch: ClassVar[bool] = False
    takes_sequences: ClassVar[bool] = False
    takes_passages: ClassVar[bool] = False
    takes_views: ClassVar[bool] = False
    takes_unlabelled: ClassVar[bool] = False
    path_parameter: ClassVar[str | None] = None
    fits_beside: ClassVar[bool] = False
    learns_from_labels: ClassVar[bool] = True
    starts_from_names: ClassVar[bool] = False
    class_vectors: ClassVectors | None = None
    """What the names of classes are, where it starts from them."""
    integers: ClassVar[tuple[str, ...]] = ()
    """Tensors of whole numbers."""
    label_kind: LabelKind | None = None
    """What its labels mean, where that is more than their form says."""

    mean_: NDArray[np.float64]
    scale_: NDArray[np.float64]
    n_features_in_: int
    n_outputs_: int

    @property
    def task(self) -> LabelKind:
        """What it predicts."""
        raise NotImplementedError

    @property
    def has_crf(self) -> bool:
        """Whether the tags of a sentence depend on each other."""
        return False

    def files(self) -> dict[str, bytes]:
        """What is kept beside the tensors, by the names of files; nothing of most heads."""
        return {}

    def read_files(self, folder: Path, digests: Mapping[str, str]) -> None:
        """Read what `files` gave, whose digests are these; see `headstart.heads.predictor.save_head`."""

    def shapes(self, tensors: Tensors, n_classes: int, n_features: int) -> Shapes:
        """The shape that each of its tensors must have; a regressor has no classes."""
        own = self._shapes(tensors, n_classes or self.n_outputs_, n_features)
        return {"mean": (n_features,), "scale": (n_features,), **own}

    def _shapes(self, tensors: Tensors, n_outputs: int, n_features: int) -> Shapes:
        """Of those besides the mean and the scale."""
        raise NotImplementedError


class Classifier(ClassAnswers, ClassifierMixin):  # type: ignore[misc]
    """Answers in classes, or in several labels a sample (``y`` of shape (N, L), 0 or 1); see `ClassAnswers`."""

    takes_labels: ClassVar[bool] = True
    """Whether it can give a sample several labels."""
    fitted: ClassVar[tuple[str, ...]] = ("is_multi_",)

    kind: ClassVar[str]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = self.takes_labels
        return tags

    def _n_outputs(self) -> int:
        return len(self.classes_)

    def _learn_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        """Learn the classes; codes int64 (N,), or labels 0/1 as uint8 (N, L)."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if y.ndim == 2 and not self.takes_labels:
            raise DataError(f"the head {self.kind!r} gives one class a sample; y has shape {y.shape}")
        # scikit-learn's hint, in its own words and places, that classes are rare; its filter is everybody's.
        with _filtering, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The number of unique classes")
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

    def _as_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        """Other targets, coded as those of training were; ``UNSEEN`` for a class that training lacks."""
        if self.is_multi_:
            if y.ndim != 2 or y.shape[1] != len(self.classes_):
                raise DataError(f"y_val has shape {y.shape}; training had {len(self.classes_)} labels")
            return y.astype(np.uint8)
        codes = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        return np.where(self.classes_[codes] == y, codes, UNSEEN).astype(np.int64)


class Regressor(NumberAnswers, RegressorMixin):  # type: ignore[misc]
    """Answers in numbers; see `NumberAnswers`."""

    fitted: ClassVar[tuple[str, ...]] = ("is_flat_", "n_outputs_")

    n_outputs_: int

    def _n_outputs(self) -> int:
        return self.n_outputs_

    def _learn_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        """Learn their shape; float64 (N, T)."""
        self.is_flat_ = y.ndim == 1
        numbers = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        self.n_outputs_ = numbers.shape[1]
        return numbers

    def _as_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(y, dtype=np.float64).reshape(len(y), -1)


class ClosedFormHead(BaseHead):
    """A head over features (N, D) that is fitted in one go.

    Attributes
    ----------
    mean_, scale_ : ndarray of float64, shape (D,)
        Of the training rows; the scale of a constant column is 1. Without scaling 0 and 1.
    n_features_in_ : int
    """

    fits_beside: ClassVar[bool] = True
    kept: ClassVar[tuple[str, ...]]
    """The names of the fitted arrays; the attributes of these names have an underscore behind them."""

    scaling: str
    _learn_targets: Callable[[NDArray[Any]], NDArray[Any]]
    _as_targets: Callable[[NDArray[Any]], NDArray[Any]]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if isinstance(self, Regressor):
            tags.target_tags.multi_output = True
        return tags

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What was fitted, as arrays that go into a safetensors file."""
        check_is_fitted(self)
        return {name: getattr(self, f"{name}_") for name in ("mean", "scale", *self.kept)}

    def restore(self, classes: NDArray[Any] | None, tensors: Tensors) -> Self:
        """Become fitted with classes (n_classes,), None for a regressor, and what `tensors` gave."""
        if classes is not None:
            self.classes_ = classes
        for name in ("mean", "scale", *self.kept):
            setattr(self, f"{name}_", tensors[name])
        self.n_features_in_ = len(self.mean_)
        return self

    def fit(
        self, X: ArrayLike, y: ArrayLike, X_val: ArrayLike | None = None, y_val: ArrayLike | None = None
    ) -> Self:
        """Fit on features (N, D) and classes (N,), labels 0/1 (N, L), or of a regressor numbers (N,) or (N, T).

        Validation data is used where a parameter is chosen by it.

        Raises
        ------
        ConfigError
            A parameter cannot have this value.
        DataError
            There is only one class.
        """
        check(self)
        features, targets = self._learn(X, y)
        self._fit(features, targets, (X_val, y_val))
        return self

    def fit_path(
        self, values: Sequence[Any], X: ArrayLike, y: ArrayLike, guides: Sequence[Any] = ()
    ) -> list[PathStep]:
        """See `headstart.contracts.PathHead`."""
        assert self.path_parameter is not None
        heads = [copy.copy(self).set_params(**{self.path_parameter: value}) for value in values]
        for head in heads:
            check(head)
        features, targets = heads[0]._learn(X, y)
        learnt = {name: value for name, value in vars(heads[0]).items() if name.endswith("_")}
        for head in heads[1:]:
            vars(head).update(learnt)
        found = self._fit_along(heads, features, targets, guides or [None] * len(heads))
        return [PathStep(head, guide) for head, guide in zip(heads, found, strict=True)]

    def fit_beside(
        self, heads: Sequence[ClosedFormHead], X: ArrayLike, labels: Sequence[tuple[Any, Any, Any]]
    ) -> None:
        """See `headstart.contracts.BesideHead`."""
        check(self)
        features, first = self._learn(X, labels[0][0])
        known = (self.mean_, self.scale_)
        others = [head._learn(X, y, known)[1] for head, (y, *_) in zip(heads[1:], labels[1:], strict=True)]
        self._fit_beside(heads, features, [first, *others], [(X_val, y_val) for _, X_val, y_val in labels])

    def _fit_beside(
        self,
        heads: Sequence[ClosedFormHead],
        features: Floats,
        targets: Sequence[NDArray[Any]],
        held: Sequence[tuple[Any, Any]],
    ) -> None:
        """Fit heads of several labels, of which this is the first, on the same features."""
        for head, own, held_out_rows in zip(heads, targets, held, strict=True):
            head._fit(features, own, held_out_rows)

    def answer_path(self, heads: Sequence[Self], X: ArrayLike) -> Iterator[Self]:
        """See `headstart.contracts.PathHead`."""
        for head, scores in zip(heads, self._scores_along(heads, X), strict=True):
            answering = copy.copy(head)
            answering._scores = lambda _, scores=scores: scores
            yield answering

    def _learn(
        self, X: ArrayLike, y: ArrayLike, known: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    ) -> tuple[Floats, NDArray[Any]]:
        """Check features and targets, and learn what does not depend on the parameters: classes, mean, scale.

        The latter two may be ``known``.
        """
        features, targets = validate_data(
            self, X, y, dtype=FLOATS, multi_output=True, y_numeric=isinstance(self, Regressor)
        )
        self.mean_, self.scale_ = known or self._moments(features)
        return features, self._learn_targets(targets)

    def _moments(self, features: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and scale of the training rows, (D,) each."""
        n_features = features.shape[1]
        return (
            moments(features) if self.scaling == "standard" else (np.zeros(n_features), np.ones(n_features))
        )

    def _fit(self, features: Floats, targets: NDArray[Any], held: tuple[Any, Any]) -> None:
        """Fit on checked features, as they are, and targets; ``held`` is for `_validation`."""
        raise NotImplementedError

    def _fit_along(
        self, heads: Sequence[Self], features: Floats, targets: NDArray[Any], guides: Sequence[Any]
    ) -> Sequence[Any]:
        """Fit heads that are equal but for `path_parameter`, which ascends, and give a guide for each."""
        raise NotImplementedError

    def _scores_along(self, heads: Sequence[Self], X: ArrayLike) -> Iterator[Floats]:
        """What `_scores` of each of these heads gives, the work that they share done once."""
        raise NotImplementedError

    def _centre(self, features: Floats) -> NDArray[np.float64]:
        """The mean of the training rows, scaling or not."""
        return self.mean_ if self.scaling == "standard" else features.mean(axis=0, dtype=np.float64)

    def _validation(self, held: tuple[Any, Any]) -> tuple[Floats, NDArray[Any]] | None:
        """Checked validation features, and targets as those of training are; None if there are none."""
        if all(part is None for part in held):
            return None
        if any(part is None for part in held):
            raise ConfigError("X_val and y_val go together; give both or neither")
        features, targets = validate_data(self, *held, dtype=FLOATS, multi_output=True, reset=False)
        return features, self._as_targets(targets)


class AffineHead(ClosedFormHead):
    """A head whose scores are ``((X - mean_) / scale_) @ coef_.T + intercept_``.

    Attributes
    ----------
    coef_ : ndarray of float, shape (n_outputs, D)
        For two classes too: minus and plus half of what scikit-learn keeps as one row.
    intercept_ : ndarray of float, shape (n_outputs,)
    """

    is_thread_safe: ClassVar[bool] = True
    kept: ClassVar[tuple[str, ...]] = ("coef", "intercept")

    coef_: Floats
    intercept_: Floats

    def _shapes(self, tensors: Tensors, n_outputs: int, n_features: int) -> Shapes:
        return Affine.shapes(n_outputs, n_features)

    def _keep(self, coef: Floats, intercept: Floats, dtype: Any) -> None:
        """Take over what a solver found; one row for two classes becomes two."""
        if len(coef) == 1 and isinstance(self, Classifier) and not self.is_multi_:
            coef = np.concatenate([-coef, coef]) / 2
            intercept = np.concatenate([-intercept, intercept]) / 2
        # A transposed view would take another path through BLAS than the array that a saved head
        # is read back as, and the two would differ in the last bit.
        self.coef_ = np.ascontiguousarray(coef, dtype=dtype)
        self.intercept_ = np.ascontiguousarray(intercept, dtype=dtype)

    @property
    def affine(self) -> Affine:
        """What it computes once it is fitted."""
        return Affine(self.mean_, self.scale_, self.coef_, self.intercept_)

    def _scores(self, X: ArrayLike) -> Floats:
        check_is_fitted(self)
        return self.affine.scores(validate_data(self, X, dtype=FLOATS, reset=False))

    def _scores_along(self, heads: Sequence[Self], X: ArrayLike) -> Iterator[Floats]:
        features = validate_data(heads[0], X, dtype=FLOATS, reset=False)
        Z = heads[0].affine.standardised(features)
        return (Z @ head.coef_.T + head.intercept_ for head in heads)


def held_out(codes: NDArray[Any], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows to choose by: a fifth of each class, and none of a class with one sample.

    Parameters
    ----------
    codes : ndarray
        Of classes (N,); labels 0/1 or numbers (N, L) are not stratified.
    seed : int

    Returns
    -------
    train, held : ndarray of int64
        Sorted. Where all classes have one sample, both are all rows.
    """
    n = len(codes)
    order = np.random.default_rng(seed).permutation(n)
    classes = codes if codes.ndim == 1 else np.zeros(n, dtype=np.int64)
    # Samples in their drawn order, class by class: each is held out if its place among its own says so.
    grouped = order[np.argsort(classes[order], kind="stable")]
    counts = np.bincount(classes)
    counts = counts[counts > 0]
    place = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
    quota = np.repeat(np.where(counts < 2, 0, np.maximum(np.round(counts / HELD_OUT), 1)), counts)
    held = np.sort(grouped[place < quota])
    if not len(held):
        return np.arange(n), np.arange(n)
    return np.setdiff1d(np.arange(n), held), held
