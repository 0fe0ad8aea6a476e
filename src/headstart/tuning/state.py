"""What an interrupted training left, and whether another one may go on with it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.config import ON_CLUSTER
from headstart.errors import ConfigError, StorageError
from headstart.files import make_directory, read_json, write_json
from headstart.registry.run import check_free
from headstart.registry.run_files import state_folder
from headstart.tuning.strategies import defaults_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from headstart.config import TuneConfig
    from headstart.types import Json

SETTINGS = "settings.json"
NO_LIKENESS = (
    "cache",
    "device",
    "workers",
    "track",
    "callback",
    "part_size",
    "format",
    "offline",
    "plots",
    "num_beams",
    "max_new_tokens",
    "engine",
    *ON_CLUSTER,
)
"""What may differ when a training is taken up."""


OF_CONTENT = ("set", "digest")
"""What is known of data in memory once it is extracted."""


def is_held(data: Any) -> bool:
    """Whether a program holds the data: no name and no path says what it is."""
    return not isinstance(data, str | os.PathLike)


def prepare_state(config: TuneConfig, target: Path, resume: bool, overwrite: bool) -> Path:
    """The folder of a training's state, after a look at what lies there and at the run itself.

    Refused are a run that is there already, an interrupted training that nobody asked to go on with or to replace, and
    one of other settings.
    """
    check_free(target, overwrite)
    make_directory(target.parent)
    state = state_folder(target)
    if state.is_symlink():
        raise ConfigError(f"{state} is a link, and no training writes through one; delete it")
    if state.exists() and resume:
        _check_loop(state)
        check_resumable(state, config, OF_CONTENT if is_held(config.data) else ())
    elif state.exists() and overwrite:
        shutil.rmtree(state)
    elif state.exists():
        raise ConfigError(
            f"{state} holds a training that was interrupted; --resume goes on with it, --overwrite begins anew"
        )
    return state


def settings_of(config: TuneConfig) -> dict[str, Json]:
    """What a training that is taken up must have been begun with."""
    values = config.model_dump(mode="json", exclude_none=True)
    likeness = {name: value for name, value in values.items() if name not in NO_LIKENESS}
    return {**likeness, "kept_by": defaults_of(config.strategy).kept_by}


def write_settings(folder: Path, config: TuneConfig) -> None:
    """Say of which training the state in a folder is."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SETTINGS, settings_of(config))


def check_resumable(folder: Path, config: TuneConfig, but: Collection[str] = ()) -> None:
    """Refuse to go on with a training of other settings; the message names the differences.

    ``but``: what is not known yet.
    """
    settings = settings_of(config)
    try:
        before = read_json(folder / SETTINGS)
    except OSError:
        return
    if not isinstance(before, dict):
        raise StorageError(
            f"{folder / SETTINGS} does not say which training this is; begin anew with --overwrite"
        )
    names = [
        name for name in {**before, **settings} if before.get(name) != settings.get(name) and name not in but
    ]
    if names:
        said = ", ".join(f"{name} was {before.get(name)!r} and is {settings.get(name)!r}" for name in names)
        raise ConfigError(
            f"--resume goes on with the training in {folder}, and its settings are others: {said}; repeat them, or "
            "begin anew with --overwrite"
        )


def _check_loop(folder: Path) -> None:
    """Refuse to go on with what an earlier version's loop left: checkpoints of transformers' Trainer."""
    if any(any(folder.rglob(name)) for name in ("history.json", "trainer_state.json")):
        raise ConfigError(
            f"{folder} was made by an earlier version's training loop, whose checkpoints this one does not read; "
            "begin anew with --overwrite"
        )
