"""Arrays where they are computed with: of numpy on the CPU, of torch on a GPU, by the same code.

What is written in the array API standard runs on both (`array_api_compat.array_namespace`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Array: TypeAlias = Any
"""An array of numpy or a tensor of torch."""


def moved(array: NDArray[Any], gpu: torch.device | None) -> Array:
    """The array itself, or a tensor on the GPU."""
    if gpu is None:
        return array
    import torch

    # A copy in any case: blocks are read into memory that the next one overwrites.
    return torch.from_numpy(np.ascontiguousarray(array)).to(gpu, copy=True)


def fetched(array: Array) -> NDArray[Any]:
    """What lies anywhere as an array of numpy."""
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()
