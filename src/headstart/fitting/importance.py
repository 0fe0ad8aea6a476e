"""How much each of several features that lie side by side carries of what a head decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.pooling import display_tap
from headstart.errors import DataError
from headstart.heads.targets import SCORE, score
from headstart.metrics.permutation import block_importance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.types import FeatureRef, Json, LabelKind

    Predict = Callable[[NDArray[Any]], NDArray[Any]]

REPEATS = 10


def block_report(
    predict: Predict,
    X: NDArray[Any],
    y: NDArray[Any],
    blocks: Mapping[str, slice],
    seed: int,
    repeats: int = REPEATS,
) -> list[dict[str, Json]]:
    """Permutation importance of each block of columns, for a report; the most important first.

    Parameters
    ----------
    predict : callable
        Of rows (N, D), as they were before any preparation: what they are predicted to be, in the form of ``y``,
        or the probability of each class or label, such as `headstart.heads.predictor.Predictor.outputs`.
    X : ndarray of shape (N, D)
        Rows that the head was not fitted on, such as those of validation.
    y : ndarray
        Classes (N,), which are columns where probabilities are predicted; an indicator of labels (N, L), of
        integers; or numbers, of floats.
    blocks : mapping of str to slice
        Columns by name; see `blocks_of`.
    seed : int
        The same gives the same report.
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
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> y = (X[:, 3] > 0).astype(int)
    >>> report = block_report(lambda rows: rows[:, 3] > 0, X, y, {"first": slice(0, 2), "last": slice(2, 4)}, 0)
    >>> [(one["name"], one["score"], round(one["drop"], 1)) for one in report]
    [('last', 1.0, 0.5), ('first', 1.0, 0.0)]
    """
    if len(blocks) < 2 or len(X) < 2:
        return []
    if (width := max(block.stop for block in blocks.values())) > X.shape[1]:
        raise DataError(f"blocks of {width:,} columns are not those of rows of {X.shape[1]:,}")
    kind = _kind_of(y)
    found = block_importance(
        _Function(predict), X, y, blocks, repeats, seed, lambda true, said: _score(true, said, kind)
    )
    return [
        {
            "name": one.name,
            "n_columns": one.n_columns,
            "metric": SCORE[kind],
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


def _kind_of(y: NDArray[Any]) -> LabelKind:
    if np.issubdtype(y.dtype, np.floating):
        return "regression"
    return "single" if y.ndim == 1 else "multi"


def _score(y: NDArray[Any], said: NDArray[Any], kind: LabelKind) -> float:
    if kind == "single":  # not by `score`: classes may be names, and of those that training lacked no column
        return float(np.mean(y == (said if said.ndim == 1 else said.argmax(axis=1))))
    rows = len(y), -1
    return score(y.reshape(rows).astype(np.float64), said.reshape(rows).astype(np.float64), kind)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
