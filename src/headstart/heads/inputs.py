"""Features as torch heads take them: in memory, on disk, or as sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.heads.scaling import standardise
from headstart.samples import are_sequences, is_stored

if TYPE_CHECKING:
    import torch

    from headstart.training.examples import Examples


def examples_of(
    features: Any,
    targets: NDArray[Any],
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
    device: torch.device,
    views: NDArray[np.float32] | None = None,
) -> Examples:
    """Examples on a device, standardised as they are read.

    Parameters
    ----------
    features : ndarray (N, D), rows that stay on disk, or Sequences
    targets : ndarray of N rows
        Codes, or float32.
    mean, scale : ndarray, shape (D,)
    device : torch.device
    views : ndarray of float32, shape (V, N, D), optional
        Standardised already.
    """
    import torch

    from headstart.training.examples import Ragged, Rows, StoredRows, as_tensor

    wanted = torch.from_numpy(np.ascontiguousarray(targets)).to(device)
    if are_sequences(features):
        return Ragged(features, wanted, as_tensor(mean, device), as_tensor(scale, device))
    if is_stored(features):
        return StoredRows(features, wanted, as_tensor(mean, device), as_tensor(scale, device))
    inputs = as_tensor(standardise(features, mean, scale), device)
    return Rows(inputs, wanted, None if views is None else torch.from_numpy(views).to(device))
