"""What a set says beside its features: complete splits, label names in order, counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headstart.arrow import codes_by_name, names_by_code
from headstart.cache.layout import LABEL
from headstart.cache.set_state import read_splits
from headstart.data.splits import NOT_GIVEN, complete_splits, count_shared, describe_making
from headstart.keys import copies_among, first_by_key, search, slices, words
from headstart.tasks import open_task
from headstart.types import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Source
    from headstart.extraction.samples import Samples
    from headstart.keys import Copies
    from headstart.types import Json, LabelKind


@dataclass(frozen=True, slots=True)
class Labelled:
    """The samples of a set, with every split filled in.

    Parameters
    ----------
    splits : ndarray of int8, shape (N,)
        The split of each sample, as an index into ``SPLITS``.
    labels : dict
        For each label column its names in order; none for regression.
    kinds : dict
        What the values of each label column are.
    split : dict
        The seed, and what was made.
    n_leaking : int
        Keys that the data itself puts into more than one split.
    """

    samples: Samples
    splits: NDArray[np.int8]
    labels: dict[str, list[str]]
    kinds: dict[str, LabelKind]
    split: dict[str, Json]
    n_leaking: int

    @property
    def table(self) -> pa.Table:
        """All rows together."""
        return pa.concat_tables(self.groups(max(len(self.samples), 1)))

    def groups(self, n_rows: int) -> Iterator[pa.Table]:
        """The table of the set, so many rows at a time."""
        start = 0
        for group in self.samples.groups(n_rows):
            column = names_by_code(self.splits[start : start + group.num_rows], SPLITS)
            yield group.set_column(group.schema.get_field_index("split"), "split", column)
            start += group.num_rows

    def counts(self) -> dict[str, int]:
        """Samples in all and in each split."""
        per_split = np.bincount(self.splits, minlength=len(SPLITS))
        return {"samples": len(self.samples), **dict(zip(SPLITS, per_split.tolist(), strict=True))}


def label_samples(samples: Samples, source: Source, earlier: FeatureSet | None, seed: int) -> Labelled:
    """Complete the splits and order the label names."""
    table = samples.table
    kinds = {name: source.label_kinds.get(name, "single") for name in _label_columns(table)}
    labels = {name: _names_in_order(table, source, name, kind) for name, kind in kinds.items()}
    given = codes_by_name(table.column("split"), SPLITS, np.int8)
    samples.release()
    classes = _strata(table, labels, kinds)
    samples.release()
    copies = copies_among(samples.keys)
    before = _earlier(samples, copies, earlier, seed)
    splits = complete_splits(samples.keys, classes, given, before, seed, copies)
    made = {"seed": seed, "made": describe_making(given)}
    return Labelled(samples, splits, labels, kinds, made, count_shared(copies, splits))


def _label_columns(table: pa.Table) -> list[str]:
    return [name.removeprefix(LABEL) for name in table.column_names if name.startswith(LABEL)]


def _names_in_order(table: pa.Table, source: Source, column: str, kind: LabelKind) -> list[str]:
    """The names that the source gives in order, else those that occur, sorted."""
    task = open_task(kind)
    if task.has_names and (given := source.label_names.get(column)):
        return list(given)
    return sorted(task.names_in(table.column(LABEL + column)))


def _strata(table: pa.Table, labels: dict[str, list[str]], kinds: dict[str, LabelKind]) -> NDArray[np.int32]:
    """Which samples are split alike, by the first label column."""
    for column, names in labels.items():
        return open_task(kinds[column]).strata(table.column(LABEL + column), names)
    return np.zeros(table.num_rows, dtype=np.int32)


def _earlier(samples: Samples, copies: Copies, earlier: FeatureSet | None, seed: int) -> NDArray[np.int8]:
    """The split in which the set had each key before, under the same seed."""
    unknown = np.full(len(samples), NOT_GIVEN, dtype=np.int8)
    if earlier is None or earlier.info["split"]["seed"] != seed:
        return unknown
    keys, splits = read_splits(earlier)
    if _are_same(keys, samples.keys):  # the usual case, and nothing has to be looked up
        splits[copies.rows] = splits[copies.rows[copies.is_first]][copies.groups]
        return splits
    first = first_by_key(keys)
    positions, found = search(*words(keys[first]), samples.keys)
    unknown[found] = splits[first][positions[found]]
    return unknown


def _are_same(keys: NDArray[np.uint8], others: NDArray[np.uint8]) -> bool:
    return len(keys) == len(others) and all(
        np.array_equal(keys[rows], others[rows]) for rows in slices(len(keys))
    )
