"""Labelled samples: one value from the set to the head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import mask_of
from headstart.errors import ConfigError
from headstart.groups import groups_in
from headstart.tasks import open_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.class_vectors import ClassVectors
    from headstart.types import FeatureRef, LabelKind


@dataclass(frozen=True)
class SoftTargets:
    """What a teacher says of N samples, and what that counts in their losses.

    Parameters
    ----------
    logits : ndarray of float32, shape (N, C)
        Of the names of the label column in their order, or (N, T) numbers.
    names : tuple of str
        Those names; none where labels have none.
    is_labelled, is_said : ndarray of bool, shape (N,)
        Which samples have a label of their own, and of which the teacher says something.
    temperature : float in (0, inf)
        Softens both sides of the soft loss.
    alpha : float in [0, 1]
        What the teacher's opinion counts; the label counts the rest, or all where there is no opinion.
    features : ndarray of float32, shape (N, F), optional
        What the student's features are to be like through a linear map; None if only logits are taught.
    feature_weight : float in [0, inf)
        What the loss of those counts.
    """

    logits: NDArray[np.float32]
    names: tuple[str, ...]
    is_labelled: NDArray[np.bool_]
    is_said: NDArray[np.bool_]
    temperature: float = 1.0
    alpha: float = 0.5
    features: NDArray[np.float32] | None = None
    feature_weight: float = 0.0

    @property
    def hard(self) -> NDArray[np.float32]:
        """What the loss of each label counts, shape (N,)."""
        return (self.is_labelled * (1 - self.soft)).astype(np.float32)

    @property
    def soft(self) -> NDArray[np.float32]:
        """What the loss of each opinion counts, shape (N,)."""
        return (self.alpha * self.is_said).astype(np.float32)

    def take(self, rows: NDArray[np.int64]) -> SoftTargets:
        """Of some of the samples, in the order of ``rows``."""
        return self._with([part[rows] for part in self._rows])

    def joined(self, other: SoftTargets) -> SoftTargets:
        """Of these samples and then of others."""
        return self._with([np.concatenate(pair) for pair in zip(self._rows, other._rows, strict=True)])

    @property
    def _rows(self) -> list[NDArray[Any]]:
        """What there is a row of for each sample."""
        shown = [] if self.features is None else [self.features]
        return [self.logits, self.is_labelled, self.is_said, *shown]

    def _with(self, rows: Sequence[NDArray[Any]]) -> SoftTargets:
        logits, is_labelled, is_said, *shown = rows
        features = shown[0] if shown else None
        return replace(self, logits=logits, is_labelled=is_labelled, is_said=is_said, features=features)


@dataclass(frozen=True)
class LabelledSamples:
    """N samples with features and labels, met by key.

    Parameters
    ----------
    table : pyarrow.Table
        The set's columns, N rows, in the set's order.
    X : ndarray of shape (N, D), rows that stay on disk (`FeatureSet.mapped`), or sequences of vectors
        float32, unless another dtype was asked for.
    y : ndarray
        As `Task.encode` of ``kind`` makes it, N along the first axis.
    names : tuple of str
        The label names in order; none where labels have none.
    column : str
        The label column; empty if the set has none.
    features : tuple of FeatureRef
        What ``X`` was read from, in the order in which several are put side by side.
    widths : tuple of int
        How many columns of ``X`` each feature has; empty if ``X`` is not in memory, or has several vectors a sample.
    views : sequence of ndarray of shape (N, D)
        Features of changed copies of the same samples, for heads that draw them in training.
    beside : tuple of FeatureRef
        What else ``X`` holds of the samples: where tokens stand, of questions with contexts.
    is_grouped : bool
        Whether the ``meta:group`` of the table says which samples belong together, and is no column of the data that
        happens to be called so.
    soft : SoftTargets, optional
        What a teacher says of them.
    class_vectors : ClassVectors, optional
        What the names of their classes are in the space of ``X``, for heads that start from them.
    unlabelled : LabelledSamples, optional
        Samples without a label of their own that training may take as well; what a teacher takes them for is their
        ``y``.
    """

    table: pa.Table
    X: Any
    y: NDArray[Any]
    names: tuple[str, ...] = ()
    kind: LabelKind = "single"
    column: str = ""
    features: tuple[FeatureRef, ...] = ()
    widths: tuple[int, ...] = ()
    views: Sequence[NDArray[Any]] = ()
    is_grouped: bool = False
    soft: SoftTargets | None = None
    unlabelled: LabelledSamples | None = None
    beside: tuple[FeatureRef, ...] = ()
    class_vectors: ClassVectors | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def feature(self) -> FeatureRef:
        """The feature that was read first."""
        return self.features[0]

    @property
    def width(self) -> int:
        """D, of each vector."""
        return int(self.X.width if are_sequences(self.X) else self.X.shape[-1])

    @property
    def n_numbers(self) -> int:
        """About how many numbers the features are, if each sample were one vector."""
        return len(self) * self.width

    @property
    def n_bytes(self) -> int:
        """Of the features, as they are held or would be."""
        if isinstance(self.X, np.ndarray):
            return int(self.X.nbytes)
        if are_sequences(self.X):
            return int(getattr(self.X, "nbytes", 0))
        return 4 * int(np.prod(self.X.shape))

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """The number of the group that each sample is in, from 0 on; None where each stands alone."""
        found = groups_in(self.table) if self.is_grouped else None
        return None if found is None else found.codes

    @cached_property
    def targets(self) -> NDArray[Any]:
        """Labels as heads take them: names, so that they travel with the head; 0/1 by label; or numbers."""
        return open_task(self.kind).targets(self.y, self.names)

    @cached_property
    def is_labelled(self) -> NDArray[np.bool_]:
        """Which samples have a label, shape (N,)."""
        return open_task(self.kind).known(self.y)

    def labelled(self, keeps_others: bool = False) -> LabelledSamples:
        """Those that have a label; the others are dropped, or kept beside them as ``unlabelled``."""
        known = self.is_labelled
        if known.all():
            return self
        others = self._only(~known) if keeps_others else None
        return replace(self._only(known), unlabelled=others)

    def _only(self, chosen: NDArray[np.bool_]) -> LabelledSamples:
        X = take_rows(self.X, np.flatnonzero(chosen))
        return replace(self, table=self.table.filter(mask_of(chosen)), X=X, y=self.y[chosen])

    @cached_property
    def trained_on(self) -> LabelledSamples:
        """These samples, and behind them those without a label of their own: what heads are fitted on."""
        others = self.unlabelled
        if others is None or self.soft is None or others.soft is None:
            return self
        return replace(
            self,
            table=pa.concat_tables([self.table, others.table]),
            X=stacked_rows(self.X, others.X),
            y=np.concatenate([self.y, others.y]),
            views=ViewsAndPlain(self.views, others.X) if self.views else (),
            soft=self.soft.joined(others.soft),
            unlabelled=None,
        )

    def prepared(self, preparation: Callable[[Any], Any]) -> LabelledSamples:
        """The same with features that a preparation makes of them."""
        others = None if self.unlabelled is None else self.unlabelled.prepared(preparation)
        return replace(self, X=preparation(self.X), unlabelled=others)

    def take(self, rows: NDArray[np.int64]) -> LabelledSamples:
        """Some of the samples, in the order of ``rows``."""
        views = ViewRows(self.views, rows) if self.views else ()
        table = self.table.take(pa.array(rows, pa.int64()))
        soft = None if self.soft is None else self.soft.take(rows)
        return replace(self, table=table, X=take_rows(self.X, rows), y=self.y[rows], views=views, soft=soft)

    def with_others_unlabelled(self, rows: NDArray[np.int64]) -> LabelledSamples:
        """Some of the samples; all others count as if nobody had labelled them."""
        left = np.delete(np.arange(len(self)), rows)
        others = replace(self.take(left), unlabelled=None)
        if self.unlabelled is not None:
            X = stacked_rows(others.X, self.unlabelled.X)
            table = pa.concat_tables([others.table, self.unlabelled.table])
            others = replace(others, table=table, X=X, y=np.concatenate([others.y, self.unlabelled.y]))
        return replace(self.take(rows), unlabelled=others if len(others) else None)

    def check_joinable(self) -> None:
        """Refuse features that stay on disk, and sequences, before any work is done that `joined` would end."""
        if not isinstance(self.X, np.ndarray) and not hasattr(self.X, "joined"):
            raise ConfigError(
                "train and validation samples can be joined in memory only: leave out --refit, --folds and "
                "--mapped for token features and for sets that are larger than memory"
            )

    def joined(self, other: LabelledSamples) -> LabelledSamples:
        """These samples and then others, in memory and without views."""
        self.check_joinable()
        table = pa.concat_tables([self.table, other.table])
        arrays = isinstance(self.X, np.ndarray)
        X = np.concatenate([self.X, other.X]) if arrays else self.X.joined(other.X)
        y = np.concatenate([self.y, other.y])
        soft = None if self.soft is None or other.soft is None else self.soft.joined(other.soft)
        return replace(self, table=table, X=X, y=y, views=(), soft=soft)


class ViewRows(Sequence["NDArray[Any]"]):
    """Some rows of views, each read when it is asked for."""

    def __init__(self, views: Sequence[NDArray[Any]], rows: NDArray[np.int64]) -> None:
        self._views, self._rows = views, rows

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: Any) -> Any:
        return self._views[index][self._rows]


class ViewsAndPlain(Sequence["NDArray[Any]"]):
    """Views with further rows behind each, which have none: they show their plain features."""

    def __init__(self, views: Sequence[NDArray[Any]], plain: NDArray[Any]) -> None:
        self._views, self._plain = views, plain

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: Any) -> Any:
        return np.concatenate([self._views[index], self._plain])


def are_sequences(X: Any) -> bool:
    """Whether samples have several vectors each."""
    return hasattr(X, "padded") and hasattr(X, "width")


def is_stored(X: Any) -> bool:
    """Whether rows stay where they are until they are asked for."""
    if isinstance(X, ChosenRows):
        return True
    return hasattr(X, "batches") and hasattr(X, "shape")  # which an array, dense or sparse, has not both of


def take_rows(X: Any, rows: NDArray[np.int64]) -> Any:
    """Some of the samples, whatever their features are."""
    if is_stored(X):
        return ChosenRows(X, rows)
    if isinstance(X, Passages):
        return X.take(rows)
    return ChosenSequences(X, rows) if are_sequences(X) else X[rows]


def stacked_rows(first: Any, second: Any) -> Any:
    """Rows and then others of the same features, whatever these are."""
    if isinstance(first, np.ndarray):
        return np.concatenate([first, second])
    (features, rows), (_, others) = _located(first), _located(second)
    return take_rows(features, np.concatenate([rows, others]))


def _located(X: Any) -> tuple[Any, NDArray[np.int64]]:
    """Features that stay where they are, and which rows of them are meant."""
    rows = np.arange(len(X))
    while isinstance(X, Chosen):
        X, rows = X.features, X.rows[rows]
    return X, rows


@dataclass(frozen=True)
class Chosen:
    """Some of the samples of features that stay where they are, or of sequences, in the order of ``rows``."""

    features: Any
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, wanted: Any) -> NDArray[Any]:
        """Rows of these rows."""
        found: NDArray[Any] = self.features[self.rows[wanted]]
        return found


class ChosenRows(Chosen):
    """Some rows (N, D) that stay on disk."""

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return len(self), int(self.features.shape[1])


class ChosenSequences(Chosen):
    """Some sequences."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many vectors each has."""
        found: NDArray[np.int64] = self.features.lengths[self.rows]
        return found

    @property
    def width(self) -> int:
        """D."""
        return int(self.features.width)

    @property
    def longest(self) -> int:
        """The most vectors that any sequence has, chosen or not."""
        return int(self.features.longest)

    @property
    def nbytes(self) -> int:
        """Of the vectors in float32, wherever they lie; 0 of features that do not know their lengths."""
        features, rows = _located(self)
        lengths = getattr(features, "lengths", None)
        return 0 if lengths is None else 4 * self.width * int(lengths[rows].sum())

    def padded(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """See `headstart.heads.sequences.Sequences.padded`."""
        found: tuple[NDArray[np.float32], NDArray[np.bool_]] = self.features.padded(self.rows[rows])
        return found


@dataclass(frozen=True)
class Passages:
    """The tokens of N questions with their contexts, and where they stand in these.

    Parameters
    ----------
    tokens : sequences of vectors
        Of the question and of the context, T each, of width D; see `headstart.heads.sequences.VectorSequences`.
    places : sequences of vectors
        As many, of width 2: from which character of the context to before which; -1 for what is not of it.
    contexts : sequence of str
    """

    tokens: Any
    places: Any
    contexts: Sequence[str]

    def __len__(self) -> int:
        return len(self.contexts)

    @property
    def width(self) -> int:
        """D."""
        return int(self.tokens.width)

    @property
    def longest(self) -> int:
        """The most tokens that a question has with its context."""
        return int(self.tokens.longest)

    @property
    def nbytes(self) -> int:
        """Of tokens and places, wherever they lie."""
        return sum(int(getattr(part, "nbytes", 0)) for part in (self.tokens, self.places))

    def padded(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """See `headstart.heads.sequences.Sequences.padded`."""
        found: tuple[NDArray[np.float32], NDArray[np.bool_]] = self.tokens.padded(rows)
        return found

    def take(self, rows: NDArray[np.int64]) -> Passages:
        """Some of them."""
        contexts = [self.contexts[row] for row in rows.tolist()]
        return Passages(take_rows(self.tokens, rows), take_rows(self.places, rows), contexts)
