"""Columns of metadata that were computed from features, and not given by the data: a set keeps them as it grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headstart.arrow import column_of, keys_from_arrow
from headstart.cache.layout import META
from headstart.keys import first_by_key, search, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.set_state import SetState

MADE_COLUMNS = "made_columns"
"""What ``set.json`` says of them, by name."""


def joined(keys: NDArray[np.uint8], values: pa.Array, wanted: NDArray[np.uint8]) -> pa.Array:
    """The values of wanted keys, (M, 16), of those that belong to keys (N, 16); null where there is none."""
    first = first_by_key(keys)
    places, there = search(*words(keys[first]), wanted)
    rows = np.where(there, first[np.where(there, places, 0)] if len(first) else 0, len(values))
    return pa.concat_arrays([values, pa.nulls(1, values.type)]).take(column_of(rows.astype(np.int64)))


def with_made_columns(table: pa.Table, earlier: SetState | None) -> pa.Table:
    """A table of samples with the columns that were made for an earlier state; samples that are new have none."""
    for name in {} if earlier is None else earlier.info.get(MADE_COLUMNS, {}):
        if META + name in table.column_names:
            continue  # the data gives one by now
        before = earlier.columns(["key", META + name])  # type: ignore[union-attr]
        values = before.column(META + name).combine_chunks()
        column = joined(keys_from_arrow(before.column("key")), values, keys_from_arrow(table.column("key")))
        table = table.append_column(META + name, column)
    return table
