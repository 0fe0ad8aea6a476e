"""A run: one fitted head or fine-tuned network with its report, in memory, saved, or opened again."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack, cast

from headstart.errors import ConfigError, DataError, StorageError
from headstart.files import make_directory, read_json, write_durably, write_files, write_folder, write_json
from headstart.notebook import html_facts, html_table
from headstart.places import expanded
from headstart.registry.card import model_card
from headstart.registry.run_files import PREDICTION_COLUMNS as PREDICTION_COLUMNS
from headstart.registry.run_files import PREDICTIONS as PREDICTIONS
from headstart.registry.run_files import check_free as check_free
from headstart.registry.run_files import nearest_folder as nearest_folder
from headstart.registry.run_files import of_split, read_predictions
from headstart.registry.run_files import parquet_bytes as parquet_bytes
from headstart.tasks import open_task
from headstart.trust import remember

if TYPE_CHECKING:
    import pyarrow as pa
    from torch.nn import Module

    from headstart.contracts import Head
    from headstart.heads.predictor import Predictor
    from headstart.plots import Plot
    from headstart.plots.studio import Draw
    from headstart.prediction_table import PredictionTable
    from headstart.registry.evaluations import RunEvaluation
    from headstart.types import Exported, Json, PlotFormat

MODEL_DIR, BACKBONE_DIR = "model", "backbone"
HEAD = "head"
"""What the method of a head on cached features is called."""
IN_RUN = "@run"
"""Stands for the folder of a tuned backbone in ``features.json``: a run may be moved."""


LOWER_IS_BETTER = ("log_loss", "brier", "ece", "mce", "mae", "mse", "rmse", "hamming_loss", "error")
"""Metrics of which the smallest value is the best; of all others it is the largest."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a report: ``metrics.<split>.<name>``, with dots for what lies deeper: ``per_class.cat.f1``."""

    split: str
    name: str

    def __str__(self) -> str:
        return f"{self.split}.{self.name}"

    @property
    def lower_is_better(self) -> bool:
        """Whether it measures an error."""
        return self.name.rpartition(".")[2] in LOWER_IS_BETTER


class Content(TypedDict, total=False):
    """What a run in memory holds; of one on disk each part is read when it is first asked for."""

    report: Mapping[str, Json]
    labels: Mapping[str, Json]
    features: Mapping[str, Json]
    environment: Mapping[str, Json]
    predictor: Predictor
    config: str
    history: Sequence[Mapping[str, Json]]
    predictions: pa.Table
    split: pa.Table
    plots: Mapping[str, Plot]
    plot_format: PlotFormat
    save_model: Callable[[Path], None]


