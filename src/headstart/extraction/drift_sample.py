"""The sample that the drift of int8 is measured on: the same on every machine, and of whole classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import codes_by_name
from headstart.cache.reading.labels import LABEL
from headstart.keys import first_by_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.extraction.samples import Samples

SIZES = {"image": 64, "image-text": 64, "text": 256, "text-pair": 256}
"""How many samples are looked at, by modality: seconds of work."""
A_CLASS = 8
"""Samples that a class must have to count: two in each fold."""


@dataclass(frozen=True, slots=True)
class DriftSample:
    """Rows to look at.

    Parameters
    ----------
    rows : ndarray of int64, shape (n,)
        Rows of the samples, no key twice.
    classes : ndarray of int64, shape (n,), optional
        The class of each; None: there are too few labels to fit a head.
    """

    rows: NDArray[np.int64]
    classes: NDArray[np.int64] | None


def choose_sample(samples: Samples, n: int) -> DriftSample:
    """The first ``n`` samples in the order of their keys, which are as good as random.

    Where the first label column names one class a sample, and at least two classes have `A_CLASS` samples:
    the first samples of as many of these classes as fit, equally many of each. Samples that the data itself
    puts into the test split are left out: nobody should look at their labels before the end.

    Parameters
    ----------
    samples : Samples
    n : int
        At least twice `A_CLASS`.
    """
    rows = first_by_key(samples.keys)
    in_test = codes_by_name(samples.table.column("split"), ["test"]) == 0
    rows = rows[~in_test[rows]] if not in_test.all() else rows
    codes = _codes(samples.table)
    chosen = None if codes is None else _of_classes(codes[rows], n)
    if codes is None or chosen is None:
        return DriftSample(np.sort(rows[:n]), None)
    rows = np.sort(rows[chosen])
    return DriftSample(rows, codes[rows])


def _codes(table: pa.Table) -> NDArray[np.int64] | None:
    """The class of each row, -1 without; None where the first label column is not of single classes."""
    column = next((name for name in table.column_names if name.startswith(LABEL)), None)
    if column is None or not pa.types.is_string(table.schema.field(column).type):
        return None
    names = sorted(pc.unique(table.column(column)).drop_null().to_pylist())
    codes: NDArray[np.int64] = codes_by_name(table.column(column), names)
    return codes


def _of_classes(codes: NDArray[np.int64], n: int) -> NDArray[np.int64] | None:
    """Positions of the first samples of some classes; None where fewer than two are large enough."""
    counts = np.bincount(codes[codes >= 0])
    named, first = np.unique(codes, return_index=True)
    large = [code for code in named[np.argsort(first)] if code >= 0 and counts[code] >= A_CLASS]
    if len(large) < 2:
        return None
    kept = large[: n // A_CLASS]
    return np.concatenate([np.flatnonzero(codes == code)[: n // len(kept)] for code in kept])
