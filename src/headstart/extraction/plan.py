"""Planning an extraction: what is held, what is to do, in which units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.keys import first_occurrences

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.space import Space
    from headstart.contracts import Payloads, ShardFormat
    from headstart.extraction.samples import Samples

N_UNITS = 256


@dataclass(frozen=True)
class ExtractionPlan:
    """Which samples to compute for which spaces.

    Parameters
    ----------
    source : Payloads
        Gives the payload of a row.
    samples : Samples
    spaces : tuple of Space
        One a tap, all from one forward pass.
    taps : tuple of str
        The canonical tap of each space.
    todo : ndarray of int64, shape (n,)
        The rows to compute, one a key, sorted by unit and then by row.
    units : ndarray of uint8, shape (n,)
        The unit of work that each belongs to: its key's bucket, or the block of the data that it is
        read with. Writers share a space out by claims on units.
    n_unique : int
        How many different keys the samples have.
    """

    source: Payloads
    samples: Samples
    spaces: tuple[Space, ...]
    taps: tuple[str, ...]
    shard_format: ShardFormat
    todo: NDArray[np.int64]
    units: NDArray[np.uint8]
    n_unique: int

    def summary(self) -> str:
        """What is held and what is to do, in a line."""
        n, held = len(self.samples), self.n_unique - len(self.todo)
        twice = f" ({n - self.n_unique:,} are copies of others)" if n != self.n_unique else ""
        return f"{n:,} samples{twice}: {held:,} held, {len(self.todo):,} to do"


def plan_extraction(
    source: Payloads,
    samples: Samples,
    spaces: Sequence[Space],
    taps: Sequence[str],
    shard_format: ShardFormat,
    given_up: frozenset[tuple[str, str]] = frozenset(),
) -> ExtractionPlan:
    """Find what at least one space lacks.

    Parameters
    ----------
    given_up : frozenset of (key in hex, space id)
        Permanent failures of earlier runs: they count as held.
    """
    unique = first_occurrences(samples.keys)
    keys = samples.keys[unique]
    lacking = np.zeros(len(unique), dtype=bool)
    for space in spaces:
        missing = ~space.held(keys)
        refused = {bytes.fromhex(key) for key, space_id in given_up if space_id == space.id}
        if refused:
            at = np.flatnonzero(missing)
            missing[at] = [keys[row].tobytes() not in refused for row in at]
        lacking |= missing
    todo = unique[lacking]
    units = _units(source, samples.keys, todo)
    order = np.lexsort((todo, units))
    todo, units = todo[order], units[order]
    return ExtractionPlan(source, samples, tuple(spaces), tuple(taps), shard_format, todo, units, len(unique))


def _units(source: Payloads, keys: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The unit of each row: rows that are read together are computed together."""
    if source.rows_a_block is None:
        buckets: NDArray[np.uint8] = keys[rows, 0]
        return buckets
    return (rows // source.rows_a_block % N_UNITS).astype(np.uint8)
