"""Planning an extraction: what is held, what is to do, in which units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.keys import first_occurrences

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.augmentation import View
    from headstart.cache.space import Space
    from headstart.contracts import Change, Payloads, ShardFormat
    from headstart.extraction.samples import Samples

N_UNITS = 256
PLAIN: tuple[View | None, ...] = (None,)
"""No view but the sample as it is."""


@dataclass(frozen=True)
class ExtractionPlan:
    """Which samples to compute for which spaces.

    Parameters
    ----------
    source : Payloads
        Gives the payload of a row.
    samples : Samples
    spaces : tuple of Space
        One a view and tap, all taps of the first view first: that of view ``v`` and tap ``t`` is
        ``spaces[v * len(taps) + t]``.
    taps : tuple of str
        Canonical. All of them come out of one forward pass.
    shard_format : ShardFormat
    todo : ndarray of int64, shape (n,)
        The rows to compute, one a key, sorted by unit and then by row.
    units : ndarray of uint8, shape (n,)
        The unit of work that each belongs to: its key's bucket, or the block of the data that it is
        read with. Writers share a space out by claims on units.
    n_unique : int
        How many different keys the samples have.
    views : tuple of View or None
        None is the sample as it is.
    wants : ndarray of bool, shape (n, number of views)
        Which views each row to compute lacks.
    """

    source: Payloads
    samples: Samples
    spaces: tuple[Space, ...]
    taps: tuple[str, ...]
    shard_format: ShardFormat
    todo: NDArray[np.int64]
    units: NDArray[np.uint8]
    n_unique: int
    views: tuple[View | None, ...]
    wants: NDArray[np.bool_]

    @property
    def has_views(self) -> bool:
        """Whether there is more to it than the samples as they are."""
        return self.views != PLAIN

    def views_wanted(self, position: int) -> list[int]:
        """The numbers of the views that a row of ``todo`` lacks."""
        return [0] if len(self.views) == 1 else np.flatnonzero(self.wants[position]).tolist()

    def change(self, position: int, view: int) -> Change | None:
        """What a view does to a row of ``todo``; None: nothing."""
        drawn = self.views[view]
        return None if drawn is None else drawn.change(self.key(position))

    def key(self, position: int) -> bytes:
        """The key of a row of ``todo``."""
        key: bytes = self.samples.keys[self.todo[position]].tobytes()
        return key

    def spaces_of(self, view: int) -> range:
        """The numbers of the spaces that a view fills."""
        return range(view * len(self.taps), (view + 1) * len(self.taps))

    def summary(self) -> str:
        """What is held and what is to do, in a line."""
        n, held = len(self.samples), self.n_unique - len(self.todo)
        twice = f" ({n - self.n_unique:,} are copies of others)" if n != self.n_unique else ""
        views = f" in {len(self.views)} views" if self.has_views else ""
        return f"{n:,} samples{twice}: {held:,} held, {len(self.todo):,} to do{views}"


def plan_extraction(
    source: Payloads,
    samples: Samples,
    spaces: Sequence[Space],
    taps: Sequence[str],
    shard_format: ShardFormat,
    given_up: frozenset[tuple[str, str]] = frozenset(),
    views: tuple[View | None, ...] = PLAIN,
) -> ExtractionPlan:
    """Find what at least one space lacks.

    Parameters
    ----------
    given_up : frozenset of (key in hex, space id)
        Permanent failures of earlier runs: they count as held.
    """
    unique = first_occurrences(samples.keys)
    lacking = _lacking(spaces, samples.keys[unique], given_up).reshape(len(views), len(taps), -1)
    wants: NDArray[np.bool_] = np.any(lacking, axis=1).T  # of a view all taps come out of one pass
    at = np.flatnonzero(np.any(wants, axis=1))
    units = _units(source, samples.keys, unique[at])
    order = np.lexsort((unique[at], units))
    return ExtractionPlan(
        source,
        samples,
        tuple(spaces),
        tuple(taps),
        shard_format,
        unique[at][order],
        units[order],
        len(unique),
        views,
        wants[at][order],
    )


def _lacking(
    spaces: Sequence[Space], keys: NDArray[np.uint8], given_up: frozenset[tuple[str, str]]
) -> NDArray[np.bool_]:
    """Which keys each space lacks, shape (number of spaces, N)."""
    lacking = np.empty((len(spaces), len(keys)), dtype=bool)
    for number, space in enumerate(spaces):
        missing = ~space.held(keys)
        refused = {bytes.fromhex(key) for key, space_id in given_up if space_id == space.id}
        if refused:
            at = np.flatnonzero(missing)
            missing[at] = [keys[row].tobytes() not in refused for row in at]
        lacking[number] = missing
    return lacking


def _units(source: Payloads, keys: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The unit of each row: rows that are read together are computed together."""
    if source.rows_a_block is None:
        buckets: NDArray[np.uint8] = keys[rows, 0]
        return buckets
    return (rows // source.rows_a_block % N_UNITS).astype(np.uint8)
