"""A training's state in one safetensors file, so that it can be taken up where it was."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from headstart.errors import StorageError
from headstart.files import write_durably

EVERY_SECONDS = 2.0
SHARE = 0.02
"""The most of the time that goes into writing."""
STATE = "state"


class Checkpoint:
    """Where a training keeps its state, and how often.

    Parameters
    ----------
    path : Path
        A file in a folder that exists.
    every : float
        Seconds between two of them, more where writing takes long; 0: after each epoch.
    """

    def __init__(self, path: Path, every: float = EVERY_SECONDS) -> None:
        self.path = path
        self._every = every
        self._last = time.monotonic()
        self._pause = every

    @property
    def is_due(self) -> bool:
        """Whether so much time has passed."""
        return time.monotonic() - self._last >= self._pause

    def write(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Replace what was there."""
        content = save({n: t.contiguous() for n, t in tensors.items()}, metadata={STATE: json.dumps(plain)})
        start = time.monotonic()
        write_durably(self.path, content)
        self._last = time.monotonic()
        self._pause = self._every and max(self._every, (self._last - start) / SHARE)

    def read(self, identity: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was written; None: nothing, or the state of another training.

        Parameters
        ----------
        identity : str
            Says what is trained on what; see `Trainer`.

        Raises
        ------
        StorageError
            It cannot be read.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                plain = json.loads((file.metadata() or {})[STATE])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise StorageError(
                f"{self.path} holds no state of a training ({error}); delete it to train from the start"
            ) from error
        return (tensors, plain) if plain.get("identity") == identity else None
