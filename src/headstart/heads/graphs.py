"""Indexes of training rows and the neighbours among them, made once for all heads that a search fits on the same rows.

Rows are told apart by their content: heads standardise a copy each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.heads.approximate import EXACT_UP_TO, Index
from headstart.heads.neighbours import Neighbours, nearest, nearest_within

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Units = NDArray[np.float32]

SHARED_K = 30
"""Neighbours that are kept of each row where several heads may ask: the first of them are those of a smaller k."""


@dataclass
class _Shared:
    indexes: dict[bytes, Index] = field(default_factory=dict)
    graphs: dict[tuple[bytes, bool], Neighbours] = field(default_factory=dict)


_shared: ContextVar[_Shared | None] = ContextVar("shared graphs", default=None)


@contextmanager
def shared_graphs() -> Iterator[None]:
    """Within it, what was made for some rows is there for the next head on the same."""
    if _shared.get() is not None:
        yield
        return
    before = _shared.set(_Shared())
    try:
        yield
    finally:
        _shared.reset(before)


def index_of(rows: Units, neighbours: str) -> Index | None:
    """The index of unit rows (N, D); None where neighbours are to be exact, or are with so few rows."""
    if neighbours == "exact" or len(rows) <= EXACT_UP_TO:
        return None
    shared = _shared.get()
    if shared is None:
        return Index.made(rows, is_unit=True)
    key = _digest(rows)
    if key not in shared.indexes:
        shared.indexes[key] = Index.made(rows, is_unit=True)
    return shared.indexes[key]


def graph_of(rows: Units, k: int, index: Index | None) -> Neighbours:
    """The k nearest of each unit row (N, D) among the others, by an index or exactly."""
    shared = _shared.get()
    if shared is None:
        return _graph(rows, k, index)
    key = (_digest(rows), index is None)
    known = shared.graphs.get(key)
    if known is None or known.row.shape[1] < k:
        most = min(max(k, SHARED_K), len(rows) - 1)
        known = shared.graphs[key] = _graph(rows, most, index)
    return Neighbours(known.cosine[:, :k], known.row[:, :k])


def _graph(rows: Units, k: int, index: Index | None) -> Neighbours:
    # Scores are comparable, so that they are the same whatever k.
    if index is None:
        return nearest_within(rows, k, is_unit=True)[0]
    return nearest(rows, rows, k, own=np.arange(len(rows)), is_unit=True, is_comparable=True, index=index)


def _digest(rows: NDArray[Any]) -> bytes:
    return blake2b(np.ascontiguousarray(rows).data, digest_size=16).digest()
