"""Where heads are trained, and by which seed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import ConfigError

if TYPE_CHECKING:
    import torch

GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""What the drivers of NVIDIA, of AMD and of Windows' Linux make: without any of them torch finds no GPU."""


def seed_of(random_state: Any) -> int:
    """A seed from what scikit-learn takes as ``random_state``; None: another one each time."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    return int(random_state)


def pick_device(name: str) -> torch.device:
    """The device of that name.

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
        reason = str(error).splitlines()[0]
        raise ConfigError(f"the device {name!r} cannot be used here ({reason}); give auto or cpu") from error
    return device


def pick_gpu(name: str) -> torch.device | None:
    """The device of that name where it is none of the CPU's; torch is imported only where one may be.

    Raises
    ------
    ConfigError
        There is no such device here.
    """
    if name == "cpu" or (name == "auto" and not may_have_gpu()):
        return None
    device = pick_device(name)
    return None if device.type == "cpu" else device


def may_have_gpu() -> bool:
    """Whether asking torch for a GPU is worth importing it."""
    return sys.platform != "darwin" and any(Path(node).exists() for node in GPU_NODES)
