"""Groups of features: k-means, with a number of clusters that is given or found, and HDBSCAN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from headstart.errors import ConfigError, DataError
from headstart.heads.neighbours import nearest
from headstart.heads.units import draw, fit_centres, k_means, nearest_of
from headstart.inspection.project import principal_components

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Progress
    from headstart.heads.units import UnitRows

    Rows = NDArray[np.int64]

NONE = -1
"""The code of samples that are in no cluster."""
GRID = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 100, 128, 160, 200)
"""Numbers of clusters that are tried."""
ROWS_PER_CLUSTER = 5
"""More clusters than one for so many samples are not tried."""
TRIED_ROWS, JUDGED_ROWS = 4000, 2000
"""Of many samples a draw is grouped to find their number, and a part of that is judged by."""
MOST_DENSITIES = 20_000
"""Samples among which densities are looked at: of more each takes the cluster of the nearest of a draw."""
AXES = 15
"""Principal components that densities are measured in: in hundreds of dimensions all samples are equally far."""
SMALLEST, SHARE = 5, 1000
"""The least size of a dense cluster, where none is asked for: a share of the samples, and never less."""


class Trial(NamedTuple):
    """A number of clusters, the mean silhouette of samples, and its standard error."""

    k: int
    silhouette: float
    error: float


@dataclass(frozen=True)
class Grouping:
    """The cluster of each of N rows, the largest first: codes from 0 on, or `NONE`; and how it was found.

    ``tried`` are numbers of clusters; ``closeness`` (N,) is the cosine to the cluster's centre.
    """

    codes: Rows
    closeness: NDArray[np.float64]
    tried: Sequence[Trial] = ()

    @property
    def n(self) -> int:
        """How many clusters there are."""
        return int(self.codes.max(initial=NONE)) + 1


def group(
    units: UnitRows, method: str, k: int | None, min_size: int | None, seed: int, progress: Progress
) -> Grouping:
    """Group rows by a method.

    Raises
    ------
    ConfigError
        Options do not fit the method, or more clusters are wanted than there are samples.
    DataError
        There are too few samples, or HDBSCAN finds no cluster.
    """
    n = len(units)
    if n < 2:
        raise DataError(f"there are {n:,} samples with this feature, and clusters need two or more")
    if k is not None and k > n:
        raise ConfigError(f"-k {k:,} is more than the {n:,} samples that have this feature")
    if method == "hdbscan":
        if k is not None:
            raise ConfigError(
                f"hdbscan finds the number of clusters itself; leave out -k {k}, or say --method kmeans"
            )
        return _ordered(units, _dense(units, min_size or max(SMALLEST, n // SHARE), seed))
    if min_size is not None:
        raise ConfigError("--min-size is for --method hdbscan; of kmeans -k says how many clusters there are")
    tried = find_k(units, seed, progress) if k is None else []
    k = k or chosen(tried)
    return _ordered(units, k_means(units, k, seed).codes, tried)


def find_k(units: UnitRows, seed: int, progress: Progress) -> list[Trial]:
    """The mean silhouette (Rousseeuw 1987) of each number of clusters of a grid, on a draw."""
    X = units[draw(len(units), TRIED_ROWS, seed)]
    judged = draw(len(X), JUDGED_ROWS, seed)
    far = np.sqrt(np.maximum(2 - 2 * (X[judged] @ X[judged].T), 0))
    np.fill_diagonal(far, 0)
    grid = [k for k in GRID if k <= len(X) // ROWS_PER_CLUSTER] or [2]
    found = list[Trial]()
    progress.begin("numbers of clusters", len(grid))
    try:
        for k in grid:
            codes = nearest_of(X, fit_centres(X, k, seed))[judged]
            found.append(Trial(k, *_silhouette(far, codes)))
            progress.advance(1)
    finally:
        progress.end()
    return found


def _silhouette(far: NDArray[np.float32], codes: Rows) -> tuple[float, float]:
    """The mean silhouette of samples by their distances, and its standard error."""
    from sklearn.metrics import silhouette_samples

    if not 1 < len(np.unique(codes)) < len(codes):
        return -1.0, 0.0
    each = silhouette_samples(far, codes, metric="precomputed")
    return float(each.mean()), float(each.std() / np.sqrt(len(each)))


def chosen(tried: Sequence[Trial]) -> int:
    """The fewest clusters whose mean silhouette is within one standard error of the largest."""
    best = max(tried, key=lambda one: one.silhouette)
    return min(one.k for one in tried if one.silhouette >= best.silhouette - best.error)


def _dense(units: UnitRows, min_size: int, seed: int) -> Rows:
    """Clusters of HDBSCAN (Campello, Moulavi and Sander 2013) on principal components."""
    from sklearn.cluster import HDBSCAN

    drawn = draw(len(units), MOST_DENSITIES, seed)
    X = units[drawn]
    if min_size > len(X):
        raise ConfigError(
            f"--min-size {min_size:,} is more than the {len(X):,} samples that have this feature"
        )
    found: Any = HDBSCAN(min_cluster_size=min_size, copy=True).fit(principal_components(X, AXES))
    codes: Rows = found.labels_.astype(np.int64)
    if codes.max() < 0:
        raise DataError(
            f"hdbscan finds no cluster of {min_size:,} or more samples; try a smaller --min-size, or --method kmeans"
        )
    if len(drawn) == len(units):
        return codes
    everywhere: Rows = codes[nearest(units, X, 1, is_unit=True).row[:, 0]]
    return everywhere


def _ordered(units: UnitRows, codes: Rows, tried: Sequence[Trial] = ()) -> Grouping:
    """Clusters by their size, and of equal ones the one whose first sample comes first."""
    there, first, sizes = np.unique(codes[codes >= 0], return_index=True, return_counts=True)
    order = there[np.lexsort((first, -sizes))]
    place = np.full(int(codes.max()) + 2, NONE, dtype=np.int64)  # the last is for none
    place[order] = np.arange(len(order))
    codes = place[codes]
    return Grouping(codes, _closeness(units, codes, len(order)), tuple(tried))


def _closeness(units: UnitRows, codes: Rows, k: int) -> NDArray[np.float64]:
    """How near each row is to the middle of its cluster; -1 where it is in none."""
    sums = np.zeros((k + 1, units.shape[1]))
    for place, block in units.blocks():
        np.add.at(sums, codes[place], block)  # what is in none goes to the last
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    centres = (sums / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    near = np.full(len(units), -1.0)
    for place, block in units.blocks():
        near[place] = (block * centres[codes[place]]).sum(axis=1)
    return np.where(codes >= 0, near, -1.0)
