"""The report of a head that gives each sample a number, or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.metrics.counts import Floats, numbers
from headstart.metrics.resampling import RESAMPLES, Draws, percentile_intervals, weights_of

if TYPE_CHECKING:
    from headstart.types import Json


def evaluate_regression(
    y_true: NDArray[Any],
    y_pred: NDArray[Any],
    names: Sequence[str] = (),
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Json]:
    """Every figure of a regression, with 95 % intervals.

    Parameters
    ----------
    y_true, y_pred : ndarray of float, shape (N,) or (N, T)
    names : sequence of str, length T
        Of several targets; empty: "0", "1" and so on.
    resamples, seed : int
        Of the bootstrap; 0 resamples leave intervals out.

    Returns
    -------
    dict
        Ready for JSON; None for what cannot be computed (R² and correlations of a constant).
        ``n``, ``r2``, ``mae``, ``rmse``, ``pearson`` and ``spearman``, each the mean over targets;
        ``per_target`` {name: the same five} where there are several; ``intervals`` for all but
        ``spearman`` (ranks change with every resample).

    Raises
    ------
    DataError
        There is no sample, shapes differ, or a prediction is not finite.

    Examples
    --------
    >>> evaluate_regression(np.array([1.0, 2, 3]), np.array([1.0, 2, 4]))["mae"]
    0.3333333333333333
    """
    truth, said = (np.asarray(part, dtype=np.float64) for part in (y_true, y_pred))
    truth, said = (part[:, None] if part.ndim == 1 else part for part in (truth, said))
    _check(truth, said)
    each = {**figures_of(moments_of(truth, said).mean(axis=0)), "spearman": _spearman(truth, said)}
    report: dict[str, Json] = {"n": len(truth), **numbers({name: v.mean() for name, v in each.items()})}
    if truth.shape[1] > 1:
        names = names or [str(target) for target in range(truth.shape[1])]
        report["per_target"] = {
            name: numbers({figure: values[target] for figure, values in each.items()})
            for target, name in enumerate(names)
        }
    if resamples:
        report["intervals"] = _intervals(truth, said, resamples, seed)
    return report


def _check(truth: Floats, said: Floats) -> None:
    if len(truth) == 0:
        raise DataError("there are no samples to evaluate; is the split empty?")
    if truth.shape != said.shape:
        raise DataError(f"{truth.shape} true values and {said.shape} predictions: their shapes must agree")
    if not np.isfinite(said).all():
        raise DataError(
            "the head gives no number for some samples: its training diverged; lower the learning rate"
        )


def moments_of(truth: Floats, said: Floats) -> Floats:
    """What every figure is made of, by sample: (N, 7, T)."""
    # Centred: else the variance of values far from 0 drowns in rounding.
    a, b, error = truth - truth.mean(axis=0), said - said.mean(axis=0), said - truth
    return np.stack([a, b, a * a, b * b, a * b, error**2, np.abs(error)], axis=1)


def figures_of(moments: Floats) -> dict[str, Floats]:
    """R², errors and correlation from mean moments (..., 7, T), each (..., T)."""
    a, b, aa, bb, ab, squared, absolute = np.moveaxis(moments, -2, 0)
    var_a, var_b = _positive(aa - a * a, aa), _positive(bb - b * b, bb)
    return {
        "r2": 1 - squared / var_a,
        "mae": absolute,
        "rmse": np.sqrt(squared),
        "pearson": (ab - a * b) / np.sqrt(var_a * var_b),
    }


def _positive(variance: Floats, square: Floats) -> Floats:
    """A variance, NaN where it is rounding only."""
    return np.where(variance > 1e-12 * square, variance, np.nan)


def _intervals(truth: Floats, said: Floats, resamples: int, seed: int) -> dict[str, Json]:
    moments = moments_of(truth, said)
    n, shape = len(moments), moments.shape[1:]
    flat = moments.reshape(n, -1)

    def figures(draws: Draws) -> dict[str, Floats]:
        means = (weights_of(draws) @ flat / n).reshape(-1, *shape)
        return {name: values.mean(axis=-1) for name, values in figures_of(means).items()}

    return percentile_intervals(n, figures, resamples, seed)


def _spearman(truth: Floats, said: Floats) -> Floats:
    ranks = [np.apply_along_axis(_ranks, 0, part) for part in (truth, said)]
    return figures_of(moments_of(*ranks).mean(axis=0))["pearson"]


def _ranks(values: Floats) -> Floats:
    """The rank of each value; equal ones share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    shared: Floats = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return shared
