"""How much each of several features that lie side by side carries of what a head decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.pooling import display_tap
from headstart.errors import DataError
from headstart.metrics.permutation import block_importance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Task
    from headstart.types import FeatureRef, Json

    Predict = Callable[[NDArray[Any]], NDArray[Any]]

REPEATS = 10


def block_report(
    predict: Predict,
    X: NDArray[Any],
    y: NDArray[Any],
    blocks: Mapping[str, slice],
    seed: int,
    task: Task,
    repeats: int = REPEATS,
) -> list[dict[str, Json]]:
    """Permutation importance of each block of columns, for a report; the most important first.

    Parameters
    ----------
    predict : callable
        Of rows (N, D), as they were before any preparation, their outputs, such as
        `headstart.heads.predictor.Predictor.outputs`.
    X : ndarray of shape (N, D)
        Rows that the head was not fitted on, such as those of validation.
    y : ndarray of shape (N, T)
        As `Task.indicators` gives them, a column for each output.
    blocks : mapping of str to slice
        Columns by name; see `blocks_of`.
    seed : int
        The same gives the same report.
    task : Task
        Gives the score.
    repeats : int
        Shuffles of each block, in [1, inf).

    Returns
    -------
    list of dict
        ``name``, ``n_columns``, ``metric`` (accuracy, micro_f1 or r2), ``score`` with all blocks intact, and what of
        it is lost without this one: ``drop``, the mean over ``repeats`` shuffles, and its ``deviation``. Empty
        where there is nothing to compare: less than two blocks, or two rows.

    Raises
    ------
    DataError
        The blocks are not those of the rows.

    Examples
    --------
    >>> from headstart.tasks import open_task
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> blocks = {"first": slice(0, 2), "last": slice(2, 4)}
    >>> report = block_report(lambda rows: rows[:, 3], X, X[:, 3:], blocks, 0, open_task("regression"))
    >>> [(one["name"], one["score"], round(one["drop"])) for one in report]
    [('last', 1.0, 2), ('first', 1.0, 0)]
    """
    if len(blocks) < 2 or len(X) < 2:
        return []
    if (width := max(block.stop for block in blocks.values())) > X.shape[1]:
        raise DataError(f"blocks of {width:,} columns are not those of rows of {X.shape[1]:,}")
    found = block_importance(_Function(predict), X, y, blocks, repeats, seed, task.score)
    return [
        {
            "name": one.name,
            "n_columns": one.n_columns,
            "metric": task.indicator_score,
            "score": _finite(one.intact),
            "drop": _finite(one.drop),
            "deviation": _finite(one.deviation),
            "repeats": repeats,
        }
        for one in found
    ]


def blocks_of(refs: Sequence[FeatureRef], widths: Sequence[int]) -> dict[str, slice]:
    """The columns of features that lie side by side, by what tells them apart: tap, backbone or both.

    Examples
    --------
    >>> from headstart.types import FeatureRef
    >>> refs = [FeatureRef("hf:a", "final.mean", "1"), FeatureRef("hf:a", "pooler", "2")]
    >>> blocks_of(refs, [384, 128])
    {'last.mean': slice(0, 384, None), 'pooler': slice(384, 512, None)}
    """
    taps, backbones = [display_tap(ref.tap) for ref in refs], [ref.backbone for ref in refs]
    both = [f"{backbone} {tap}" for backbone, tap in zip(backbones, taps, strict=True)]
    by_tap = taps if len(set(backbones)) == 1 else backbones if len(set(taps)) == 1 else both
    ends = np.cumsum([0, *widths]).tolist()
    names = [name if by_tap.count(name) == 1 else f"{name} {n}" for n, name in enumerate(by_tap, 1)]
    return {name: slice(ends[n], ends[n + 1]) for n, name in enumerate(names)}


@dataclass(frozen=True)
class _Function:
    """A function as `block_importance` takes heads."""

    predict: Predict


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
