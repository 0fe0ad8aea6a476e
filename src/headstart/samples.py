"""Labelled samples: one value from the set to the head."""

from __future__ import annotations

from collections.abc import Sequence
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

    from headstart.types import FeatureRef, LabelKind


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
    is_grouped : bool
        Whether the ``meta:group`` of the table says which samples belong together, and is no column of the data that
        happens to be called so.
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
        """Of the features, as they are held or would be; 0 for sequences whose vectors stay on disk."""
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

    def labelled(self) -> LabelledSamples:
        """Those that have a label."""
        known = self.is_labelled
        if known.all():
            return self
        X = take_rows(self.X, np.flatnonzero(known))
        return replace(self, table=self.table.filter(mask_of(known)), X=X, y=self.y[known])

    def take(self, rows: NDArray[np.int64]) -> LabelledSamples:
        """Some of the samples, in the order of ``rows``."""
        views = ViewRows(self.views, rows) if self.views else ()
        table = self.table.take(pa.array(rows, pa.int64()))
        return replace(self, table=table, X=take_rows(self.X, rows), y=self.y[rows], views=views)

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
        return replace(self, table=table, X=X, y=y, views=())


class ViewRows(Sequence["NDArray[Any]"]):
    """Some rows of views, each read when it is asked for."""

    def __init__(self, views: Sequence[NDArray[Any]], rows: NDArray[np.int64]) -> None:
        self._views, self._rows = views, rows

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: Any) -> Any:
        return self._views[index][self._rows]


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
    return ChosenSequences(X, rows) if are_sequences(X) else X[rows]


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
    def width(self) -> int:
        """D."""
        return int(self.features.width)

    @property
    def longest(self) -> int:
        """The most vectors that any sequence has, chosen or not."""
        return int(self.features.longest)

    def padded(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """See `headstart.heads.sequences.Sequences.padded`."""
        found: tuple[NDArray[np.float32], NDArray[np.bool_]] = self.features.padded(self.rows[rows])
        return found
