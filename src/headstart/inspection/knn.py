"""Predictions by the nearest neighbours, each row without itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.inspection.neighbours import Neighbours

TEMPERATURE = 0.07


def vote(
    neighbours: Neighbours, targets: NDArray[Any], temperature: float = TEMPERATURE
) -> NDArray[np.float64]:
    """The mean of the neighbours' targets, weighted by ``exp(cosine / temperature)`` (Wu et al. 2018).

    Parameters
    ----------
    neighbours : Neighbours
        Of N queries among M rows.
    targets : ndarray of shape (M, T)
        Indicators of the classes, or numbers.
    temperature : float
        In (0, inf).

    Returns
    -------
    ndarray of shape (N, T)
    """
    known = np.isfinite(neighbours.cosine)
    nearness = np.where(known, neighbours.cosine, -np.inf) - neighbours.cosine[:, :1]
    weights = np.where(known, np.exp(nearness / temperature), 0.0)
    total = np.zeros((len(weights), targets.shape[1]))
    for place in range(weights.shape[1]):  # not at once: that would take N × k × T numbers
        total += weights[:, place, None] * targets[neighbours.row[:, place]]
    voted: NDArray[np.float64] = total / weights.sum(axis=1, keepdims=True)
    return voted
