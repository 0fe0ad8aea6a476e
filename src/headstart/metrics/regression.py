"""The report of a head that gives each sample a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.metrics.counts import Floats, check_outputs, numbers
from headstart.metrics.intervals import Evidence
from headstart.metrics.resampling import RESAMPLES, Draws, resampled_figures, weights_of
from headstart.types import Judged

if TYPE_CHECKING:
    from headstart.groups import Groups
    from headstart.types import Json


def evaluate_regression(
    y_true: NDArray[Any],
    y_pred: NDArray[Any],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: Groups | None = None,
) -> dict[str, Json]:
    """Every figure of a regression, with 95 % intervals.

    Parameters
    ----------
    y_true, y_pred : ndarray of float, shape (N,)
    resamples, seed : int
        Of the bootstrap; 0 resamples leave intervals out.
    groups : Groups, optional
        Which samples belong together, and are resampled together.

    Returns
    -------
    dict
        Ready for JSON; None for what cannot be computed (R² and correlations of a constant).
        ``n``, ``n_groups`` of samples in groups, ``r2``, ``mae``, ``rmse``, ``pearson`` and ``spearman``;
        ``intervals`` for all but ``spearman`` (ranks change with every resample); None where the samples are too few,
        and why in ``no_interval``.

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
    check_outputs(len(truth), said)
    if truth.shape != said.shape:
        raise DataError(f"{truth.shape} true values and {said.shape} predictions: their shapes must agree")
    moments, of_ranks = _moments(truth, said), _moments(_ranks(truth), _ranks(said))
    figures = {**_figures(moments.mean(axis=0)), "spearman": _figures(of_ranks.mean(axis=0))["pearson"]}
    counts = {"n": len(truth)} if groups is None else {"n": len(truth), "n_groups": len(groups)}
    report: dict[str, Json] = {**counts, **numbers(figures)}
    if resamples:
        report |= Evidence.of(len(truth), groups).report(report, _resampled(moments, resamples, seed, groups))
    return report


def resampled_numbers(
    y_true: NDArray[Any], y_pred: NDArray[Any], resamples: int, seed: int, groups: Groups | None = None
) -> dict[str, Floats]:
    """Every figure that has an interval on resamples, (B,) each."""
    return _resampled(_moments(y_true, y_pred), resamples, seed, groups)


def _resampled(moments: Floats, resamples: int, seed: int, groups: Groups | None) -> dict[str, Floats]:
    def figures(draws: Draws) -> dict[str, Floats]:
        return _figures(weights_of(draws) @ moments / len(moments))

    return resampled_figures(len(moments), figures, resamples, seed, groups)


def judge_numbers(truth: NDArray[Any], said: NDArray[Any], groups: Groups | None = None) -> Judged:
    """Of numbers (N,): ``mae``, ``rmse`` and ``r2``."""
    moments = _moments(truth, said)

    def figures(means: Floats) -> dict[str, Floats]:
        found = _figures(means)
        return {name: found[name] for name in ("mae", "rmse", "r2")}

    plain = {name: float(value) for name, value in figures(moments.mean(axis=0)).items()}
    return Judged(
        plain,
        lambda draws: figures(weights_of(draws) @ moments / len(moments)),
        evidence=Evidence.of(len(moments), groups),
    )


def _moments(truth: Floats, said: Floats) -> Floats:
    """What every figure is made of, by sample: (N, 7)."""
    # Centred: else the variance of values far from 0 drowns in rounding.
    a, b, error = truth - truth.mean(axis=0), said - said.mean(axis=0), said - truth
    return np.stack([a, b, a * a, b * b, a * b, error**2, np.abs(error)], axis=1)


def _figures(moments: Floats) -> dict[str, Floats]:
    """R², errors and correlation from mean moments (..., 7), each (...)."""
    a, b, aa, bb, ab, squared, absolute = np.moveaxis(moments, -1, 0)
    # A variance that is rounding only is none.
    var_a, var_b = (
        np.where(variance > 1e-12 * square, variance, np.nan)
        for variance, square in ((aa - a * a, aa), (bb - b * b, bb))
    )
    return {
        "r2": 1 - squared / var_a,
        "mae": absolute,
        "rmse": np.sqrt(squared),
        "pearson": (ab - a * b) / np.sqrt(var_a * var_b),
    }


def _ranks(values: Floats) -> Floats:
    """The rank of each value; equal ones share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    shared: Floats = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return shared
