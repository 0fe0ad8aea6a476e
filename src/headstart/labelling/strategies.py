"""What the features alone suggest: typical samples, samples that cover the others, or any.

All of them number the open samples of a pool in the order of their ids, so that equal ones come in that order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headstart.heads.neighbours import nearest
from headstart.heads.units import k_means
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
FARTHEST = 2048
"""Rows that are looked at one by one: the farthest by what was known when all were looked at."""


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
    near = nearest(units, units, k, own=np.arange(len(rows)), is_unit=True)
    typicality = 1 / (distance(near.cosine).mean(axis=1) + 1e-6)
    order = np.argsort(-typicality, kind="stable")
    return rows[order], typicality[order]


def cover(pool: Pool, n: int, seed: int) -> Ranked:
    """One sample after the other, each the farthest from all that are labelled or were taken before it.

    K-center greedy (Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach",
    2018). Where nothing is labelled the first is the one nearest to the centre of all. Distances only shrink as samples
    are taken: the farthest are looked at one by one, and all of them again only when these may not be the farthest any
    more, so that the rows are read a few times and not n times.
    """
    units, n = pool.units, min(n, len(pool.open))
    rows, scores = list[int](), list[float]()
    if len(pool.labelled):
        near = nearest(ChosenRows(units, pool.open), ChosenRows(units, pool.labelled), 1, is_unit=True)
        far = distance(near.cosine[:, 0])
    else:
        first = _most_central(pool)
        rows, scores = [first], [0.0]
        far = _distances(pool, units[[first]])
        far[pool.open == first] = -np.inf
    while len(rows) < n:
        places = np.sort(np.argsort(-far, kind="stable")[:FARTHEST])
        others = np.delete(np.arange(len(far)), places)
        rest = float(far[others].max(initial=-np.inf))
        near_by, known, taken = units[pool.open[places]], far[places], list[int]()
        while len(rows) < n and (not taken or known.max() >= rest):
            place = int(known.argmax())
            rows.append(int(pool.open[places[place]]))
            scores.append(float(known[place]))
            taken.append(place)
            known = np.minimum(known, distance(near_by @ near_by[place]))
            known[taken] = -np.inf
        far = np.minimum(far, _distances(pool, near_by[taken]))
        far[places[taken]] = -np.inf
    return np.array(rows, dtype=np.int64), np.array(scores)


def _most_central(pool: Pool) -> int:
    """The open sample that is most like the mean of all directions."""
    total = sum(block.sum(axis=0, dtype=np.float64) for _, block in pool.units.blocks())
    towards = np.concatenate([block @ total for _, block in pool.units.blocks()])[pool.open]
    return int(pool.open[towards.argmax()])


def _distances(pool: Pool, centres: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far each open sample is from the nearest of some, (n,)."""
    cosine = np.empty(len(pool.units))
    for place, block in pool.units.blocks():
        cosine[place] = (block @ centres.T).max(axis=1)
    return distance(cosine[pool.open])


def distance(cosine: NDArray[np.floating]) -> NDArray[np.float64]:
    """Between points on a sphere of radius 1."""
    found: NDArray[np.float64] = np.sqrt(np.maximum(2 - 2 * cosine.astype(np.float64), 0))
    return found


STRATEGIES = {"random": random, "typical": typical, "cover": cover}
