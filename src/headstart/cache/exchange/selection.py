"""Samples of a set with their features, a block at a time: what an export is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headstart.arrow import vectors_of
from headstart.cache.sets import LABEL
from headstart.errors import ConfigError
from headstart.pooling import display_tap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.cache.space import Space
    from headstart.types import FeatureRef, Features

BLOCK_BYTES = 32 << 20  # of features held in memory at a time
META = "meta:"


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """What the values of a label column are.

    Parameters
    ----------
    kind : {"single", "multi", "regression"}
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
        Where it comes from: set, digest, backbone, tap, space, modality.
    width : int
    dtype : numpy.dtype
        float16 or float32, as it is stored.
    """

    samples: pa.Table
    labels: Mapping[str, LabelColumn]
    about: Mapping[str, str]
    width: int
    dtype: np.dtype[np.floating]
    keys: NDArray[np.uint8]
    space: Space

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def n_bytes(self) -> int:
        """Of all features together."""
        return len(self) * self.width * self.dtype.itemsize

    def matrices(self) -> Iterator[NDArray[np.floating]]:
        """The features, in blocks of shape (n, D) of a bounded size."""
        step = max(BLOCK_BYTES // (self.width * self.dtype.itemsize), 1)
        for start in range(0, len(self), step):
            yield self.space.gather(self.keys[start : start + step]).values

    def tables(self) -> Iterator[pa.Table]:
        """The samples with their ``features``, in blocks."""
        start = 0
        for values in self.matrices():
            part = self.samples.slice(start, len(values))
            start += len(values)
            yield part.append_column("features", vectors_of(values))

    def schema(self) -> pa.Schema:
        """Of `tables`."""
        kind = pa.list_(pa.float16() if self.dtype == np.float16 else pa.float32(), self.width)
        return self.samples.schema.append(pa.field("features", kind))


def select(
    features: FeatureSet,
    split: str | None = None,
    tap: str | None = None,
    label: str | None = None,
    backbone: str | None = None,
) -> Selection:
    """Samples of a set that have a feature; those that failed are left out.

    Parameters
    ----------
    features : FeatureSet
    split : {"train", "validation", "test"}, optional
        None: all.
    tap, backbone : str, optional
        Which feature; None: the latest.
    label : str, optional
        The only label column to keep; None: all.

    Raises
    ------
    MismatchError
        Samples lack the feature for another reason than that they failed.
    """
    held = features.held(split, tap, backbone)
    first = _first(held.space, held.keys, held.feature)
    columns = list(features.label_names) if label is None else [features.label_column(label)]
    return Selection(
        _samples(held.table, held.keys, columns),
        {column: _label_column(features, column) for column in columns},
        _about(features, held.feature),
        first.values.shape[1],
        first.values.dtype,
        held.keys,
        held.space,
    )


def hex_column(keys: NDArray[np.uint8]) -> pa.StringArray:
    """Keys, shape (N, 16), as a column of 32 hex digits each."""
    offsets = np.arange(len(keys) + 1, dtype=np.int32) * 32
    digits = np.ascontiguousarray(keys).tobytes().hex().encode("ascii")
    return pa.StringArray.from_buffers(len(keys), pa.py_buffer(offsets), pa.py_buffer(digits))


def _samples(table: pa.Table, keys: NDArray[np.uint8], labels: list[str]) -> pa.Table:
    names = ["id", "split", "origin", *(LABEL + column for column in labels)]
    names += [name for name in table.column_names if name.startswith(META)]
    return table.select(names).add_column(1, "key", hex_column(keys)).replace_schema_metadata(None)


def _first(space: Space, keys: NDArray[np.uint8], feature: FeatureRef) -> Features:
    """A feature to know width and dtype from."""
    first = space.gather(keys[:1])
    if first.offsets is not None:
        raise ConfigError(
            f"{feature.backbone} at {display_tap(feature.tap)} has several vectors a sample, and an export "
            "takes one; choose a pooled tap with --tap"
        )
    return first


def _label_column(features: FeatureSet, column: str) -> LabelColumn:
    return LabelColumn(features.label_kinds.get(column, "single"), features.label_names[column])


def _about(features: FeatureSet, feature: FeatureRef) -> dict[str, str]:
    source = features.info.get("source", {})
    about = {
        "set": features.name,
        "digest": features.digest,
        "backbone": feature.backbone,
        "tap": feature.tap,
        "space": feature.space,
        "modality": source.get("modality"),
    }
    return {name: str(value) for name, value in about.items() if value is not None}
