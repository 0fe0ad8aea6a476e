"""A run: what was fitted, how well it does, and all that is needed to use or repeat it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pyarrow.parquet as pq

from headstart.errors import ConfigError, DataError, StorageError
from headstart.files import (
    make_directory,
    read_json,
    write_durably,
    write_folder,
    write_json,
)
from headstart.registry.card import model_card

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.heads.predictor import Predictor
    from headstart.plots import Plot
    from headstart.plots.studio import Drawn
    from headstart.types import Json

Draw: TypeAlias = "Callable[[Mapping[str, Plot]], Drawn]"

MODEL_DIR, BACKBONE_DIR = "model", "backbone"
IN_RUN = "@run"
"""Stands for the folder of a tuned backbone in ``features.json``: a run may be moved."""


@dataclass(frozen=True)
class RunRecord:
    """The content of a run directory.

    Parameters
    ----------
    config : str
        The resolved configuration as YAML; loading it repeats the run.
    report : dict
        ``metrics.<split>.<name>``, ``timings`` in seconds, ``cost`` in bytes and parameters,
        ``provenance``.
    labels : dict
        The label column, its names in order, and the classes that the head knows.
    features : dict
        Set, space, recipe, backbone and its options.
    environment : dict
        Versions and machine.
    history : sequence of dict
        One entry an epoch, or one for the whole fit.
    predictions, split : pyarrow.Table
    predictor : Predictor
        The head in memory.
    plots : mapping of str to Plot
        By name; each is written as PNG and as SVG.
    save_model : callable, optional
        Writes the model into a folder; None if the predictor is all of it.
    """

    config: str
    report: Mapping[str, Json]
    labels: Mapping[str, Json]
    features: Mapping[str, Json]
    environment: Mapping[str, Json]
    history: Sequence[Mapping[str, Json]]
    predictions: pa.Table
    split: pa.Table
    predictor: Predictor
    plots: Mapping[str, Plot] = field(default_factory=dict)
    save_model: Callable[[Path], None] | None = None

    def save(self, path: str | os.PathLike[str], overwrite: bool = False, draw: Draw | None = None) -> Path:
        """Write the run directory, whole or not at all.

        Parameters
        ----------
        path : path
        overwrite : bool
        draw : callable
            From plots by name to the bytes of their files; None: they are drawn in this process.

        Raises
        ------
        ConfigError
            The directory is not empty, and ``overwrite`` was not said.
        StorageError
            It cannot be written; what was there before is as it was.
        """
        target = Path(path)
        check_free(target, overwrite)
        write_folder(target, lambda folder: self._write(folder, draw or _draw_here))
        return target

    def _write(self, folder: Path, draw: Draw) -> None:
        write_durably(folder / "config.yaml", self.config.encode("utf-8"))
        for name in ("report", "labels", "features", "environment"):
            write_json(folder / f"{name}.json", getattr(self, name))
        lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in self.history)
        write_durably(folder / "metrics.jsonl", lines.encode("utf-8"))
        for name, table in (("predictions", self.predictions), ("split", self.split)):
            write_durably(folder / f"{name}.parquet", parquet_bytes(table))
        make_directory(folder / MODEL_DIR)
        (self.save_model or self.predictor.save)(folder / MODEL_DIR)
        make_directory(folder / "plots")
        for name, (png, svg) in draw(self.plots).items():
            write_durably(folder / "plots" / f"{name}.png", png)
            write_durably(folder / "plots" / f"{name}.svg", svg)
        card = model_card(self.report, self.labels, self.features, list(self.plots))
        write_durably(folder / "README.md", card.encode("utf-8"))


def _draw_here(plots: Mapping[str, Plot]) -> Drawn:
    from headstart.plots.studio import draw_here

    return draw_here(plots)


@dataclass(frozen=True)
class SavedRun:
    """What of a run directory is needed to predict.

    Parameters
    ----------
    path : Path
    report, labels, features : dict
        See `RunRecord`.
    """

    path: Path
    report: Mapping[str, Json]
    labels: Mapping[str, Json]
    features: Mapping[str, Json]


def load_run(path: str | os.PathLike[str]) -> SavedRun:
    """Open a run directory.

    Raises
    ------
    DataError
        It is not one.
    StorageError
        One of its files is broken.
    """
    folder = Path(path)
    try:
        report, labels, features = (
            read_json(folder / f"{name}.json") for name in ("report", "labels", "features")
        )
    except OSError as error:
        raise DataError(
            f"{folder} is not a run directory ({Path(error.filename or '').name} cannot be read); "
            "`headstart fit-head SET --out RUN` makes one"
        ) from error
    _check_whole(folder / "labels.json", labels, ("column", "names", "classes"))
    _check_whole(folder / "features.json", features, ("backbone", "tap", "space", "modality", "recipe"))
    return SavedRun(folder, report, labels, _placed(features, folder))


def _placed(features: Mapping[str, Json], folder: Path) -> Mapping[str, Json]:
    """With the full path of a backbone that lies in the run itself."""
    return place_backbone(features, folder / MODEL_DIR / BACKBONE_DIR)


def place_backbone(features: Mapping[str, Json], folder: Path) -> dict[str, Json]:
    """What ``features.json`` says, with the folder that a backbone of the run's own lies in."""
    where = str(folder.resolve())
    options = dict(features.get("options", {}))
    if str(options.get("weights", "")).startswith(f"{IN_RUN}/"):
        options["weights"] = where + str(options["weights"])[len(IN_RUN) :]
    located = str(features.get("located", features["backbone"]))
    kind, _, place = located.partition(":")
    return {**features, "located": f"{kind}:{where}" if place == IN_RUN else located, "options": options}


def _check_whole(path: Path, value: Json, names: Sequence[str]) -> None:
    missing = [name for name in names if not isinstance(value, dict) or name not in value]
    if missing:
        raise StorageError(f"{path} lacks {missing[0]!r}; restore it, or fit the head again")


def check_free(target: Path, overwrite: bool, mark: str = "report.json", what: str = "a run") -> None:
    """Refuse a directory that holds something, before any work is done.

    Parameters
    ----------
    target : Path
    overwrite : bool
        Whether it may be replaced, if it is what would be written.
    mark, what : str
        The file that it is known by, and what it then is.
    """
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{target} is a file; --out takes a directory")
    if target.is_dir() and any(target.iterdir()):
        if not overwrite:
            raise ConfigError(f"{target} is not empty; choose another --out, or pass --overwrite")
        if not (target / mark).exists():
            raise ConfigError(f"{target} holds something else than {what}, and is not overwritten")


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
