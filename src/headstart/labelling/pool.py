"""The train samples of a set: which are labelled, and which of the others can be suggested."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from headstart.arrow import keys_from_arrow, numbers_of
from headstart.backbones.pooling import display_tap
from headstart.corrections.state import places_of
from headstart.corrections.table import MADE
from headstart.errors import ConfigError, DataError
from headstart.heads.units import UnitRows
from headstart.keys import contains, first_occurrences
from headstart.samples import ChosenRows
from headstart.tasks import open_task
from headstart.words import counted

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.heads.rows import Rows as Matrix
    from headstart.types import FeatureRef

    Rows = NDArray[np.int64]

FORMS = ("classes", "labels", "numbers")
"""Of labels that belong to a sample as a whole."""


@dataclass(frozen=True)
class Pool:
    """N train samples that have a feature.

    Parameters
    ----------
    features : FeatureSet
    column : str
        The label column; ``label`` where the set has none.
    feature : FeatureRef
    table : pyarrow.Table
        ``id`` and ``key``, N rows.
    X : matrix of shape (N, D)
        It may stay on disk.
    y, names : ndarray of N rows, tuple of str
        Labels by their task, and their names.
    labelled, open : ndarray of int64
        Rows with a label; and those that can be suggested: of copies the first, and none of a labelled one.
    n_copies, n_unsure : int
        Samples without a label that are copies, byte for byte; and of which somebody said that he is unsure.
    """

    features: FeatureSet
    column: str
    feature: FeatureRef
    table: pa.Table
    X: Matrix
    y: NDArray[Any]
    names: tuple[str, ...]
    kind: str
    labelled: Rows
    open: Rows
    n_copies: int
    n_unsure: int

    @cached_property
    def units(self) -> UnitRows:
        """The rows of all, to be compared by cosine."""
        return UnitRows(self.X)

    @property
    def said(self) -> str:
        """The feature, for people."""
        return f"{self.feature.backbone} {display_tap(self.feature.tap)}"

    def left_out(self) -> Iterator[str]:
        """Why samples without a label are not suggested."""
        if self.n_copies:
            yield f"{counted(self.n_copies, 'sample')} left out: a copy, byte for byte, is labelled or suggested"
        if self.n_unsure:
            yield f"{counted(self.n_unsure, 'sample')} left out: somebody looked at it and was unsure"


def open_pool(features: FeatureSet, label: str | None, feature: FeatureRef) -> Pool:
    """The train samples of a set.

    Raises
    ------
    ConfigError
        Labels are of words or answers; the feature has several vectors a sample.
    DataError
        All train samples are labelled, or there is none.
    """
    column = label_of(features, label)
    has_labels = column in features.label_names
    if has_labels and open_task(features.label_kinds[column]).form not in FORMS:
        meaning = open_task(features.label_kinds[column]).meaning
        raise ConfigError(
            f"label {column!r} is {meaning}; suggestions are of whole samples with one vector each"
        )
    held = features.held("train", display_tap(feature.tap), feature.backbone)
    labels = held.labels(column if has_labels else None)
    X = features.mapped("train", display_tap(feature.tap), column if has_labels else None, feature.backbone)
    table = held.columns(["id", "key"])
    known = open_task(labels.kind).known(labels.y)
    unsure = _unsure(features, column, table) & ~known
    free = np.flatnonzero(~known & ~unsure)
    ordered = free[np.argsort(_places_by_id(table)[free], kind="stable")]
    keys = keys_from_arrow(table.column("key"))
    fresh = ordered[~contains(keys[known], keys[ordered])] if known.any() else ordered
    fresh = fresh[first_occurrences(keys[fresh])]
    pool = Pool(
        features, column, feature, table, X, labels.y, labels.names, labels.kind, np.flatnonzero(known), fresh,
        len(free) - len(fresh), int(unsure.sum()),
    )  # fmt: skip
    if not len(fresh):
        raise DataError(_nothing(pool))
    return pool


def label_of(features: FeatureSet, label: str | None) -> str:
    """The label column that is meant; where there is none at all, the one that corrections make."""
    if features.label_names or label not in (None, MADE):
        return features.label_column(label)
    return MADE


def _nothing(pool: Pool) -> str:
    name, n = pool.features.name, len(pool.table)
    if not n:
        return (
            f"set {name!r} has no train sample with this feature, and none is suggested of validation or test"
        )
    why = "; ".join(pool.left_out())
    return (
        f"there is nothing to suggest in set {name!r}: {len(pool.labelled):,} of its {n:,} train samples have a label "
        f"in {pool.column!r}{f'; {why}' if why else ''}"
    )


def _places_by_id(table: pa.Table) -> Rows:
    """The place of each sample in the order of ids, (N,): ties do not depend on the order of the data."""
    order = numbers_of(pc.sort_indices(table.column("id").combine_chunks()))
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return places


def _unsure(features: FeatureSet, column: str, table: pa.Table) -> NDArray[np.bool_]:
    """Samples of which somebody said that he is unsure, (N,)."""
    rows = [row for row in features.corrections if row.action == "unsure" and row.label == column]
    found = np.zeros(table.num_rows, dtype=bool)
    found[[place for some in places_of(table, rows).values() for place in some]] = True
    return found


def rows_of(pool: Pool, rows: Rows) -> ChosenRows:
    """The features of some rows, left where they are."""
    return ChosenRows(pool.X, rows)
