"""What the features alone suggest: typical samples, samples that cover the others, or any.

All of them number the open samples of a pool in the order of their ids, so that equal ones come in that order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.heads.neighbours import QUERIES, nearest, nearest_within
from headstart.heads.rows import in_blocks
from headstart.heads.units import draw, fit_centres, k_means
from headstart.samples import ChosenRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.labelling.pool import Pool

    Rows = NDArray[np.int64]
    Ranked = tuple[Rows, NDArray[np.float64] | None]
    """Rows, the first to label first, and what speaks for each."""

MOST_CLUSTERS = 500
NEAREST = 20
"""Neighbours by which a sample is typical."""
SMALLEST_CLUSTER = 5
"""Clusters of fewer samples are looked at last: what is typical of them nobody can say."""
MOST_COVERED, JUDGED = 10_000, 1000
"""Rows that are to be covered, of many a draw: each is compared with each; and those that say how far near is."""
PURITY = 0.95
"""The share of rows near which no other cluster begins."""
SHRINKS, SMALLEST_RADIUS = 0.75, 1e-3
"""What becomes of a radius within which all are covered."""


def random(pool: Pool, n: int, seed: int) -> Ranked:
    """A draw."""
    return np.random.default_rng(seed).permutation(pool.open)[:n], None


def typical(pool: Pool, n: int, seed: int) -> Ranked:
    """The most typical sample of each of the largest clusters in which nothing is labelled.

    TypiClust (Hacohen, Dekel and Weinshall, "Active Learning on a Budget", 2022): as many clusters by k-means as there
    will be labels; a sample is as typical as its mean distance to its nearest in the cluster is small.
    """
    k = min(len(pool.labelled) + n, MOST_CLUSTERS, len(pool.units))
    codes = k_means(pool.units, k, seed).codes
    n_labelled = np.bincount(codes[pool.labelled], minlength=k)
    sizes = np.bincount(codes[pool.open], minlength=k)
    order = np.lexsort((np.arange(k), -sizes, n_labelled, sizes < SMALLEST_CLUSTER))
    own = codes[pool.open]
    ranked = [_by_typicality(pool, pool.open[own == code]) for code in order.tolist()]
    # Round after round one of each, should more be wanted than there are clusters.
    rounds = np.concatenate([np.arange(len(rows)) for rows, _ in ranked])
    turn = np.argsort(rounds, kind="stable")[:n]
    rows, scores = (np.concatenate(part)[turn] for part in zip(*ranked, strict=True))
    return rows, scores


def _by_typicality(pool: Pool, rows: Rows) -> tuple[Rows, NDArray[np.float64]]:
    """The samples of a cluster, the most typical first, each with one over its mean distance to its nearest."""
    if len(rows) < 2:
        return rows, np.zeros(len(rows))
    units = pool.units[rows]
    k = min(NEAREST, len(rows) - 1)
    [near] = nearest_within(units, k, is_unit=True)
    typicality = 1 / (distance(near.cosine).mean(axis=1) + 1e-6)
    order = np.argsort(-typicality, kind="stable")
    return rows[order], typicality[order]


def cover(pool: Pool, n: int, seed: int) -> Ranked:
    """One sample after the other, each with the most samples near it that no label is near to yet.

    ProbCover (Yehuda, Dekel, Hacohen and Weinshall, "Active Learning Through a Covering Lens", 2022). How far "near"
    reaches follows from clusters of k-means: in 95 of 100 cases no sample of another cluster is as near; once all are
    covered it is less and less. What speaks for a sample is how many it covers. Of a large pool a draw is covered.
    """
    rows = pool.open[draw(len(pool.open), max(MOST_COVERED, n), seed)]
    units, n = pool.units[rows], min(n, len(rows))
    reach, closest = radius(pool, units, n, seed), _closest_label(pool, units)
    order, counts = list[int](), list[int]()
    while len(order) < n:
        near = _near(units, 1 - reach**2 / 2)
        is_covered = closest <= reach
        is_covered[near.of_all(np.array(order, dtype=np.int32))] = True
        for place, gain in _covering(near, is_covered, n - len(order)):
            order.append(place)
            counts.append(gain)
        reach = reach * SHRINKS if reach > SMALLEST_RADIUS else -1.0
        if reach < 0:  # what is left is the same as what was taken, to the last bit
            left = np.setdiff1d(np.arange(len(rows)), order)[: n - len(order)].tolist()
            order, counts = [*order, *left], [*counts, *[0] * len(left)]
    return rows[order], np.array(counts, dtype=np.float64)


def _closest_label(pool: Pool, units: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far the nearest labelled sample is from each row, (N,)."""
    if not len(pool.labelled):
        return np.full(len(units), np.inf)
    return distance(nearest(units, ChosenRows(pool.units, pool.labelled), 1, is_unit=True).cosine[:, 0])


