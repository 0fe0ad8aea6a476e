"""Samples of a set as a table, and what corrections change in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headstart.arrow import column_of, keys_from_arrow, mask_of
from headstart.cache.layout import LABEL, META
from headstart.corrections.texts import Cells
from headstart.keys import contains, pack

if TYPE_CHECKING:
    from headstart.cache.corrections import Sample
    from headstart.types import LabelKind


MADE = "label"
"""The label column that decisions make where there is none."""


def with_label(table: pa.Table) -> pa.Table:
    """A table of a set that has a label column: one that has none gets `MADE`, in which nothing is labelled yet."""
    if any(name.startswith(LABEL) for name in table.column_names):
        return table
    return with_made(table)


def with_made(table: pa.Table) -> pa.Table:
    """The same with `MADE` behind its label columns."""
    names = table.column_names
    place = next((at for at, name in enumerate(names) if name.startswith(META)), len(names))
    return table.add_column(place, LABEL + MADE, pa.nulls(table.num_rows, pa.string()))


def cells_of(schema: pa.Schema, kinds: Mapping[str, LabelKind]) -> dict[str, Cells]:
    """How the labels of each column of a set are written."""
    names = (name for name in schema.names if name.startswith(LABEL))
    columns = {name.removeprefix(LABEL): schema.field(name).type for name in names}
    return {name: Cells.of(type, kinds.get(name, "single")) for name, type in columns.items()}


def rows_of(table: pa.Table, samples: Collection[Sample]) -> dict[Sample, list[int]]:
    """Where samples stand in a table, by key and id; those that it lacks are left out."""
    found: dict[Sample, list[int]] = defaultdict(list)
    if not samples or not table.num_rows:
        return found
    keys = keys_from_arrow(table.column("key"))
    wanted = set(samples)
    near = np.flatnonzero(contains(pack(map(bytes.fromhex, {key for key, _ in wanted})), keys))
    ids = table.column("id").take(column_of(near)).to_pylist()
    for row, id in zip(near.tolist(), ids, strict=True):
        sample = keys[row].tobytes().hex(), id
        if sample in wanted:
            found[sample].append(row)
    return found


def texts_of(
    table: pa.Table,
    places: Mapping[Sample, list[int]],
    wanted: Iterable[tuple[Sample, str]],
    cells: Mapping[str, Cells],
) -> dict[tuple[Sample, str], str]:
    """The labels of some samples, by sample and column, as texts; of samples and columns that there are."""
    by_column: dict[str, list[Sample]] = defaultdict(list)
    for sample, column in wanted:
        if sample in places and column in cells:
            by_column[column].append(sample)
    found: dict[tuple[Sample, str], str] = {}
    for column, samples in by_column.items():
        rows = column_of(np.array([places[sample][0] for sample in samples], dtype=np.int64))
        labels = table.column(LABEL + column).take(rows).to_pylist()
        found |= {
            (sample, column): cells[column].written(label)
            for sample, label in zip(samples, labels, strict=True)
        }
    return found


def relabelled(
    table: pa.Table, changes: Mapping[str, Mapping[int, str]], cells: Mapping[str, Cells]
) -> pa.Table:
    """A table with other labels in some rows: by column and row their texts."""
    for column, texts in changes.items():
        if not texts:
            continue
        name = LABEL + column
        before, new = table.column(name), cells[column].column(list(texts.values()))
        rows = np.arange(table.num_rows, dtype=np.int64)
        rows[list(texts)] = table.num_rows + np.arange(len(texts))
        # Not replace_with_mask, which takes no lists.
        both = pa.chunked_array([*before.chunks, new], before.type)
        table = table.set_column(
            table.schema.get_field_index(name), table.schema.field(name), both.take(column_of(rows))
        )
    return table


def without(table: pa.Table, rows: Collection[int]) -> pa.Table:
    """A table without some rows."""
    if not rows:
        return table
    keep = np.ones(table.num_rows, dtype=bool)
    keep[list(rows)] = False
    return table.filter(mask_of(keep))
