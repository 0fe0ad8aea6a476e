"""What a set says beside its features: complete splits, label names in order, counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import codes_by_name, keys_from_arrow, names_by_code
from headstart.cache.sets import LABEL, encode_labels
from headstart.keys import first_occurrences, search, words
from headstart.splits import NOT_GIVEN, complete_splits, describe_making
from headstart.types import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Source
    from headstart.extraction.samples import Samples
    from headstart.types import Json, LabelKind


@dataclass(frozen=True, slots=True)
class Labelled:
    """The table of a set, with every split filled in.

    Parameters
    ----------
    table : pyarrow.Table
    labels : dict
        For each label column its names in order; none for regression.
    kinds : dict
        What the values of each label column are.
    split : dict
        The seed, and what was made.
    n_leaking : int
        Keys that the data itself puts into more than one split.
    """

    table: pa.Table
    labels: dict[str, list[str]]
    kinds: dict[str, LabelKind]
    split: dict[str, Json]
    n_leaking: int

    def counts(self) -> dict[str, int]:
        """Samples in all and in each split."""
        per_split = np.bincount(_split_codes(self.table.column("split")), minlength=len(SPLITS))
        return {"samples": self.table.num_rows, **dict(zip(SPLITS, per_split.tolist(), strict=True))}


def label_samples(samples: Samples, source: Source, earlier: FeatureSet | None, seed: int) -> Labelled:
    """Complete the splits and order the label names."""
    kinds = {name: source.label_kinds.get(name, "single") for name in _label_columns(samples.table)}
    labels = {name: _names_in_order(samples.table, source, name, kind) for name, kind in kinds.items()}
    given = _split_codes(samples.table.column("split"))
    split = complete_splits(
        samples.keys, _strata(samples.table, labels, kinds), given, _earlier(samples, earlier, seed), seed
    )
    position = samples.table.schema.get_field_index("split")
    column = names_by_code(split, SPLITS)
    return Labelled(
        samples.table.set_column(position, "split", column),
        labels,
        kinds,
        {"seed": seed, "made": describe_making(given)},
        _count_leaks(samples.keys, split),
    )


def _label_columns(table: pa.Table) -> list[str]:
    return [name.removeprefix(LABEL) for name in table.column_names if name.startswith(LABEL)]


def _names_in_order(table: pa.Table, source: Source, column: str, kind: LabelKind) -> list[str]:
    """The names that the source gives in order, else those that occur, sorted."""
    if kind == "regression":
        return []
    if given := source.label_names.get(column):
        return list(given)
    values = table.column(LABEL + column)
    flat = pc.list_flatten(values) if kind == "multi" else values
    return sorted(pc.unique(flat).drop_null().to_pylist())


def _strata(table: pa.Table, labels: dict[str, list[str]], kinds: dict[str, LabelKind]) -> NDArray[np.int64]:
    """Which samples are split alike, by the first label column.

    With several labels a sample it is the rarest of them, so that each label gets into every split as
    far as it can; numbers to regress on are one stratum.
    """
    for column, names in labels.items():
        values = encode_labels(table.column(LABEL + column), names, kinds[column])
        if kinds[column] == "single":
            return values
        if kinds[column] == "multi" and names:
            return _rarest(values)
        break
    return np.zeros(table.num_rows, dtype=np.int64)


def _rarest(coded: NDArray[np.int8]) -> NDArray[np.int64]:
    """The column of the rarest label of each row, shape (N,); -1 for rows without any."""
    applies = coded == 1
    order = np.argsort(applies.sum(axis=0), kind="stable")
    first = order[applies[:, order].argmax(axis=1)]
    return np.where(applies.any(axis=1), first, -1)


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
