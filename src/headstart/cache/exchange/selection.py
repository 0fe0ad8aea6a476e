"""Samples of a set with their features, a block at a time: what an export is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headstart.arrow import column_of, vectors_of
from headstart.cache.reading.labels import LABEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.reading.held import HeldSamples
    from headstart.cache.reading.stored import StoredRows

BLOCK_BYTES = 32 << 20  # of features held in memory at a time
META = "meta:"


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """What the values of a label column are.

    Parameters
    ----------
    names : tuple of str
        In order; none for regression.
    """

    kind: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """Some samples of a set with one feature each.

    Parameters
    ----------
    samples : pyarrow.Table
        ``id``, ``key`` (hex), ``split``, ``origin``, ``label:<name>``…, ``meta:<name>``…; N rows.
    labels : mapping
        By the names of the label columns.
    about : mapping
        Where it comes from: set, digest, backbone, tap, view, space, modality.
    rows : StoredRows
        The features, where they are stored.
    """

    samples: pa.Table
    labels: Mapping[str, LabelColumn]
    about: Mapping[str, str]
    rows: StoredRows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        """The numbers of a vector, D."""
        return self.rows.kind.width

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """float16 or float32, as it is stored."""
        return self.rows.kind.dtype

    @property
    def is_ragged(self) -> bool:
        """Whether a sample has a list of vectors, rather than one."""
        return self.rows.kind.is_ragged

    @property
    def n_bytes(self) -> int:
        """Of all features together."""
        return int(self.rows.lengths.sum()) * self.width * self.dtype.itemsize

    def matrices(self) -> Iterator[NDArray[np.floating]]:
        """The features, in blocks of shape (n, D) of a bounded size; not of ragged ones."""
        for rows in self._blocks():
            yield self.rows.take(rows)

    def tables(self) -> Iterator[pa.Table]:
        """The samples with their ``features``, in blocks."""
        for rows in self._blocks():
            part = self.samples.slice(rows[0], len(rows))
            yield part.append_column("features", self._column(rows))

    def schema(self) -> pa.Schema:
        """Of `tables`."""
        kind = pa.list_(pa.float16() if self.dtype == np.float16 else pa.float32(), self.width)
        return self.samples.schema.append(pa.field("features", pa.list_(kind) if self.is_ragged else kind))

    def _blocks(self) -> Iterator[NDArray[np.int64]]:
        """Consecutive samples whose features take about as much memory as a block may."""
        n_bytes = np.cumsum(self.rows.lengths) * (self.width * self.dtype.itemsize)
        start = 0
        while start < len(self):
            before = n_bytes[start - 1] if start else 0
            stop = max(int(np.searchsorted(n_bytes, before + BLOCK_BYTES, side="right")), start + 1)
            yield np.arange(start, stop)
            start = stop

    def _column(self, rows: NDArray[np.int64]) -> pa.Array:
        if not self.is_ragged:
            return vectors_of(self.rows.take(rows))
        values, offsets = self.rows.packed(rows)
        return pa.ListArray.from_arrays(column_of(offsets.astype(np.int32)), vectors_of(values))


def select(held: HeldSamples, labels: Mapping[str, LabelColumn], about: Mapping[str, str]) -> Selection:
    """Samples that have a feature, with some of their label columns."""
    table = held.table
    names = ["id", "split", "origin", *(LABEL + column for column in labels)]
    names += [name for name in table.column_names if name.startswith(META)]
    samples = table.select(names).add_column(1, "key", hex_column(held.keys)).replace_schema_metadata(None)
    return Selection(samples, labels, about, held.open())


def hex_column(keys: NDArray[np.uint8]) -> pa.StringArray:
    """Keys, shape (N, 16), as a column of 32 hex digits each."""
    offsets = np.arange(len(keys) + 1, dtype=np.int32) * 32
    digits = np.ascontiguousarray(keys).tobytes().hex().encode("ascii")
    return pa.StringArray.from_buffers(len(keys), pa.py_buffer(offsets), pa.py_buffer(digits))
