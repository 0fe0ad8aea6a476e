"""rank: which tap of which backbone suits a task, by figures that need no training."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.backbones.pooling import display_tap, is_ragged
from headstart.cache.store import Cache
from headstart.errors import ConfigError, DataError
from headstart.heads.neighbours import nearest, votes
from headstart.heads.ridge_path import Design, leave_one_out
from headstart.heads.rows import mean_of
from headstart.inspection.logme import logme
from headstart.keys import ranks
from headstart.samples import ChosenRows
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress
    from headstart.types import FeatureRef

N_NEIGHBOURS = 20


@dataclass(frozen=True, slots=True)
class Ranked:
    """How well one feature suits the task, measured on train alone.

    Parameters
    ----------
    width : int
        D.
    n : int
        Train samples that have the feature and a label.
    metric : str
        accuracy, micro_f1 or r2, by the kind of the labels.
    loo : float
        The metric of ridge regression, each sample predicted by a fit on all others.
    loo_error : float
        The mean squared error of the same; alpha is chosen by it.
    logme : float
        Per sample; larger is better.
    knn : float
        The metric of the 20 nearest others.
    seconds : float
        All of it, reading included.
    """

    backbone: str
    tap: str
    space: str
    width: int
    n: int
    metric: str
    loo: float
    loo_error: float
    alpha: float
    logme: float
    knn: float
    seconds: float


def rank(
    name: str,
    progress: Progress,
    label: str | None = None,
    cache: str | None = None,
    digest: str | None = None,
) -> list[Ranked]:
    """Measure every feature of a set that has one vector a sample; the best first.

    Parameters
    ----------
    name : str
        The set.
    progress : Progress
    label : str, optional
        Which label column; None: the first.
    cache, digest : str, optional

    Raises
    ------
    ConfigError
        The set has no such feature, or no such label.
    DataError
        Train has fewer than two samples with a label, or all have the same.
    """
    features = Cache(cache).open_set(name, digest)
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
    return sorted(ranked, key=lambda one: (-one.loo, one.loo_error))


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
    )