class Run:
    """One fitted head or fine-tuned network with its report.

    Parameters
    ----------
    path : path, optional
        The directory that it lies in; None if it is in memory alone.
    **content : Content
        The parts of a run in memory, by name.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, **content: Unpack[Content]) -> None:
        self.path = None if path is None else Path(path)
        self._content = content
        self.__dict__.update(content)  # each part stands before the property that would read it

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Open a run directory.

        Raises
        ------
        DataError
            It is not one.
        StorageError
            One of its files is broken.
        """
        folder = Path(expanded(path))
        try:
            report, labels, features = (
                read_json(folder / f"{name}.json") for name in ("report", "labels", "features")
            )
        except OSError as error:
            hint = nearest_folder(folder) or "; `headstart fit-head SET --out RUN` makes one"
            name = Path(error.filename or "").name
            raise DataError(f"{folder} is not a run directory ({name} cannot be read){hint}") from error
        _check_whole(folder / "labels.json", labels, ("column", "names", "classes"))
        _check_whole(folder / "features.json", features, ("backbone", "tap", "space", "modality", "recipe"))
        run = cls(folder)
        placed = place_backbone(features, folder / MODEL_DIR / BACKBONE_DIR)
        run.__dict__ |= {"report": report, "labels": labels, "features": placed}
        return run

    @classmethod
    def listed(cls, path: str | os.PathLike[str]) -> Self:
        """Open a run directory as far as a list of runs shows it: its report, and what it read."""
        run = cls(path)
        if not isinstance(run.report.get("metrics"), dict):
            raise StorageError(f"{run.path}: its report.json has no metrics, so headstart did not write it")
        run.features  # noqa: B018 - a broken file shows here, not in the middle of a table
        return run

    def replaced(self, **content: Unpack[Content]) -> Run:
        """The same run in memory with other parts."""
        return Run(self.path, **cast("Content", {**self._content, **content}))

    @property
    def folder(self) -> Path:
        """The directory of a run that was saved or loaded."""
        assert self.path is not None  # a run in memory has all of its parts
        return self.path

    # -- its parts

    @cached_property
    def report(self) -> Mapping[str, Json]:
        """``metrics.<split>.<name>``; ``timings`` in seconds; ``cost`` in bytes and parameters; ``provenance``."""
        return self._object("report")

    @cached_property
    def labels(self) -> Mapping[str, Json]:
        """The label column, its names in order, and the classes that the head knows."""
        return self._object("labels")

    @cached_property
    def features(self) -> Mapping[str, Json]:
        """The set, the space with its recipe, and the backbone with its options."""
        return place_backbone(self._object("features"), self.folder / MODEL_DIR / BACKBONE_DIR)

    @cached_property
    def environment(self) -> Mapping[str, Json]:
        """Versions and machine."""
        return self._object("environment")

    @cached_property
    def predictor(self) -> Predictor:
        """The head with its preparation and temperature."""
        from headstart.heads.predictor import Predictor

        return Predictor.load(self.folder / MODEL_DIR)

    @cached_property
    def split(self) -> pa.Table | None:
        """``id``, ``key`` and ``split`` of every sample of its set; None if the file is missing or damaged."""
        import pyarrow as pa  # which `runs ls` lacks

        from headstart.parquet_file import open_parquet

        try:
            with open_parquet(self.folder / "split.parquet") as file:
                return file.read(["id", "key", "split"])
        except (pa.ArrowException, OSError, KeyError):
            return None

    @cached_property
    def plots(self) -> Mapping[str, Plot]:
        """The plots of a run in memory, by name; of one on disk they lie in ``plots/``."""
        return {}

    @property
    def draws(self) -> bool:
        """Whether its plots are drawn at all."""
        return self._content.get("plot_format", "png") != "none"

    @property
    def head(self) -> Head:
        """The fitted scikit-learn estimator, over prepared features."""
        return self.predictor.head

    def predictions_of(self, split: str) -> pa.Table:
        """What was predicted for the samples of a split: id, key, split, label, prediction, ``p:<class>``…

        Raises
        ------
        StorageError
            The run was loaded, and the file is missing, truncated or damaged, or lacks a column.
        """
        if "predictions" in self._content:
            return of_split(self._content["predictions"], split)
        return read_predictions(self.folder, split)

    # -- what its report says

    def part(self, name: str) -> Mapping[str, Json]:
        """A part of the report; empty if it has none, or one that is no object."""
        found = self.report.get(name)
        return found if isinstance(found, dict) else {}

    @property
    def task(self) -> str:
        """The kind of its labels."""
        return str(self.report.get("task") or self.labels.get("kind") or "single")

    @property
    def method(self) -> Mapping[str, Json] | None:
        """How its network was trained; None for a head on cached features."""
        return self.part("method") or None

    @property
    def head_name(self) -> str:
        """The kind of head."""
        return str(self.part("head").get("name", "?"))

    @property
    def strategy(self) -> str:
        """How much of the network was trained: ``head`` alone, or the strategy: ``full``, ``lora``, ``last:2`` …"""
        method = self.method
        return HEAD if method is None else str(method.get("strategy", method.get("name", "?")))

    @property
    def set(self) -> str:
        """The name of the set that it was fitted on."""
        return str(self.features.get("set", self.part("provenance").get("set", "?")))

    @property
    def backbone(self) -> str:
        """The backbone, or several with a plus between them."""
        return self._joined("backbone")

    @property
    def tap(self) -> str:
        """The tap, or several with a plus between them."""
        return self._joined("tap")

    @property
    def created(self) -> str:
        """When it was made, in ISO 8601, UTC."""
        return str(self.part("provenance").get("created", ""))

    @property
    def seconds(self) -> float:
        """What it took in all; NaN if its report does not say."""
        return float(self.part("timings").get("total", math.nan))

    def value(self, metric: Metric) -> float | None:
        """A metric of this run; None if it has no such number."""
        found = _within(self.report["metrics"].get(metric.split, {}), metric.name)
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        return float(found) if is_number and math.isfinite(found) else None

    def interval(self, metric: Metric) -> tuple[float, float] | None:
        """The 95 % interval of a metric; None if the report has none."""
        found = _within(self.report["metrics"].get(metric.split, {}), f"intervals.{metric.name}")
        is_pair = isinstance(found, Sequence) and len(found) == 2
        return (float(found[0]), float(found[1])) if is_pair else None

    # -- what is done with it

    def save(self, path: str | os.PathLike[str], overwrite: bool = False, draw: Draw | None = None) -> Path:
        """Write the run directory, whole or not at all.

        Parameters
        ----------
        path : path
        overwrite : bool
            Replace the run that lies there.
        draw : callable
            From plots by name to the bytes of their files; None: they are drawn in this process.

        Raises
        ------
        ConfigError
            The directory is not empty and ``overwrite`` is false, or the run was loaded.
        StorageError
            It cannot be written; what was there before is as it was.
        """
        if "report" not in self._content:
            raise ConfigError(f"this run lies in {self.path} already; copy the directory")
        target = Path(expanded(path))
        check_free(target, overwrite)
        write_folder(target, lambda folder: self._write(folder, draw))
        self.path = target
        return target

    def predict(self, data: Any, quiet: bool = True, **options: Any) -> PredictionTable:
        """Predict raw inputs, or one of them; see `headstart.predict`.

        Returns
        -------
        PredictionTable
            ``labels``, ``probabilities``, ``to_pandas()``, and all that an Arrow table has: a row for each input.
        """
        import headstart

        return headstart.predict(self, data, quiet=quiet, **options)

    def evaluate(self, data: Any, quiet: bool = True, **options: Any) -> RunEvaluation:
        """Judge it on labelled data that it has not seen; see `headstart.evaluate`."""
        import headstart

        return headstart.evaluate(self, data, quiet=quiet, **options)

    def module(
        self,
        trainable: bool = False,
        device: str = "cpu",
        offline: bool = False,
        trust: str | Sequence[str] | None = None,
    ) -> Module:
        """Backbone and head as one torch module; see `headstart.load_module`."""
        import headstart

        return headstart.load_module(self, trainable=trainable, device=device, offline=offline, trust=trust)

    def export(self, path: str | os.PathLike[str], to: str = "hf", **options: Any) -> Exported:
        """Write backbone and head as one model that others load without headstart; see `headstart.export`."""
        import headstart

        return headstart.export(self, path, to=to, **options)

    def _write(self, folder: Path, draw: Draw | None) -> None:
        from headstart.plots.studio import draw_here

        content = self._content
        config = content["config"].encode("utf-8")
        remember(config, names_code=False)
        write_durably(folder / "config.yaml", config)
        for name in ("report", "labels", "features", "environment"):
            write_json(folder / f"{name}.json", content[name])
        lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in content["history"])
        write_durably(folder / "metrics.jsonl", lines.encode("utf-8"))
        write_durably(folder / PREDICTIONS, parquet_bytes(content["predictions"]))
        write_durably(folder / "split.parquet", parquet_bytes(content["split"]))
        make_directory(folder / MODEL_DIR)
        content.get("save_model", self.predictor.save)(folder / MODEL_DIR)
        drawn = (draw or draw_here)(self.plots, content.get("plot_format", "png"))
        write_files(folder / "plots", drawn)
        card = model_card(self.report, self.labels, self.features, list(drawn))
        write_durably(folder / "README.md", card.encode("utf-8"))

    def __repr__(self) -> str:
        name = open_task(self.report["task"]).leading_score
        metrics = {split: round(values[name], 4) for split, values in self.report["metrics"].items()}
        return f"Run({self.head_name!r} on {self.features['backbone']!r}, {name} {metrics})"

    def _repr_html_(self) -> str:
        facts = {
            "head": self.head_name,
            "features": f"{self.backbone} {self.tap}",
            "set": self.set,
            **({"method": self.method["strategy"]} if self.method and "strategy" in self.method else {}),
            **({"folder": str(self.path)} if self.path else {}),
        }
        name = open_task(self.task).leading_score
        rows = []
        for split in self.report["metrics"]:
            metric = Metric(split, name)
            value, interval = self.value(metric), self.interval(metric)
            said = "–" if value is None else f"{value:.4f}"
            rows.append([split, said, f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else "–"])
        return html_facts("run", facts) + html_table("", ["split", name, "95 %"], rows)

    # -- reading

    def _object(self, name: str) -> dict[str, Json]:
        try:
            content = read_json(self.folder / f"{name}.json")
        except OSError as error:
            raise StorageError(f"{self.path}: {name}.json cannot be read ({error.strerror})") from error
        except StorageError as error:
            raise StorageError(f"{self.path}: {name}.json is not valid JSON") from error
        if not isinstance(content, dict):
            raise StorageError(f"{self.path}: {name}.json is not a JSON object")
        return content

    def _joined(self, name: str) -> str:
        """What its features say by a name: each once, where several lie side by side."""
        parts = self.features.get("parts") or [self.features]
        return " + ".join(dict.fromkeys(str(part.get(name, "?")) for part in parts))


def place_backbone(features: Mapping[str, Json], folder: Path) -> dict[str, Json]:
    """What ``features.json`` says, with the folder that a backbone of the run's own lies in."""
    where = str(folder.resolve())
    options = dict(features.get("options", {}))
    if str(options.get("weights", "")).startswith(f"{IN_RUN}/"):
        options["weights"] = where + str(options["weights"])[len(IN_RUN) :]
    located = str(features.get("located", features.get("backbone", "?")))
    kind, _, place = located.partition(":")
    return {**features, "located": f"{kind}:{where}" if place == IN_RUN else located, "options": options}


def _within(values: Json, name: str) -> Json:
    """What a dotted name means; names of classes may have dots of their own."""
    if not isinstance(values, dict):
        return None
    if name in values:
        return values[name]
    dots = [i for i, letter in enumerate(name) if letter == "."]
    found = (_within(values[name[:i]], name[i + 1 :]) for i in dots if name[:i] in values)
    return next((value for value in found if value is not None), None)


def _check_whole(path: Path, value: Json, names: Sequence[str]) -> None:
    missing = [name for name in names if not isinstance(value, dict) or name not in value]
    if missing:
        raise StorageError(f"{path} lacks {missing[0]!r}; restore it, or fit the head again")
