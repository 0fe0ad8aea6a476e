"""The headline figures of one run's predictions, in a form that several runs can be resampled together in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.metrics.calibration import reliability
from headstart.metrics.counts import Counts, Floats, averages, single_figures
from headstart.metrics.regression import figures_of, moments_of
from headstart.metrics.resampling import weights_of
from headstart.metrics.single import Outcome
from headstart.types import Judged

SMALLEST = float(np.finfo(np.float64).eps)
"""What a true class costs at most: the negative logarithm of this."""


def judge_classes(
    true: NDArray[np.str_],
    predicted: NDArray[np.str_],
    p_true: NDArray[Any],
    confidence: NDArray[Any],
    names: Sequence[str] = (),
) -> Judged:
    """Of one label a sample: ``accuracy``, ``macro_f1``, ``log_loss``, and ``ece``, which has no interval.

    Parameters
    ----------
    true, predicted : ndarray of str, shape (N,)
    p_true : ndarray of float, shape (N,)
        The probability of the true class; 0 of one that the run does not know.
    confidence : ndarray of float, shape (N,)
        The largest probability.
    names : sequence of str
        All classes; a macro average is over those that occur.

    Examples
    --------
    >>> y = np.array(["cat", "dog"])
    >>> judge_classes(y, np.array(["cat", "cat"]), np.array([0.9, 0.4]), np.array([0.9, 0.6])).figures["accuracy"]
    0.5
    """
    outcome = Outcome.of(true, predicted, names)
    losses = -np.log(np.clip(np.asarray(p_true, dtype=np.float64), SMALLEST, 1))
    is_right = outcome.true == outcome.predicted

    def figures(counts: Counts, log_loss: Any) -> dict[str, Any]:
        all_of_them = single_figures(counts)
        return {**{name: all_of_them[name] for name in ("accuracy", "macro_f1")}, "log_loss": log_loss}

    plain = figures(outcome.counts, losses.mean())
    ece = reliability(np.asarray(confidence, dtype=np.float64), is_right).ece
    return Judged(
        {**{name: float(value) for name, value in plain.items()}, "ece": float(ece)},
        lambda draws: figures(outcome.resampled(draws), losses[draws].mean(axis=1)),
        is_right,
    )


def judge_labels(truth: NDArray[np.bool_], probabilities: NDArray[Any], threshold: float = 0.5) -> Judged:
    """Of several labels a sample: ``accuracy`` (all of a sample's labels right), two F1 and ``log_loss``.

    Parameters
    ----------
    truth : ndarray of bool, shape (N, L)
    probabilities : ndarray of float, shape (N, L)
    threshold : float
        A label is predicted where its probability is above.
    """
    said = probabilities > threshold
    p = np.clip(np.where(truth, probabilities, 1 - probabilities.astype(np.float64)), SMALLEST, 1)
    is_right = (truth == said).all(axis=1)
    means = np.stack([is_right, -np.log(p).mean(axis=1)], axis=1)
    # Whole numbers below 2**24 are exact in float32, and multiply twice as fast.
    cells = np.concatenate([truth & said, said, truth], axis=1).astype(np.float32)
    every = np.ones(truth.shape[1], dtype=bool)

    def figures(weights: Floats) -> dict[str, Floats]:
        sums = (weights.astype(np.float32) @ cells).astype(np.float64)
        f1 = averages(Counts(*np.split(sums, 3, axis=1)), every)
        accuracy, log_loss = (weights @ means / len(truth)).T
        return {
            "accuracy": accuracy, "macro_f1": f1["macro_f1"], "micro_f1": f1["micro_f1"], "log_loss": log_loss
        }  # fmt: skip

    plain = {name: float(value[0]) for name, value in figures(np.ones((1, len(truth)))).items()}
    return Judged(plain, lambda draws: figures(weights_of(draws)), is_right)


def judge_numbers(truth: NDArray[Any], said: NDArray[Any]) -> Judged:
    """Of numbers: ``mae``, ``rmse`` and ``r2``.

    Parameters
    ----------
    truth, said : ndarray of float, shape (N,)
    """
    moments = moments_of(truth[:, None], said[:, None])
    flat = moments[..., 0]

    def figures(means: Floats) -> dict[str, Floats]:
        found = figures_of(means[..., None])
        return {name: found[name][..., 0] for name in ("mae", "rmse", "r2")}

    plain = {name: float(value) for name, value in figures(flat.mean(axis=0)).items()}
    return Judged(plain, lambda draws: figures(weights_of(draws) @ flat / len(flat)))
