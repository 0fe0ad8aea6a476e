"""A training's state in one safetensors file, so that it can be taken up where it was."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from headstart.errors import StorageError
from headstart.files import partial_path, storage_errors, sync_directory

EVERY_SECONDS = 2.0
SHARE = 0.02
"""The most of the time that goes into writing."""
STATE = "state"


class Checkpoint:
    """Where a training keeps its state, in a folder that exists, and how often.

    ``every`` are the seconds between two writes, more where one takes long; 0: after each epoch. ``remedy`` is what a
    user does where the file cannot be read.
    """

    def __init__(
        self, path: Path, every: float = EVERY_SECONDS, remedy: str = "delete it to train from the start"
    ) -> None:
        self.path = path
        self._every = every
        self._remedy = remedy
        self._last = time.monotonic()
        self._pause = every

    @property
    def is_due(self) -> bool:
        """Whether so much time has passed."""
        return time.monotonic() - self._last >= self._pause

    def write(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Replace what was there."""
        start = time.monotonic()
        partial = partial_path(self.path)
        with storage_errors(self.path):
            try:
                given = {name: tensor.contiguous() for name, tensor in tensors.items()}
                partial.touch()
                mode = stat.S_IMODE(partial.stat().st_mode)  # safetensors writes for this user alone
                save_file(given, partial, metadata={STATE: json.dumps(plain)})
                partial.chmod(mode)
                with open(partial, "rb+") as file:
                    os.fsync(file.fileno())
                os.replace(partial, self.path)
            except SafetensorError as error:
                raise StorageError(f"cannot write {self.path}: {error}") from error
            finally:
                partial.unlink(missing_ok=True)
            sync_directory(self.path.parent)
        self._last = time.monotonic()
        self._pause = self._every and max(self._every, (self._last - start) / SHARE)

    def read(self, identity: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was written; None if it is nothing, or the state of a training of another identity."""
        plain = self.read_plain(identity)
        if plain is None:
            return None
        with self.readable(), safe_open(self.path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, plain  # noqa: SIM118

    def read_plain(self, identity: str) -> dict[str, Any] | None:
        """The same without its tensors."""
        if not self.path.exists():
            return None
        with self.readable(), safe_open(self.path, framework="pt") as file:
            plain: dict[str, Any] = json.loads((file.metadata() or {})[STATE])
            return plain if plain.get("identity") == identity else None

    @contextmanager
    def readable(self) -> Iterator[None]:
        """What fails inside for want of a whole and fitting file ends in one clear line."""
        try:
            yield
        except (
            SafetensorError,
            OSError,
            LookupError,
            ValueError,
            TypeError,
            AttributeError,
            RuntimeError,
        ) as error:
            raise StorageError(
                f"{self.path} holds no state of a training ({error}); {self._remedy}"
            ) from error
