"""Where torch heads are trained, and by which seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import ConfigError

if TYPE_CHECKING:
    import torch


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
