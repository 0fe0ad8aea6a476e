"""Approximate nearest neighbours: which rows are worth scoring, by the inverted lists of faiss.

Rows belong to the list of their nearest centre, and a query is compared with those of the few lists whose centres are
nearest to it, in half precision. What that finds is scored again as every row is in an exact search
(`headstart.heads.neighbours.nearest`): scores and their order are exact, only which rows are looked at is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from headstart.errors import MissingDependencyError, StorageError
from headstart.heads.neighbours import Neighbours, unit_rows
from headstart.heads.rows import in_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Progress
    from headstart.heads.rows import Rows
    from headstart.types import Json

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

NeighbourSearch = Literal["exact", "approximate"]
EXACT_UP_TO = 200_000
"""Rows up to which all pairs are compared: an index would save less than it takes to say how good it is."""
EXACT_PARTS = 20_000
"""Rows or queries up to which a part of a larger search is exact."""
LISTS_BY_ROOT = 4
"""Lists for M rows: so many times the root of M, as the guidelines of faiss have it."""
TRAINED_ON = 64
"""Rows for each list that its centre is learnt from."""
PROBED = 32
"""Lists that a query is compared with."""
MORE = 16
"""Candidates beyond the k nearest: half precision may swap those that are about equally near."""
READ_ROWS = 1 << 16
MEASURED_ON = 1000
"""Queries, drawn at random, that are searched exactly too, to measure the recall."""


@dataclass(frozen=True, slots=True)
class Recall:
    """How many of the k nearest were found, as a share, measured on some queries that were searched exactly too."""

    share: float
    k: int
    n_queries: int

    @classmethod
    def read(cls, said: Mapping[str, Any] | None) -> Recall | None:
        """What `to_json` gave."""
        return None if said is None else cls(said["recall"], said["k"], said["n_queries"])

    def to_json(self) -> dict[str, Json]:
        """As reports have it."""
        return {"neighbours": "approximate", "recall": self.share, "k": self.k, "n_queries": self.n_queries}

    def __str__(self) -> str:
        return f"recall at {self.k} is {self.share:.4f}, measured on {self.n_queries:,} rows"


@dataclass(frozen=True)
class Lists:
    """Centres (C, D) of length 1 at most, and the centre that each row is nearest to, (M,)."""

    centres: NDArray[np.float32]
    of_row: NDArray[np.int32]


class Index:
    """Rows (M, D) in lists.

    Parameters
    ----------
    rows : rows of shape (M, D)
    lists : Lists
        What `made` finds; it is kept, and the rest is derived.
    centre, is_unit
        As `nearest` has them.
    """

    def __init__(self, rows: Rows, lists: Lists, centre: Floats | None = None, is_unit: bool = False) -> None:
        if not 0 <= lists.of_row.min(initial=0) <= lists.of_row.max(initial=0) < len(lists.centres):
            raise StorageError(
                f"an index of {len(lists.centres)} lists has a row in list {lists.of_row.max(initial=0)}; fit the head "
                "again"
            )
        self.lists = lists
        self._index = _opened(lists.centres)
        faiss = _faiss()
        for place, block in in_blocks(rows, READ_ROWS):
            units = _units(block, centre, is_unit)
            of_row = np.ascontiguousarray(lists.of_row[place], dtype=np.int64)
            self._index.add_core(len(units), faiss.swig_ptr(units), None, faiss.swig_ptr(of_row))

    @classmethod
    def made(cls, rows: Rows, seed: int = 0, centre: Floats | None = None, is_unit: bool = False) -> Index:
        """An index of rows; of the same seed, rows and machine the same."""
        return cls(rows, _lists_of(rows, seed, centre, is_unit), centre, is_unit)

    def candidates(self, queries: Floats, k: int) -> Ints:
        """Rows among which the k nearest of unit queries (N, D) most likely are, (N, n); -1 where there are fewer."""
        _, found = self._index.search(queries.astype(np.float32), min(k + MORE, self._index.ntotal))
        return cast("Ints", found)


def asks_for_an_index(asked: NeighbourSearch, n_rows: int, progress: Progress) -> bool:
    """Whether neighbours among so many rows are approximate; where few rows make an exact search as fast, say so.

    Raises
    ------
    MissingDependencyError
        They are, and faiss is not installed.
    """
    if asked == "exact":
        return False
    if n_rows <= EXACT_UP_TO:
        progress.say(why_exact(n_rows))
        return False
    _faiss()
    return True


def why_exact(n_rows: int) -> str:
    """Why neighbours among so many rows are exact though approximate ones were asked for."""
    return f"neighbours are exact: among {n_rows:,} rows, up to {EXACT_UP_TO:,}, an index would save nothing"


def is_worth_an_index(n_queries: int, n_rows: int) -> bool:
    """Whether a part of a search that is approximate as a whole is."""
    return min(n_queries, n_rows) > EXACT_PARTS


def recall_of(
    found: Callable[[Ints], Neighbours], exact: Callable[[Ints], Neighbours], n_queries: int, seed: int = 0
) -> Recall:
    """The recall of a search among n queries, on a draw of them; of rows that are equally near it counts either.

    Aumüller, Bernhardsson and Faithfull (2020), ANN-Benchmarks, count so.
    """
    drawn = np.sort(np.random.default_rng(seed).permutation(n_queries)[:MEASURED_ON])
    ours, right = found(drawn), exact(drawn)
    is_one = right.row >= 0
    farthest = np.where(is_one, right.cosine, np.inf).min(axis=1, initial=np.inf)
    n_found = ((ours.row >= 0) & (ours.cosine >= farthest[:, None])).sum()
    return Recall(float(n_found / max(is_one.sum(), 1)), right.row.shape[1], len(drawn))


def _lists_of(rows: Rows, seed: int, centre: Floats | None, is_unit: bool) -> Lists:
    n = rows.shape[0]
    n_lists = max(1, min(round(LISTS_BY_ROOT * n**0.5), n))
    drawn = np.sort(np.random.default_rng(seed).permutation(n)[: n_lists * TRAINED_ON])
    index = _opened(np.empty((0, rows.shape[1]), dtype=np.float32), n_lists)
    index.cp.seed = seed % (1 << 31)
    index.cp.min_points_per_centroid = 1  # it would warn
    index.train(_units(rows[drawn], centre, is_unit))
    of_row = np.empty(n, dtype=np.int32)
    for place, block in in_blocks(rows, READ_ROWS):
        of_row[place] = index.quantizer.search(_units(block, centre, is_unit), 1)[1][:, 0]
    return Lists(index.quantizer.reconstruct_n(0, n_lists), of_row)


def _opened(centres: NDArray[np.float32], n_lists: int = 0) -> Any:
    """An empty index by inner product with these centres, or one that is still to learn so many."""
    faiss = _faiss()
    width = centres.shape[1]
    quantizer = faiss.IndexFlatIP(width)
    kind, metric = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFScalarQuantizer(quantizer, width, n_lists or len(centres), kind, metric)
    index.by_residual = False  # so that rows are the same whichever list they are in
    index.nprobe = PROBED
    if len(centres):
        quantizer.add(centres)
        index.is_trained = True
    return index


def _units(rows: NDArray[Any], centre: Floats | None, is_unit: bool) -> NDArray[np.float32]:
    units = rows if is_unit else unit_rows(rows, centre)
    return np.ascontiguousarray(units, dtype=np.float32)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise MissingDependencyError("faiss-cpu", "an approximate search", "neighbours") from error
    return faiss
