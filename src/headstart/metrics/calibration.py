"""Are probabilities what they claim to be? Expected calibration error, and temperature scaling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.metrics.counts import Floats, ratio

BINS = 15
LOG_BOUNDS = (-10.0, 10.0)
"""Of the logarithm of a temperature."""
FLAT = 1e-6
"""A loss so much larger than another is none."""
MOST_STEPS, CLOSE = 60, 1e-10
"""Of the search for a temperature, and between the last two of its logarithms."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Confidence against accuracy in bins of equal width, whose upper edge is included; means of empty ones are 0."""

    edges: Floats
    n: Floats
    confidence: Floats
    accuracy: Floats

    @property
    def ece(self) -> float:
        """The expected calibration error: the mean gap of confidence and accuracy, weighted by n."""
        return float((self.n * np.abs(self.confidence - self.accuracy)).sum() / self.n.sum())


def reliability(confidence: NDArray[Any], is_right: NDArray[Any], bins: int = BINS) -> Reliability:
    """Bin samples (N,) by the probability of the predicted class, in [0, 1].

    After Guo et al., On Calibration of Modern Neural Networks (2017).

    Examples
    --------
    >>> round(reliability(np.array([0.9, 0.9, 0.6]), np.array([True, False, True]), bins=10).ece, 3)
    0.4
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.intp) - 1, 0, bins - 1)
    n = np.bincount(bin_of, minlength=bins).astype(np.float64)
    sums = (np.bincount(bin_of, values, minlength=bins) for values in (confidence, is_right))
    mean_confidence, accuracy = (ratio(total, n) for total in sums)
    return Reliability(np.linspace(0, 1, bins + 1), n, mean_confidence, accuracy)


def fit_temperature(logits: NDArray[Any], codes: NDArray[Any]) -> float:
    """The temperature T that makes ``softmax(logits / T)`` most likely; T > 1 makes a head humbler.

    Fit it on validation data. Predictions stay what they are.

    Parameters
    ----------
    logits : ndarray of float
        (N, C); or (N,) for two classes: how far the second is ahead; or (N, L) of a multi-label head.
    codes : ndarray of int
        (N,): columns of ``logits``, -1 for a class that the head does not know (such rows are left
        out); or 0/1 of (N, L), multi-label.

    Returns
    -------
    float
        1 where there is nothing to fit on, no row is wrong, or nothing between the bounds fits best, see
        `why_uncalibrated`.
    """
    return _fit(logits, codes)[0]


def why_uncalibrated(logits: NDArray[Any], codes: NDArray[Any]) -> str | None:
    """Why the temperature of the same was left at 1; None if it was fitted.

    Examples
    --------
    >>> why_uncalibrated(np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([0, 1]))
    'none of the 2 validation samples is predicted wrongly, so that nothing says how sure the head may be'
    """
    return _fit(logits, codes)[1]


def _fit(logits: NDArray[Any], codes: NDArray[Any]) -> tuple[float, str | None]:
    logits, codes = np.asarray(logits, dtype=np.float64), np.asarray(codes)
    if codes.ndim == 1:
        logits, codes = logits[codes >= 0], codes[codes >= 0]
    if logits.size == 0:
        return 1.0, "there are no validation samples to fit it on"
    # Where no row is wrong, the likeliest temperature is 0: the first mistake on other data would then
    # be a mistake with certainty.
    if _all_right(logits, codes):
        return 1.0, (
            f"none of the {len(logits):,} validation samples is predicted wrongly, so that nothing says how sure the "
            "head may be"
        )
    excludes = logits.ndim == 2 and codes.ndim == 1
    loss_of, slope_of = (_softmax_loss, _softmax_slope) if excludes else (_sigmoid_loss, _sigmoid_slope)

    def loss(log_t: float) -> float:
        return loss_of(logits * np.exp(-log_t), codes)

    found = -_least(lambda log_b: slope_of(logits, codes, np.exp(log_b)))
    # Far out the loss is flat, and the search ends anywhere on it.
    for bound, said in zip(LOG_BOUNDS, ("as sure as can be", "know nothing"), strict=True):
        if loss(bound) <= loss(found) + FLAT:
            return 1.0, (
                f"the temperature that fits the {len(logits):,} validation samples best lies at its bound: the head "
                f"would {said}"
            )
    return float(np.exp(found)), None


def likeliest_factor(logits: Floats, codes: NDArray[Any], log_bounds: tuple[float, float]) -> float:
    """The factor of logits (N, C) at which the classes (N,) are likeliest, between bounds of its logarithm."""
    return float(np.exp(_least(lambda log_b: _softmax_slope(logits, codes, np.exp(log_b)), log_bounds)))


def _least(
    slopes: Callable[[float], tuple[float, float]], log_bounds: tuple[float, float] = LOG_BOUNDS
) -> float:
    """The logarithm of the factor at which a convex loss is least, by Newton's steps within a shrinking bracket.

    ``slopes`` gives its first and second derivative by the factor. Importing scipy.optimize takes longer than this.
    """
    low, high = log_bounds
    at = 0.0
    for _ in range(MOST_STEPS):
        slope, curvature = slopes(at)
        low, high = (low, at) if slope > 0 else (at, high)
        factor = np.exp(at)
        step = factor - slope / curvature if curvature > 0 else 0.0
        wanted = np.log(step) if step > 0 else -np.inf
        # Inclusive: where a step is nothing it has converged, and halving the bracket would lead away from there.
        before, at = at, float(wanted) if low <= wanted <= high else (low + high) / 2
        if abs(at - before) < CLOSE:
            break
    return at


def probabilities_at(logits: NDArray[Any], temperature: float = 1.0, multi: bool = False) -> NDArray[Any]:
    """Probabilities at a temperature.

    Parameters
    ----------
    logits : ndarray of float, shape (N, C), (N,) for two classes, or (N, L)
    temperature : float
        In (0, inf).
    multi : bool
        Each column is a question of its own.

    Returns
    -------
    ndarray, shape (N, C), (N, 2) or (N, L), of the dtype of the logits
    """
    scaled = logits / logits.dtype.type(temperature)
    if multi:
        return _sigmoid(scaled)
    if scaled.ndim == 1:
        return np.stack([_sigmoid(-scaled), _sigmoid(scaled)], axis=1)
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: NDArray[Any] = raised / raised.sum(axis=1, keepdims=True)
    return probabilities


def _all_right(logits: Floats, codes: NDArray[Any]) -> bool:
    if logits.shape == codes.shape:
        return bool(((logits > 0) == (codes > 0)).all())
    return bool((logits.argmax(axis=1) == codes).all())


def _sigmoid(z: NDArray[Any]) -> NDArray[Any]:
    # By tanh, which overflows for no z.
    values: NDArray[Any] = (0.5 * (1 + np.tanh(0.5 * z))).astype(z.dtype)
    return values


def _softmax_loss(logits: Floats, codes: NDArray[Any]) -> float:
    top = logits.max(axis=1)
    log_sum = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return float((log_sum - logits[np.arange(len(codes)), codes]).mean())


def _softmax_slope(logits: Floats, codes: NDArray[Any], factor: float) -> tuple[float, float]:
    """The derivatives of the loss by a factor of the logits: means and variances of the logits of a row."""
    raised = np.exp(factor * (logits - logits.max(axis=1, keepdims=True)))
    likely = raised / raised.sum(axis=1, keepdims=True)
    mean = (likely * logits).sum(axis=1)
    variance = (likely * (logits - mean[:, None]) ** 2).sum(axis=1)
    return float((mean - logits[np.arange(len(codes)), codes]).mean()), float(variance.mean())


def _sigmoid_slope(logits: Floats, codes: NDArray[Any], factor: float) -> tuple[float, float]:
    likely = _sigmoid(factor * logits)
    slope = ((likely - (codes > 0)) * logits).mean()
    return float(slope), float((likely * (1 - likely) * logits**2).mean())


def _sigmoid_loss(logits: Floats, codes: NDArray[Any]) -> float:
    return float(np.logaddexp(0, np.where(codes > 0, -logits, logits)).mean())
