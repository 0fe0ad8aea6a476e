"""The map: where each sample of a page lies in two dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.heads.rows import in_blocks
from headstart.inspection.project import NAMES, project
from headstart.progress import shown
from headstart.reporting.arrays import encoded_numbers
from headstart.reporting.budget import choose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Progress
    from headstart.reporting.config import ReportConfig
    from headstart.reporting.samples import PageSamples
    from headstart.reporting.vectors import Vectors
    from headstart.samples import ChosenRows
    from headstart.types import Json

    Rows = NDArray[np.int64]

FEWEST = 4
MOST_FITTED = 20_000
"""Samples that principal components are fitted on; all are projected."""
NARROW = 1024
"""Up to which all eigenvectors are found before scipy.linalg, which finds some, is imported."""
WIDE = 2048
"""Rows and columns from which principal axes are searched at random, which takes a fraction of the time."""
MOST_EMBEDDED = 10_000
"""Samples that t-SNE or UMAP is given: a minute or two."""


@dataclass(frozen=True)
class Points:
    """The place of each of N samples, (N, 2), NaN where there is none; how they were made, and what that means."""

    xy: NDArray[np.float32]
    method: str
    note: str

    def to_json(self) -> dict[str, Json]:
        """As the page has it."""
        x, y = (encoded_numbers(np.ascontiguousarray(axis)) for axis in self.xy.T)
        return {"x": x, "y": y, "method": self.method, "note": self.note}


def points_of(
    samples: PageSamples,
    vectors: Vectors,
    first: Rows,
    drawn: Rows,
    config: ReportConfig,
    notes: list[str],
    progress: Progress,
) -> Points | None:
    """The map of a page's samples; where a method takes only so many, of the ``first`` and of those ``drawn``."""
    places, held = vectors.of(samples)
    if len(places) < FEWEST:
        notes.append(f"{len(places):,} samples have a feature, and a map of fewer than {FEWEST} says nothing")
        return None
    progress.say(f"{NAMES[config.method]} of {len(places):,} samples at {vectors.said} …")
    xy = np.full((len(samples), 2), np.nan, dtype=np.float32)
    if config.method == "pca":
        xy[places], shares = _projected(held, config.seed, progress)
        said = f"{shares[0]:.0%} of the variance from left to right, {shares[1]:.0%} from below to above"
        return Points(xy, NAMES["pca"], f"{vectors.said}: {said}")
    chosen = places
    if len(places) > MOST_EMBEDDED:
        has = np.zeros(len(samples), dtype=bool)
        has[places] = True
        chosen = choose(MOST_EMBEDDED, first[has[first]], drawn[has[drawn]])
        notes.append(
            f"the map by {NAMES[config.method]} is of {len(chosen):,} of {len(places):,} samples, first those to look "
            "at, then a draw by label and split; the others are not on it. --method pca takes all"
        )
    of_place = np.full(len(samples), -1, dtype=np.int64)
    of_place[places] = np.arange(len(places))
    xy[chosen] = project(held[of_place[chosen]], config.method, config.seed)
    said = "neighbours are near; sizes of clusters and distances between them mean nothing"
    return Points(xy, NAMES[config.method], f"{vectors.said}: {said}")


def _projected(X: ChosenRows, seed: int, progress: Progress) -> tuple[NDArray[np.float32], list[float]]:
    """Rows (N, D) on the two axes of the largest variance of a draw, (N, 2), and the share of the variance of each."""
    n = X.shape[0]
    drawn = np.arange(n)
    if n > MOST_FITTED:
        drawn = np.sort(np.random.default_rng(seed).permutation(n)[:MOST_FITTED])
    mean, axes, shares = _axes(np.asarray(X[drawn], dtype=np.float32))
    found = np.zeros((n, 2), dtype=np.float32)
    with shown(progress, "projecting", n):
        for place, block in in_blocks(X):
            found[place, : len(axes)] = (np.asarray(block, dtype=np.float32) - mean) @ axes.T
            progress.advance(len(block))
    return found, [*shares, 0.0][:2]


def _axes(
    rows: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[float]]:
    """The mean of rows (N, D), their one or two principal axes (2, D), and the share of the variance of each.

    Importing scikit-learn takes longer than this, up to a width at which its randomised search is the faster one.
    """
    n, width = rows.shape
    k = min(2, width)
    if min(n, width) > WIDE:
        from sklearn.decomposition import PCA

        fitted: Any = PCA(k, svd_solver="randomized", random_state=0).fit(rows)
        return fitted.mean_, fitted.components_, np.nan_to_num(fitted.explained_variance_ratio_).tolist()
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = rows - mean
    centred /= max(np.abs(centred).max(initial=0), np.finfo(np.float32).tiny)  # whose squares may be infinite
    products = (centred.T @ centred if width <= n else centred @ centred.T).astype(np.float64)
    values, vectors = _largest(products, k)
    axes = (vectors if width <= n else centred.T @ vectors).T
    lengths = np.linalg.norm(axes, axis=1, keepdims=True)
    axes = axes / np.where(lengths > 0, lengths, 1)
    axes *= np.where(np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1) < 0, -1, 1)
    shares = values.clip(min=0) / max(np.trace(products), np.finfo(float).tiny)
    return mean, axes.astype(np.float32), shares.tolist()


def _largest(products: NDArray[np.float64], k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The k largest eigenvalues of a symmetric matrix, or all, the largest first, and their vectors (D, k)."""
    n = len(products)
    if n <= NARROW:
        values, vectors = np.linalg.eigh(products)
    else:
        from scipy.linalg import eigh

        values, vectors = eigh(products, subset_by_index=[n - k, n - 1])
    return values[::-1][:k], vectors[:, ::-1][:, :k]
