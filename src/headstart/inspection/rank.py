"""rank: which tap of which backbone suits a task, by figures that need no training."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.backbones.pooling import display_tap, is_ragged
from headstart.cache.store import Cache
from headstart.columns import cell, columns
from headstart.errors import ConfigError, DataError
from headstart.heads.neighbours import nearest, votes
from headstart.heads.ridge_path import Design, leave_one_out
from headstart.heads.rows import in_blocks, mean_of
from headstart.inspection.pairs import pair_features, pair_figures, rank_pairs, sides_of
from headstart.keys import ranks
from headstart.notebook import html_table
from headstart.samples import ChosenRows
from headstart.tasks import open_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress
    from headstart.heads.rows import Rows
    from headstart.inspection.pairs import PairFigures, PairRanking
    from headstart.types import FeatureRef

N_NEIGHBOURS = 20
N_ITERATIONS, TOLERANCE = 100, 1e-6
"""Of the fixed point of LogME."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """How well one feature suits the task, measured on train alone."""

    backbone: str
    tap: str
    space: str
    width: int
    n: int
    """Train samples that have the feature and a label."""
    metric: str
    """accuracy, micro_f1 or r2, by the kind of the labels."""
    loo: float
    """The metric of ridge regression, each sample predicted by a fit on all others."""
    loo_error: float
    """The mean squared error of the same; alpha is chosen by it."""
    alpha: float
    logme: float
    """Per sample; larger is better."""
    knn: float
    """The metric of the 20 nearest others."""
    seconds: float
    """Of all of it, reading included."""
    pairs: PairFigures | None = None
    """Of pairs of image and text: how well these find each other."""


class Ranking(list[Ranked]):
    """The features of a set, the best first; a notebook shows a table."""

    def table(self) -> tuple[list[str], list[list[str | float]]]:
        """A heading and a row for each feature."""
        metric = self[0].metric if self else ""
        header = ["backbone", "tap", "width", f"loo {metric}", "loo mse", "logme", f"knn {metric}", "seconds"]
        rows: list[list[str | float]] = [
            # Backbone and tap are to be copied from here.
            [cell(one.backbone, None), cell(one.tap, None), str(one.width), one.loo, one.loo_error, one.logme, one.knn,
             f"{one.seconds:.1f}"]
            for one in self
        ]  # fmt: skip
        return header, rows

    def lines(self) -> list[str]:
        """The same for a terminal; below it, of pairs, how well these find each other."""
        pairs = [
            f"{one.backbone} {one.tap} finds {finds}: {found}"
            for one in self
            if one.pairs is not None
            for finds, found in sides_of(one.pairs)
        ]
        return [*columns(*self.table()), *pairs]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        header, rows = self.table()
        shown = [[f"{each:.4f}" if isinstance(each, float) else each for each in row] for row in rows]
        return html_table("ranking", header, shown)


def rank(
    name: str,
    progress: Progress,
    label: str | None = None,
    cache: str | None = None,
    digest: str | None = None,
) -> Ranking | PairRanking:
    """Measure every feature of a set that has one vector a sample; the best first.

    Of pairs of image and text it is also measured how well these find each other; where there are no labels, that
    alone.

    Raises
    ------
    ConfigError
        The set has no such feature, or no such label.
    DataError
        Train has fewer than two samples with a label, or all have the same.
    """
    features = Cache(cache).open_set(name, digest)
    if label is None and not features.label_names and pair_features(features):
        return rank_pairs(features, progress)
    column = features.label_column(label)
    refs = [ref for ref in features.features if ref.view is None and not is_ragged(ref.tap)]
    if not refs:
        raise ConfigError(
            f"set {name!r} has no feature with one vector a sample; extract a pooled tap, such as last.mean"
        )
    progress.begin("ranking", len(refs))
    try:
        ranked = []
        for ref in refs:
            ranked.append(_measure(features, ref, column))
            progress.advance(1)
    finally:
        progress.end()
    return Ranking(sorted(ranked, key=lambda one: (-one.loo, one.loo_error)))


def _measure(features: FeatureSet, ref: FeatureRef, column: str) -> Ranked:
    start = perf_counter()
    samples = features.mapped("train", display_tap(ref.tap), column, ref.backbone)
    task = open_task(samples.kind)
    rows = np.flatnonzero(task.known(samples.y))
    X = ChosenRows(samples, rows)
    Y = task.indicators(samples.y[rows], len(samples.names))
    if len(rows) < 2 or not np.ptp(Y, axis=0).any():
        raise DataError(
            f"set {features.name!r} has {len(rows):,} train samples with a label in {column!r}, and "
            f"{'all have the same' if len(rows) > 1 else 'a ranking needs two or more'}"
        )
    Y = Y[:, np.ptp(Y, axis=0) > 0]  # a class that train lacks has no evidence
    path, left_out = leave_one_out(Design.standardised(X), Y)
    k = min(N_NEIGHBOURS, len(rows) - 1)
    near = nearest(
        X, X, k, mean_of(X), np.arange(len(rows)), ranks(keys_from_arrow(samples.table.column("key")))[rows]
    )
    [voted] = votes(near, Y, Y.shape[1], [k])
    return Ranked(
        backbone=ref.backbone,
        tap=display_tap(ref.tap),
        space=ref.space,
        width=samples.shape[1],
        n=len(rows),
        metric=task.indicator_score,
        loo=task.score(Y, left_out),
        loo_error=float(path.errors[path.best]),
        alpha=path.alpha,
        logme=logme(X, Y),
        knn=task.score(Y, voted),
        seconds=perf_counter() - start,
        pairs=pair_figures(features, ref, "train") if ref in pair_features(features) else None,
    )


def logme(X: Rows, Y: NDArray[Any]) -> float:
    """The logarithm of maximum evidence, per sample and mean over the targets (N, T); larger is better.

    For each target the evidence of Bayesian linear regression on rows (N, D) as they are is maximised over the
    precision of the weights and of the noise (You et al., "LogME: Practical Assessment of Pre-trained Models for
    Transfer Learning", 2021), by their fixed point. Everything follows from the Gram matrix, so rows are read once,
    in blocks.
    """
    spectrum, projected = _decompose(X, Y)
    squares = np.square(Y).sum(axis=0)
    evidences = [_maximum_evidence(spectrum, projected[:, t], squares[t], len(Y)) for t in range(Y.shape[1])]
    return float(np.mean(evidences))


def log_evidence(
    spectrum: NDArray[np.float64],
    projected: NDArray[np.float64],
    rest: float,
    n: int,
    alpha: float,
    beta: float,
) -> float:
    """The log evidence of one target, per sample, with weights of precision alpha and noise of precision beta.

    Of the eigenvalues of the Gram matrix that are not 0 (R,), the square of the target's component along each axis in
    the space of the n samples (R,), and the square of what of the target no features reach.
    """
    misfit, weights = _misfit(spectrum, projected, rest, alpha / beta)
    gain = n * np.log(beta / (2 * np.pi)) - np.log1p(beta / alpha * spectrum).sum()
    return float(0.5 * (gain - beta * misfit - alpha * weights) / n)


def _maximum_evidence(
    spectrum: NDArray[np.float64], projected: NDArray[np.float64], square: float, n: int
) -> float:
    rest = max(square - projected.sum(), 0.0)
    alpha = beta = 1.0
    for _ in range(N_ITERATIONS):
        ratio = alpha / beta
        effective = (spectrum / (spectrum + ratio)).sum()
        misfit, weights = _misfit(spectrum, projected, rest, ratio)
        alpha, beta = effective / (weights + 1e-5), (n - effective) / (misfit + 1e-5)
        if abs(alpha / beta - ratio) <= TOLERANCE * ratio:
            break
    return log_evidence(spectrum, projected, rest, n, alpha, beta)


def _misfit(
    spectrum: NDArray[np.float64], projected: NDArray[np.float64], rest: float, ratio: float
) -> tuple[float, float]:
    """The squared error of the most probable weights, and their squared length."""
    shrunk = spectrum + ratio
    misfit = float((projected * np.square(ratio / shrunk)).sum()) + rest
    return misfit, float((projected * spectrum / np.square(shrunk)).sum())


def _decompose(X: Rows, Y: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The spectrum (R,), and the squared components (R, T) of the targets in the space of the samples."""
    from scipy.linalg import eigh

    n, width = X.shape
    if n < width:
        rows = X[:].astype(np.float64)
        values, vectors = eigh(rows @ rows.T, driver="evd")
        kept = _above_rounding(values)
        return values[kept], np.square(vectors[:, kept].T @ Y)
    gram, against = np.zeros((width, width)), np.zeros((width, Y.shape[1]))
    for place, block in in_blocks(X):
        rows = block.astype(np.float64)
        gram += rows.T @ rows
        against += rows.T @ Y[place]
    values, vectors = eigh(gram, driver="evd")
    kept = _above_rounding(values)
    return values[kept], np.square(vectors[:, kept].T @ against) / values[kept, None]


def _above_rounding(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    above: NDArray[np.bool_] = values > max(values.max(initial=0), 1e-300) * len(values) * 1e-15
    return above
