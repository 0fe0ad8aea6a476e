"""Where networks run and heads are fitted, and by which seed.

Heads compute with arrays of numpy on the CPU and of torch on a GPU, by the same code: what is written in the array
API standard runs on both (`array_api_compat.array_namespace`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from headstart.errors import ConfigError, first_line

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Array: TypeAlias = Any
"""An array of numpy or a tensor of torch."""
GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""What the drivers of NVIDIA, of AMD and of Windows' Linux make: without any of them torch finds no GPU."""


def seed_of(random_state: Any) -> int:
    """A seed from what scikit-learn takes as ``random_state``; of None another one each time."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    return int(random_state)


def pick_device(name: str) -> torch.device:
    """The torch device that ``auto`` means here, or the one asked for.

    Raises
    ------
    ConfigError
        There is no such device here.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = first_line(error)
        raise ConfigError(f"device {name!r} cannot be used here ({reason}); try --device auto") from error
    return device


def pick_gpu(name: str) -> torch.device | None:
    """The same, if it is none of the CPU's; torch is imported only where asking it for a GPU is worth that."""
    if name == "cpu":
        return None
    if name == "auto" and (sys.platform == "darwin" or not any(Path(node).exists() for node in GPU_NODES)):
        return None
    device = pick_device(name)
    return None if device.type == "cpu" else device


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
