"""Planning an extraction: what is held, what is to do, in which units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.allocator import return_freed_memory
from headstart.keys import ROWS_AT_ONCE, contains, first_occurrences

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
    n_viewed : int
        Of how many keys augmented views are computed.
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
    n_viewed: int = 0

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
        n, todo = len(self.samples), int(self.wants[:, 0].sum())  # the samples as they are come first
        twice = f" ({n - self.n_unique:,} are copies of others)" if n != self.n_unique else ""
        return f"{n:,} samples{twice}: {self.n_unique - todo:,} held, {todo:,} to do{self._views_summary()}"

    def _views_summary(self) -> str:
        if len(self.views) == 1:
            return ""
        n, todo = len(self.views) - 1, int(self.wants[:, 1:].sum())
        of = "each" if self.n_viewed == self.n_unique else f"the {self.n_viewed:,} to train on"
        shown = "1 view" if n == 1 else f"{n} views"
        return f"; {shown} of {of}: {n * self.n_viewed - todo:,} held, {todo:,} to do"


def plan_extraction(
    source: Payloads,
    samples: Samples,
    spaces: Sequence[Space],
    taps: Sequence[str],
    shard_format: ShardFormat,
    given_up: frozenset[tuple[str, str]] = frozenset(),
    views: tuple[View | None, ...] = PLAIN,
    viewed: NDArray[np.bool_] | None = None,
) -> ExtractionPlan:
    """Find what at least one space lacks.

    Parameters
    ----------
    given_up : frozenset of (key in hex, space id)
        Permanent failures of earlier runs: they count as held.
    viewed : ndarray of bool, shape (N,), optional
        The samples that augmented views are computed of; None: all.
    """
    unique = first_occurrences(samples.keys)
    lacking = _lacking(spaces, samples.keys[unique], given_up).reshape(len(views), len(taps), -1)
    n_viewed = len(unique)
    if viewed is not None:
        meant = contains(samples.keys[viewed], samples.keys[unique])
        lacking[[view is not None for view in views]] &= meant
        n_viewed = int(meant.sum())
    wants: NDArray[np.bool_] = np.any(lacking, axis=1).T  # of a view all taps come out of one pass
    at = np.flatnonzero(np.any(wants, axis=1))
    units = _units(source, samples.keys, unique[at])
    order = np.argsort(units, kind="stable")  # the rows rise as they are
    plan = ExtractionPlan(
        source,
        samples,
        tuple(spaces),
        tuple(taps),
        shard_format,
        unique[at[order]],
        units[order],
        len(unique),
        views,
        wants[at[order]],
        n_viewed,
    )
    del lacking, at, units, order, unique
    if len(samples) > ROWS_AT_ONCE:  # not for each small block of a stream
        return_freed_memory()
    return plan


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
