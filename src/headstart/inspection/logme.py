"""LogME: how well a linear model on features could explain the labels, without training one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.heads.rows import in_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.heads.rows import Rows

N_ITERATIONS = 100
TOLERANCE = 1e-6


def logme(X: Rows, Y: NDArray[Any]) -> float:
    """The logarithm of maximum evidence, per sample and mean over the targets; larger is better.

    For each target the evidence of Bayesian linear regression is maximised over the precision of the weights and
    of the noise (You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", 2021), by
    their fixed point. Everything follows from the Gram matrix, so rows are read once, in blocks.

    Parameters
    ----------
    X : Rows, shape (N, D)
        As they are: neither centred nor scaled.
    Y : ndarray of shape (N, T)
        Targets: an indicator of the classes, or numbers.
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

    Parameters
    ----------
    spectrum : ndarray of shape (R,)
        The eigenvalues of the Gram matrix that are not 0.
    projected : ndarray of shape (R,)
        The square of the target's component along each axis, in the space of the samples.
    rest : float
        The square of what of the target no features reach.
    n : int
        Samples.
    alpha, beta : float
        In (0, inf).
    """
    misfit, weights = _misfit(spectrum, projected, rest, alpha / beta)
    return float(
        0.5
        * (
            -np.log1p(beta / alpha * spectrum).sum()
            + n * np.log(beta / (2 * np.pi))
            - beta * misfit
            - alpha * weights
        )
        / n
    )


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
