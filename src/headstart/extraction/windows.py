"""Texts that are longer than a model takes, read in overlapping windows: one vector of those of all of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from headstart.backbones.pooling import UNIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headstart.extraction.batches import Item

TINY = 1e-12  # as `torch.nn.functional.normalize`


class WindowMeans:
    """Means over the windows of a text, weighted by their tokens; the windows may lie in several batches.

    The taps are read without ``.l2``, and what is scaled to length 1 is the mean. Lanes may use it at once.
    """

    def __init__(self, taps: Sequence[str]) -> None:
        self.taps = tuple(tap.removesuffix(UNIT) for tap in taps)
        self._are_unit = [tap.endswith(UNIT) for tap in taps]
        self._lock = threading.Lock()
        self._waiting: dict[tuple[int, int], dict[int, list[NDArray[np.float32]]]] = {}

    def join(
        self, items: Sequence[Item], values: Sequence[NDArray[np.float32]]
    ) -> tuple[list[Item], list[tuple[NDArray[np.float32], None]]]:
        """One item of each text that is whole now, and its vectors by tap; the others wait for the rest of theirs.

        ``values``: of each tap (B, D), for the items of a batch.
        """
        whole: list[Item] = []
        vectors: list[list[NDArray[np.float32]]] = []
        for row, item in enumerate(items):
            joined = self._joined(item, [of_tap[row] for of_tap in values])
            if joined is not None:
                whole.append(item)
                vectors.append(joined)
        if not whole:
            return [], []
        taps = (np.stack(of_tap) for of_tap in zip(*vectors, strict=True))
        return whole, [(_unit(v) if u else v, None) for v, u in zip(taps, self._are_unit, strict=True)]

    def _joined(self, item: Item, vectors: list[NDArray[np.float32]]) -> list[NDArray[np.float32]] | None:
        if item.window is None:
            return vectors
        number, windows = item.window
        with self._lock:
            parts = self._waiting.setdefault((item.position, item.view), {})
            parts[number] = vectors
            if len(parts) < len(windows.rows):
                return None
            del self._waiting[item.position, item.view]
        # In the order of the text, whichever came first: a sum of floats depends on it.
        weights = np.array(windows.weights, dtype=np.float64)
        in_order = [parts[place] for place in range(len(parts))]
        of_taps = zip(*in_order, strict=True)
        return [
            np.average(np.stack(of_tap), axis=0, weights=weights).astype(np.float32) for of_tap in of_taps
        ]


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = vectors / np.maximum(lengths, np.float32(TINY))
    return scaled
