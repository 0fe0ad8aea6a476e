"""Where the features of samples are stored: which row of which shard, in the order in which they lie there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.index import Index


@dataclass(frozen=True, slots=True)
class RowLocations:
    """Where N samples have their features, in the order of the shards and of the rows in them.

    Parameters
    ----------
    names : tuple of str
        The shards of the space; ``shard`` counts into them.
    samples : ndarray of int64, shape (N,)
        Which sample, by its position among those that were asked for.
    shard, row : ndarray of uint32, shape (N,)
        Where its row lies.
    """

    names: tuple[str, ...]
    samples: NDArray[np.int64]
    shard: NDArray[np.uint32]
    row: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.samples)

    def found(self, n: int) -> NDArray[np.bool_]:
        """Which of the n samples that were asked for have a feature."""
        mask = np.zeros(n, dtype=bool)
        mask[self.samples] = True
        return mask

    def only(self, chosen: NDArray[np.bool_]) -> RowLocations:
        """The places of some of the samples that were asked for, counted anew."""
        kept = chosen[self.samples]
        position = np.cumsum(chosen) - 1
        return RowLocations(self.names, position[self.samples[kept]], self.shard[kept], self.row[kept])


def locate(index: Index, keys: NDArray[np.uint8]) -> RowLocations:
    """Where an index says that the rows of keys lie; without the keys that it does not have."""
    order = _order_of_keys(keys)
    shard, row, found = index.locate(keys[order])
    if not found.all():
        order, shard, row = order[found], shard[found], row[found]
    if len(index.shards) > 1:
        # Shards are sorted by key, as these are: so the rows of each come out in their order.
        by_shard = np.argsort(_narrowed(shard, len(index.shards)), kind="stable")
        order, shard, row = order[by_shard], shard[by_shard], row[by_shard]
    return RowLocations(index.shards, order, shard, row)


def runs(shard: NDArray[np.uint32]) -> Iterator[tuple[int, int, int]]:
    """Each shard of a sorted column, and from where to where it stands there.

    Examples
    --------
    >>> list(runs(np.array([0, 0, 2], dtype=np.uint32)))
    [(0, 0, 2), (2, 2, 3)]
    """
    edges = np.flatnonzero(np.diff(shard, prepend=shard[:1] + 1, append=shard[-1:] + 1))
    for start, stop in pairwise(edges.tolist()):
        yield int(shard[start]), start, stop


def _order_of_keys(keys: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The positions of keys in the order of their first four bytes.

    Neighbours are looked up together then, and read together; for that those four are as good as all.
    In two passes of 16 bits, for which numpy has a radix sort: three times as fast as sorting the keys.
    """
    words = np.ascontiguousarray(keys[:, :4]).view(">u2").astype(np.uint16)
    order = np.argsort(words[:, 1], kind="stable")
    return order[np.argsort(words[order, 0], kind="stable")]


def _narrowed(shard: NDArray[np.uint32], n: int) -> NDArray[np.unsignedinteger]:
    return shard.astype(np.uint16) if n <= 1 << 16 else shard
