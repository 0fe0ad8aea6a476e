"""Rows of length 1 less their mean, whose products are cosines; and k-means of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.heads.neighbours import unit_rows
from headstart.heads.rows import READ_ROWS, Rows, mean_of
from headstart.keys import slices

if TYPE_CHECKING:
    from numpy.typing import NDArray

HELD_BYTES = 1 << 28
"""Rows that together are no larger are kept; others are read, and scaled, again and again."""
DRAWN_ROWS = 10_000
"""Rows that centres are found among, where there are more: of further ones they move little."""
ROWS_PER_CENTRE = 30
FIRST_ROWS, FIRST_PER_CENTRE = 1000, 5
"""Rows that k-means++ chooses among: of ten thousand and 200 centres it would take ten times as long as the rest."""
ITERATIONS = 30


class UnitRows:
    """A matrix (N, D) of which each row is scaled to length 1, in float32, after the mean of all was subtracted."""

    def __init__(self, X: Rows) -> None:
        self._X, self.centre = X, mean_of(X)
        self._held: NDArray[np.float32] | None = None
        if X.shape[0] and 4 * int(np.prod(X.shape)) <= HELD_BYTES:
            self._held = np.concatenate([block for _, block in self.blocks()])

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D)."""
        return self._X.shape

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        if self._held is None:
            return unit_rows(self._X[rows], self.centre).astype(np.float32)
        found: NDArray[np.float32] = self._held[rows]
        return found

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """The rows a block at a time, each with its place."""
        return ((place, self[place]) for place in slices(len(self), READ_ROWS))


@dataclass(frozen=True)
class Centres:
    """Centres (k, D) of groups of rows, and which of them each row is nearest to, (N,)."""

    centres: NDArray[np.float32]
    codes: NDArray[np.int64]


def k_means(rows: UnitRows, k: int, seed: int) -> Centres:
    """Group rows by k-means (k-means++; Arthur and Vassilvitskii 2007), found among a draw of many, then of all.

    Every one of the k groups has a row: a centre that is nearest to none is left out.
    """
    drawn = draw(len(rows), max(DRAWN_ROWS, ROWS_PER_CENTRE * k), seed)
    centres = fit_centres(rows[drawn], k, seed)
    codes = nearest_centres(rows, centres)
    there, codes = np.unique(codes, return_inverse=True)
    return Centres(centres[there], codes.astype(np.int64))


def draw(n: int, most: int, seed: int) -> NDArray[np.int64]:
    """So many of n rows at most, drawn at random, in order."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).permutation(n)[:most])


def fit_centres(X: NDArray[np.float32], k: int, seed: int) -> NDArray[np.float32]:
    """The centres of k groups of rows in memory, (k, D)."""
    from sklearn.cluster import KMeans, kmeans_plusplus

    first = X[draw(len(X), max(FIRST_ROWS, FIRST_PER_CENTRE * k), seed)]
    start, _ = kmeans_plusplus(first, k, random_state=seed)
    found = KMeans(k, init=start, n_init=1, max_iter=ITERATIONS, random_state=seed).fit(X)
    return np.asarray(found.cluster_centers_, dtype=np.float32)


def nearest_centres(rows: UnitRows, centres: NDArray[np.float32]) -> NDArray[np.int64]:
    """The centre that each row is nearest to, (N,)."""
    codes = np.empty(len(rows), dtype=np.int64)
    for place, block in rows.blocks():
        codes[place] = nearest_of(block, centres)
    return codes


def nearest_of(X: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    """The same of rows in memory."""
    codes: NDArray[np.int64] = (X @ centres.T - np.square(centres).sum(axis=1) / 2).argmax(axis=1)
    return codes
