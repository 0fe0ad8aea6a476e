"""A matrix of features from elsewhere, read a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.cache.exchange.selection import LabelColumn
from headstart.errors import ConfigError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.types import Json

EXACT_INTEGERS = 1 << 24  # beyond it float32 cannot tell neighbours apart


@dataclass(frozen=True, slots=True)
class Matrix:
    """N features of width D, with what lies beside them in the file.

    Parameters
    ----------
    dtype : numpy.dtype
        float16 or float32, as it will be stored.
    raw_blocks : callable
        Gives the rows from the start, in blocks of shape (n, D), as they lie in the file.
    columns : pyarrow.Table
        Of an export: ``id``, ``key`` (hex), ``split``, ``origin``, ``label:…``, ``meta:…``. Of another
        Parquet file: its other columns. Otherwise none.
    labels : mapping
        Of an export: what its label columns are.
    about : mapping
        Of an export: where it comes from. Empty: it is none.
    """

    path: Path
    n_rows: int
    width: int
    dtype: np.dtype[np.floating]
    raw_blocks: Callable[[], Iterator[NDArray[Any]]]
    columns: pa.Table
    labels: Mapping[str, LabelColumn] = field(default_factory=dict)
    about: Mapping[str, Json] = field(default_factory=dict)

    def blocks(self) -> Iterator[NDArray[np.floating]]:
        """The rows as they will be stored.

        Raises
        ------
        DataError
            A value is not finite, or not one that the dtype can hold; the message names its row.
        """
        start = 0
        for raw in self.raw_blocks():
            # A float64 that float32 cannot hold becomes infinite here, and is refused below.
            with np.errstate(over="ignore", invalid="ignore"):
                block = np.ascontiguousarray(raw, dtype=self.dtype)
            bad = ~np.isfinite(block).all(axis=1)
            if raw.dtype.kind in "iu":
                bad |= (np.abs(raw.astype(np.float64)) > EXACT_INTEGERS).any(axis=1)
            if bad.any():
                row = start + int(np.flatnonzero(bad)[0]) + 1
                raise DataError(
                    f"{self.path}, row {row}: holds a value that is not finite or that {self.dtype} cannot hold"
                )
            start += len(block)
            yield block


def choose_features(path: Path, asked: str | None, names: list[str], fitting: list[str]) -> str:
    """The array or column of the features: the one asked for, or the only one that could be it."""
    if asked is not None:
        if asked not in names:
            raise ConfigError(f"{path} has no {asked!r}; it has: {', '.join(names)}")
        return asked
    if "features" in fitting:
        return "features"
    if len(fitting) != 1:
        there = ", ".join(fitting or names) or "nothing"
        raise ConfigError(f"which of {path} are the features? say --features-column; there are: {there}")
    return fitting[0]


def stored_as(path: Path, dtype: np.dtype[Any]) -> np.dtype[np.floating]:
    """What numbers of a dtype are stored as: float16 stays, all others become float32."""
    if dtype.kind not in "fiu" or dtype.itemsize > 8:
        raise DataError(f"{path}: the features are {dtype}, expected numbers")
    return np.dtype(np.float16 if dtype.kind == "f" and dtype.itemsize == 2 else np.float32)
