"""What a converted model gives: an output for each layer and pooling, and how the taps are read from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.pooling import FINAL, TOKENS, UNIT, WHOLE, is_ragged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.types import BackboneInfo, Read

MASK = "mask"
TOLERANCE = 1e-5
"""Of a vector's largest value: how far the features of a converted model may be from torch's."""
TINY = np.float32(1e-12)  # as `torch.nn.functional.normalize`


def offered(info: BackboneInfo) -> list[str]:
    """The names of all outputs that a backbone may have, as ``<layer>.<pooling>`` or what it pools by itself.

    ``<layer>.tokens`` is every position, (B, T, D), and ``<layer>.mask`` says which of them are no padding, (B, T).
    """
    plain = [tap.removesuffix(UNIT) for tap in info.taps]
    whole = [tap for tap in plain if tap in WHOLE]
    poolings = [name for tap in plain if tap not in WHOLE for name in tap.partition(".")[2].split("+")]
    last = info.n_layers if info.closing_norm else info.n_layers - 1  # else it is ``final``
    numbers = map(str, range(info.first_layer, last + 1)) if info.n_layers else ()
    names = dict.fromkeys([*(name for name in poolings if name != TOKENS), TOKENS, MASK]) if poolings else {}
    lacking = {f"{number}.{name}" for number in range(last + 1) for name in info.layers_lack}
    every = [f"{layer}.{name}" for layer in (FINAL, *numbers) for name in names]
    return [*dict.fromkeys(whole), *(name for name in every if name not in lacking)]


def needed(tap: str) -> list[str]:
    """The outputs that a canonical tap is read from; its mask besides, where there is one.

    Examples
    --------
    >>> needed("final.cls+mean.l2"), needed("pooler"), needed("3.tokens")
    (['final.cls', 'final.mean'], ['pooler'], ['3.tokens'])
    """
    layer, _, poolings = tap.removesuffix(UNIT).partition(".")
    return [f"{layer}.{name}" for name in poolings.split("+")] if poolings else [layer]


def mask_of(tap: str) -> str | None:
    """The output that says which positions a ragged tap keeps; None of a tap that is one vector."""
    return f"{tap.partition('.')[0]}.{MASK}" if is_ragged(tap) else None


def read(tap: str, found: Mapping[str, NDArray[Any]]) -> Read:
    """What a tap reads of outputs, in memory of its own."""
    if is_ragged(tap):
        values, lengths = _positions(found[needed(tap)[0]], found.get(str(mask_of(tap))))
    else:
        parts = [found[name].reshape(len(found[name]), -1) for name in needed(tap)]
        values, lengths = np.concatenate(parts, axis=1, dtype=np.float32), None
    if tap.endswith(UNIT):
        values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), TINY)
    return values, lengths


def _positions(
    hidden: NDArray[Any], mask: NDArray[Any] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    n, length, width = hidden.shape
    if mask is None:
        return np.array(hidden.reshape(-1, width), dtype=np.float32), np.full(n, length, dtype=np.int64)
    kept = mask > 0
    return hidden[kept].astype(np.float32, copy=False), kept.sum(axis=1).astype(np.int64)


def largest_error(found: NDArray[Any], expected: NDArray[Any], mask: NDArray[Any] | None = None) -> float:
    """How far vectors are from others, in parts of the largest value of each; infinite where shapes differ or NaN is.

    Parameters
    ----------
    found, expected : ndarray, shape (..., D)
    mask : ndarray, shape (...), optional
        Above 0 where a vector counts.
    """
    if found.shape != expected.shape:
        return float("inf")
    if mask is not None:
        found, expected = found[mask > 0], expected[mask > 0]
    width = expected.shape[-1] if expected.ndim > 1 else 1
    found, expected = found.reshape(-1, width), expected.reshape(-1, width)
    error, largest = np.abs(found - expected).max(axis=1), np.abs(expected).max(axis=1)
    share = error / np.maximum(largest, np.finfo(np.float32).tiny)
    return float(share.max(initial=0.0)) if np.isfinite(share).all() else float("inf")
