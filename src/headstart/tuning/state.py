"""What an interrupted training left, and whether another one may go on with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.errors import ConfigError
from headstart.files import read_json

SETTINGS = "settings.json"


def check_resumable(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse to go on with a training of other settings.

    Raises
    ------
    ConfigError
        The state in the folder is of another training; the message names the differences.
    """
    try:
        before = read_json(folder / SETTINGS)
    except OSError:
        return
    names = [name for name in {**before, **settings} if before.get(name) != settings.get(name)]
    if names:
        said = ", ".join(f"{name} was {before.get(name)!r} and is {settings.get(name)!r}" for name in names)
        raise ConfigError(
            f"--resume goes on with the training in {folder}, and its settings are others: {said}; repeat them, or "
            "begin anew with --overwrite"
        )


def check_loop(folder: Path) -> None:
    """Refuse to go on with what the training loop of an earlier version left.

    Raises
    ------
    ConfigError
        Its checkpoints are those of transformers' Trainer.
    """
    if any(any(folder.rglob(name)) for name in ("history.json", "trainer_state.json")):
        raise ConfigError(
            f"{folder} was made by an earlier version's training loop, whose checkpoints this one does not read; "
            "begin anew with --overwrite"
        )
