"""What a set says beside its features: complete splits, label names in order, counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import codes_by_name, keys_from_arrow, names_by_code
from headstart.cache.sets import LABEL
from headstart.keys import first_occurrences, search, words
from headstart.splits import NOT_GIVEN, complete_splits, describe_making
from headstart.types import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Source
    from headstart.extraction.samples import Samples
    from headstart.types import Json


@dataclass(frozen=True, slots=True)
class Labelled:
    """The table of a set, with every split filled in.

    Parameters
    ----------
    table : pyarrow.Table
    labels : dict
        For each label column its names in order.
    split : dict
        The seed, and what was made.
    n_leaking : int
        Keys that the data itself puts into more than one split.
    """

    table: pa.Table
    labels: dict[str, list[str]]
    split: dict[str, Json]
    n_leaking: int

    def counts(self) -> dict[str, int]:
        """Samples in all and in each split."""
        per_split = np.bincount(_split_codes(self.table.column("split")), minlength=len(SPLITS))
        return {"samples": self.table.num_rows, **dict(zip(SPLITS, per_split.tolist(), strict=True))}


def label_samples(samples: Samples, source: Source, earlier: FeatureSet | None, seed: int) -> Labelled:
    """Complete the splits and order the label names."""
    labels = _names_in_order(samples.table, source)
    given = _split_codes(samples.table.column("split"))
    split = complete_splits(
        samples.keys, _strata(samples.table, labels), given, _earlier(samples, earlier, seed), seed
    )
    position = samples.table.schema.get_field_index("split")
    column = names_by_code(split, SPLITS)
    return Labelled(
        samples.table.set_column(position, "split", column),
        labels,
        {"seed": seed, "made": describe_making(given)},
        _count_leaks(samples.keys, split),
    )


def _names_in_order(table: pa.Table, source: Source) -> dict[str, list[str]]:
    columns = [name.removeprefix(LABEL) for name in table.column_names if name.startswith(LABEL)]
    names = {}
    for column in columns:
        given = source.label_names.get(column)
        present = pc.unique(table.column(LABEL + column)).drop_null().to_pylist()
        names[column] = list(given) if given else sorted(present)
    return names


def _strata(table: pa.Table, labels: dict[str, list[str]]) -> NDArray[np.int64]:
    for column, names in labels.items():
        return codes_by_name(table.column(LABEL + column), names)
    return np.zeros(table.num_rows, dtype=np.int64)


def _split_codes(column: pa.ChunkedArray) -> NDArray[np.int8]:
    return codes_by_name(column, SPLITS).astype(np.int8)


def _earlier(samples: Samples, earlier: FeatureSet | None, seed: int) -> NDArray[np.int8]:
    """The split in which the set had each key before, under the same seed."""
    unknown = np.full(len(samples), NOT_GIVEN, dtype=np.int8)
    if earlier is None or earlier.info["split"]["seed"] != seed:
        return unknown
    keys = keys_from_arrow(earlier.samples.column("key"))
    first = first_occurrences(keys)
    codes = _split_codes(earlier.samples.column("split"))[first]
    hi, lo = words(keys[first])
    order = np.lexsort((lo, hi))
    positions, found = search(hi[order], lo[order], samples.keys)
    unknown[found] = codes[order][positions[found]]
    return unknown


def _count_leaks(keys: NDArray[np.uint8], split: NDArray[np.int8]) -> int:
    """How many keys are in more than one split."""
    marked = np.concatenate([keys, split.astype(np.uint8)[:, None]], axis=1)
    n_pairs = len(np.unique(marked.view(f"V{marked.shape[1]}"))) if len(marked) else 0
    return n_pairs - len(first_occurrences(keys))
