"""Samples that belong together (pictures of one patient, captions of one image), as their ``meta:group`` says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import codes_by_name
from headstart.cache.layout import GROUP

if TYPE_CHECKING:
    from numpy.typing import NDArray


def group_codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Which rows of a ``meta:group`` have one group, as numbers; -1 where a row has none."""
    names = pc.unique(column).drop_null()
    codes: NDArray[np.int64] = codes_by_name(column, [name for name in names.to_pylist() if name])
    return codes


@dataclass(frozen=True)
class Groups:
    """Which of N samples belong together: ``codes`` (N,) are the numbers of their groups, from 0 on."""

    codes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """How many samples each has."""
        return np.bincount(self.codes)

    @property
    def n_even(self) -> float:
        """How many groups of one size count as much (Kish): as many as there are if all are of one size.

        Examples
        --------
        >>> Groups(np.array([0, 0, 1, 1])).n_even, round(Groups(np.array([0] * 98 + [1, 2])).n_even, 2)
        (2.0, 1.04)
        """
        return evenness(self.sizes)

    def among(self, is_there: NDArray[np.bool_]) -> Groups:
        """The same of some of the samples."""
        return Groups(np.unique(self.codes[is_there], return_inverse=True)[1])

    def n_with(self, is_there: NDArray[np.bool_]) -> int:
        """How many groups have any of some samples."""
        return int((np.bincount(self.codes[is_there], minlength=1) > 0).sum())

    @classmethod
    def of(cls, codes: NDArray[np.int64] | None) -> Groups | None:
        """Those of samples by number; None: each stands alone."""
        return None if codes is None else cls(codes)


def evenness(sizes: NDArray[Any]) -> float:
    """How many parts of one size count as much as parts of these sizes; 0 if there is none."""
    squares = float((sizes.astype(np.float64) ** 2).sum())
    return float(sizes.sum()) ** 2 / squares if squares else 0.0


def groups_in(table: pa.Table | None) -> Groups | None:
    """The groups of a table's rows; None if each row stands alone. A row without a group is one of its own.

    Examples
    --------
    >>> groups_in(pa.table({"meta:group": ["a", None, "a", ""]})).codes.tolist()
    [0, 1, 0, 2]
    >>> groups_in(pa.table({"meta:group": ["a", None, "b"]}))
    """
    if table is None or GROUP not in table.column_names:
        return None
    codes = group_codes(table.column(GROUP))
    alone = np.flatnonzero(codes < 0)
    codes[alone] = len(codes) + np.arange(len(alone))
    codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    return Groups(codes) if len(codes) and codes.max() + 1 < len(codes) else None