def _covering(near: _Near, is_covered: NDArray[np.bool_], n: int) -> Iterator[tuple[int, int]]:
    """At most n rows, each of which covers the most that are not covered yet, and how many."""
    gain = _gains(near, is_covered)
    for _ in range(n):
        place = int(gain.argmax())
        if not gain[place]:
            return
        yield place, int(gain[place])
        fresh = near.of(place)[~is_covered[near.of(place)]]
        is_covered[fresh] = True
        gain -= np.bincount(near.of_all(fresh), minlength=len(gain))


@dataclass(frozen=True)
class _Near:
    """The rows that are near to each of N, itself among them: of row i, ``rows[starts[i]:starts[i + 1]]``."""

    starts: Rows
    rows: NDArray[np.int32]

    def of(self, row: int) -> NDArray[np.int32]:
        """Those of one row."""
        return self.rows[self.starts[row] : self.starts[row + 1]]

    def of_all(self, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Those of several, one after the other."""
        return np.concatenate([self.of(row) for row in rows.tolist()] or [self.rows[:0]])


def _near(units: NDArray[np.float32], reach: float) -> _Near:
    """The rows of which a cosine is at least so large."""
    found: list[NDArray[np.int32]] = []
    counts: list[Rows] = []
    for place, block in in_blocks(units, QUERIES):
        is_near = block @ units.T >= reach
        is_near[np.arange(len(block)), np.arange(place.start, place.stop)] = True  # whatever rounding says
        counts.append(is_near.sum(axis=1))
        found.append((np.flatnonzero(is_near) % len(units)).astype(np.int32))
    return _Near(np.concatenate([[0], np.cumsum(np.concatenate(counts))]), np.concatenate(found))


def _gains(near: _Near, is_covered: NDArray[np.bool_]) -> Rows:
    """How many rows each would cover that are not yet, (N,)."""
    fresh = (~is_covered[near.rows]).astype(np.int64)
    found: Rows = np.add.reduceat(fresh, near.starts[:-1])
    return found


def radius(pool: Pool, units: NDArray[np.float32], n: int, seed: int) -> float:
    """The distance within which samples are taken to be of one class: see `cover`."""
    k = min(max(len(pool.names), n), MOST_CLUSTERS, len(units))
    if k < 2:
        return 0.0
    centres = fit_centres(units[draw(len(units), MOST_COVERED, seed)], k, seed)
    codes = (units @ centres.T - np.square(centres).sum(axis=1) / 2).argmax(axis=1)
    asked = draw(len(units), JUDGED, seed)
    cosine = units[asked] @ units.T
    cosine[codes[asked][:, None] == codes] = -1
    return float(np.quantile(distance(cosine.max(axis=1)), 1 - PURITY))


def distance(cosine: NDArray[np.floating]) -> NDArray[np.float64]:
    """Between points on a sphere of radius 1."""
    found: NDArray[np.float64] = np.sqrt(np.maximum(2 - 2 * cosine.astype(np.float64), 0))
    return found


STRATEGIES = {"random": random, "typical": typical, "cover": cover}
