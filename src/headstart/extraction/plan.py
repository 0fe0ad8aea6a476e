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
    from headstart.contracts import ShardFormat, Source
    from headstart.extraction.samples import Samples

N_BUCKETS = 256


@dataclass(frozen=True)
class ExtractionPlan:
    """Which samples to compute for which spaces.

    Parameters
    ----------
    source : Source
        Gives the payload of a row.
    samples : Samples
    spaces : tuple of Space
        One a tap, all from one forward pass.
    taps : tuple of str
        The canonical tap of each space.
    todo : ndarray of int64, shape (n,)
        The rows to compute, one a key, sorted by bucket.
    n_unique : int
        How many different keys the samples have.
    """

    source: Source
    samples: Samples
    spaces: tuple[Space, ...]
    taps: tuple[str, ...]
    shard_format: ShardFormat
    todo: NDArray[np.int64]
    n_unique: int

    def summary(self) -> str:
        """What is held and what is to do, in a line."""
        n, held = len(self.samples), self.n_unique - len(self.todo)
        twice = f" ({n - self.n_unique:,} are copies of others)" if n != self.n_unique else ""
        return f"{n:,} samples{twice}: {held:,} held, {len(self.todo):,} to do"


def plan_extraction(
    source: Source,
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
    buckets = samples.keys[todo, 0]
    order = np.argsort(buckets, kind="stable")
    return ExtractionPlan(source, samples, tuple(spaces), tuple(taps), shard_format, todo[order], len(unique))
