"""Features as torch heads take them: in memory, on disk, or as sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.heads.scaling import standardise
from headstart.heads.sequences import are_sequences

if TYPE_CHECKING:
    import torch

    from headstart.training.examples import Examples


def is_stored(X: Any) -> bool:
    """Whether rows stay where they are until they are asked for."""
    if isinstance(X, ChosenRows):
        return True
    return hasattr(X, "batches") and hasattr(X, "shape")  # which an array, dense or sparse, has not both of


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


@dataclass(frozen=True)
class Chosen:
    """Some of the samples of features that stay where they are, or of sequences.

    Parameters
    ----------
    features : rows that stay on disk, or sequences
    rows : ndarray of int64
        Which of them, in which order.
    """

    features: Any
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, wanted: Any) -> NDArray[Any]:
        """Rows of these rows."""
        found: NDArray[Any] = self.features[self.rows[wanted]]
        return found


class ChosenRows(Chosen):
    """Some rows (N, D) that stay on disk."""

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return len(self), int(self.features.shape[1])


class ChosenSequences(Chosen):
    """Some sequences."""

    @property
    def width(self) -> int:
        """D."""
        return int(self.features.width)

    @property
    def longest(self) -> int:
        """The most vectors that any sequence has, chosen or not."""
        return int(self.features.longest)

    def padded(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """See `Sequences.padded`."""
        found: tuple[NDArray[np.float32], NDArray[np.bool_]] = self.features.padded(self.rows[rows])
        return found


def take_rows(X: Any, rows: NDArray[np.int64]) -> Any:
    """Some of the samples, whatever their features are."""
    if is_stored(X):
        return ChosenRows(X, rows)
    return ChosenSequences(X, rows) if are_sequences(X) else X[rows]
