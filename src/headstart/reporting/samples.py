"""The samples of a page: those of a set, or where it is gone those that a run made predictions for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from headstart.arrow import codes_by_name, column_of, keys_from_arrow
from headstart.cache.layout import CONTEXT
from headstart.cache.set_state import open_samples
from headstart.reporting.arrays import encoded
from headstart.reporting.budget import choose, evenly_drawn, strata_of
from headstart.reporting.columns import Column, label_column, meta_columns, other_labels, split_column
from headstart.reporting.labels import PageLabel
from headstart.types import SPLITS
from headstart.words import counted

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.types import Json

    Rows = NDArray[np.int64]


ABSOLUTE = r"^(/|~/|\\\\|[A-Za-z]:[\\/]|file:)"
"""How an id begins that says where a file lies."""


@dataclass(frozen=True)
class PageSamples:
    """N samples of a page.

    Parameters
    ----------
    table : pyarrow.Table
        ``id``, ``key``, ``split``, ``label:<name>``…, ``meta:<name>``…, N rows.
    rows : ndarray of int64, shape (N,)
        Which they are of all samples that there are.
    features : FeatureSet, optional
        The set that all of them are of; None if it is gone.
    label : PageLabel, optional
        The label column that the page is of.
    """

    table: pa.Table
    rows: Rows
    features: FeatureSet | None
    label: PageLabel | None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def keys(self) -> NDArray[np.uint8]:
        """Their keys, (N, 16)."""
        return keys_from_arrow(self.table.column("key"))

    @property
    def splits(self) -> NDArray[np.int8]:
        """The split of each, as an index into ``SPLITS``."""
        codes: NDArray[np.int8] = codes_by_name(self.table.column("split"), SPLITS, np.int8)
        return codes

    def columns(self, notes: list[str]) -> list[Column]:
        """What is known of them without any prediction."""
        label, named = self.label_column, {} if self.features is None else self.features.label_names
        found = [split_column(self.table), *([] if label is None else [label])]
        found += other_labels(self.table, named, None if self.label is None else self.label.column)
        return [*found, *meta_columns(self.table, notes)]

    @cached_property
    def label_column(self) -> Column | None:
        """Their labels, to filter by; None if they are none that one can filter by."""
        label = self.label
        if label is None:
            return None
        if label.in_table not in self.table.column_names:  # nothing is labelled yet
            if label.page_kind != "single":
                return None
            return Column("label", label.column, label.names, np.full(len(self), -1, dtype=np.int32))
        return label_column("label", label.column, self.table.column(label.in_table), label.names)

    def say_paths(self, notes: list[str]) -> None:
        """Say where ids are absolute paths: corrections need them as they are, and whoever has the page sees them."""
        n = pc.sum(pc.match_substring_regex(self.table.column("id"), pattern=ABSOLUTE)).as_py()
        if n:
            notes.append(
                f"{counted(n, 'id')} on this page are absolute paths, by which the samples were given to extract; give "
                "them ids of their own if the page is for others"
            )

    def strata(self) -> Rows:
        """Which are alike by label and split, where labels are names."""
        label = self.label_column
        codes = [self.splits] if label is None or label.codes is None else [self.splits, label.codes]
        return strata_of(*codes)

    def take(self, rows: Rows) -> PageSamples:
        """Some of them, in the order of ``rows``."""
        return replace(self, table=self.table.take(column_of(rows)), rows=self.rows[rows])

    def at_most(self, n: int, first: Rows, seed: int, notes: list[str]) -> PageSamples:
        """As many as a page is to hold: the first ones, and an even draw of the others; all if there are no more."""
        if len(self) <= n:
            return self
        notes.append(
            f"{n:,} of {len(self):,} samples are on this page, first those to look at, then a draw by label and "
            "split; figures are of all. --samples shows more"
        )
        return self.take(choose(n, first, evenly_drawn(self.strata(), seed)))

    def places(self, n: int) -> Rows:
        """From each of the n rows that there were to its place here, -1: it is not here; shape (n,)."""
        places = np.full(n, -1, dtype=np.int64)
        places[self.rows] = np.arange(len(self))
        return places

    def to_json(self, columns: Sequence[Column]) -> dict[str, Json]:
        """As the page has it, but for what is shown of each."""
        return {
            "n": len(self),
            "ids": self.table.column("id").to_pylist(),
            "keys": encoded(self.keys),
            "columns": [column.to_json() for column in columns],
            "labels": self._label_texts(),
        }

    def _label_texts(self) -> list[str] | None:
        """Labels as they are corrected; None where codes say them, or there are none."""
        label = self.label
        if label is None or label.page_kind == "single" or label.in_table not in self.table.column_names:
            return None
        return label.written(self.table.column(label.in_table).to_pylist())


def whole_set(features: FeatureSet, label: PageLabel | None) -> PageSamples:
    """All samples of a set, without what is known of where they lie."""
    with open_samples(features.path) as file:
        names = [name for name in file.schema_arrow.names if name not in ("origin", CONTEXT)]
    table = features.columns(names)
    return PageSamples(table, np.arange(table.num_rows), features, label)


def set_and_label(samples: PageSamples) -> dict[str, Json]:
    """What corrections of a page are made for."""
    features, label = samples.features, samples.label
    return {
        "set": None if features is None else {"name": features.name, "digest": features.digest},
        "label": None if label is None else label.to_json(),
    }
