"""A run: one fitted head or fine-tuned network with its report, in memory, saved, or opened again."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack, cast

from headstart.errors import ConfigError, DataError, StorageError
from headstart.files import make_directory, read_json, write_durably, write_files, write_folder, write_json
from headstart.notebook import html_facts
from headstart.places import expanded
from headstart.registry.card import figures_table, model_card
from headstart.registry.labels import (
    check_known,
    has_several,
    names_of,
    needed_columns,
    parts_of,
    predictions_of,
    report_of,
    reports_by_label,
)
from headstart.registry.metric import Metric as Metric
from headstart.registry.metric import interval_in, value_in
from headstart.registry.run_files import (
    HISTORY,
    check_whole,
    draws_file,
    of_split,
    read_draws,
    read_history,
    read_object,
    read_predictions,
    read_split,
)
from headstart.registry.run_files import IN_RUN as IN_RUN
from headstart.registry.run_files import PREDICTION_COLUMNS as PREDICTION_COLUMNS
from headstart.registry.run_files import PREDICTIONS as PREDICTIONS
from headstart.registry.run_files import check_free as check_free
from headstart.registry.run_files import nearest_folder as nearest_folder
from headstart.registry.run_files import parquet_bytes as parquet_bytes
from headstart.registry.run_files import place_backbone as place_backbone
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
    from headstart.report_page import Page
    from headstart.types import Exported, Json, PlotFormat

MODEL_DIR, BACKBONE_DIR = "model", "backbone"
HEAD = "head"
"""What the method of a head on cached features is called."""


class Content(TypedDict, total=False):
    """What a run in memory holds; of one on disk each part is read when it is first asked for."""

    report: Mapping[str, Json]
    labels: Mapping[str, Json]
    features: Mapping[str, Json]
    environment: Mapping[str, Json]
    predictor: Predictor
    parts: Mapping[str, Run]
    config: str
    history: Sequence[Mapping[str, Json]]
    predictions: pa.Table
    split: pa.Table
    marks: pa.Table | None
    plots: Mapping[str, Plot]
    plot_format: PlotFormat
    save_model: Callable[[Path], None]


class Run:
    """One fitted head or fine-tuned network with its report, or a head for each of several labels.

    What is asked of the label of a run is refused of one with several: ``run.of(label)`` is the run of one of them.

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
        for part in parts_of(labels) if isinstance(labels, dict) else [labels]:
            check_whole(folder / "labels.json", part, ("column", "names", "classes"))
        check_whole(folder / "features.json", features, ("backbone", "tap", "space", "modality", "recipe"))
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

    @property
    def content(self) -> Content:
        """What of it is in memory; of one on disk nothing."""
        return self._content

    # -- its parts

    @cached_property
    def report(self) -> Mapping[str, Json]:
        """``metrics.<split>.<name>``; ``timings`` in seconds; ``cost`` in bytes and parameters; ``provenance``."""
        return read_object(self.folder, "report")

    @cached_property
    def labels(self) -> Mapping[str, Json]:
        """The label column, its names in order, and the classes that the head knows."""
        return read_object(self.folder, "labels")

    @cached_property
    def features(self) -> Mapping[str, Json]:
        """The set, the space with its recipe, and the backbone with its options."""
        return place_backbone(read_object(self.folder, "features"), self.folder / MODEL_DIR / BACKBONE_DIR)

    @cached_property
    def environment(self) -> Mapping[str, Json]:
        """Versions and machine."""
        return read_object(self.folder, "environment")

    @cached_property
    def predictor(self) -> Predictor:
        """The head with its preparation and temperature."""
        from headstart.heads.predictor import Predictor

        self._check_one()
        return Predictor.load(self.folder / MODEL_DIR)

    @cached_property
    def predictors(self) -> Mapping[str, Predictor]:
        """The head of each label, by its name."""
        from headstart.heads.predictors import load_predictors

        names = self.label_names
        if not self.has_several:
            return {names[0]: self.predictor}
        if "parts" in self._content:
            return {name: self.of(name).predictor for name in names}
        return dict(zip(names, load_predictors(self.folder / MODEL_DIR, len(names)), strict=True))

    @cached_property
    def split(self) -> pa.Table | None:
        """``id``, ``key`` and ``split`` of every sample of its set; None if the file is missing or damaged."""
        return read_split(self.folder)

    @cached_property
    def history(self) -> Sequence[Mapping[str, Json]]:
        """A record for each epoch; of a head that trains otherwise, its figures alone."""
        return read_history(self.folder)

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
        needed = needed_columns(self.label_names) if self.has_several else PREDICTION_COLUMNS
        return read_predictions(self.folder, split, needed)

    @cached_property
    def marks(self) -> pa.Table | None:
        """What each draw of a few-shot protocol or a learning curve has right; None if there were none.

        Raises
        ------
        StorageError
            The file is truncated or damaged.
        """
        self._check_one()
        return None if self.path is None else read_draws(self.path)

    # -- its labels

    @property
    def has_several(self) -> bool:
        """Whether it predicts several label columns."""
        return has_several(self.report)

    @property
    def label_names(self) -> list[str]:
        """The label columns that it predicts, in order."""
        return names_of(self.labels)

    def of(self, label: str) -> Run:
        """What it is for one of its labels: a run of that label alone.

        Raises
        ------
        ConfigError
            It does not predict that label.
        """
        check_known(label, self.label_names)
        if not self.has_several:
            return self
        return self._content["parts"][label] if "parts" in self._content else PartOfRun(self, label)

    def _check_one(self) -> None:
        if self.has_several:
            names = ", ".join(map(repr, self.label_names))
            raise ConfigError(
                f"the run predicts several labels, {names}; say which one: --label, in Python run.of(LABEL)"
            )

    # -- what its report says

    def part(self, name: str) -> Mapping[str, Json]:
        """A part of the report; empty if it has none, or one that is no object."""
        found = self.report.get(name)
        return found if isinstance(found, dict) else {}

    @property
    def task(self) -> str:
        """The kind of its labels."""
        self._check_one()
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
        """A metric of this run; None if it has no such number. ``<label>.`` may stand before its name."""
        return value_in(self.report, metric, self._column)

    def interval(self, metric: Metric) -> tuple[float, float] | None:
        """The 95 % interval of a metric; None if the report has none."""
        return interval_in(self.report, metric, self._column)

    @property
    def _column(self) -> str:
        """Its label column where it has one; empty where nothing says it."""
        try:
            return "" if self.has_several else str(self.labels.get("column", ""))
        except StorageError:
            return ""  # a list of runs shows what it can

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

    def report_page(self, other: Run | None = None, quiet: bool = True, **options: Any) -> Page:
        """A page to look at it, alone or beside another run; see `headstart.report`."""
        import headstart

        return headstart.report(self, other, quiet=quiet, **options)

    def _write(self, folder: Path, draw: Draw | None) -> None:
        from headstart.plots.studio import draw_here

        content = self._content
        config = content["config"].encode("utf-8")
        remember(config, names_code=False)
        write_durably(folder / "config.yaml", config)
        for name in ("report", "labels", "features", "environment"):
            write_json(folder / f"{name}.json", content[name])
        lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in content["history"])
        write_durably(folder / HISTORY, lines.encode("utf-8"))
        write_durably(folder / PREDICTIONS, parquet_bytes(content["predictions"]))
        write_durably(folder / "split.parquet", parquet_bytes(content["split"]))
        for number, run in enumerate(content.get("parts", {"": self}).values()):
            if (marks := run.content.get("marks")) is not None:
                write_durably(folder / draws_file(number), parquet_bytes(marks))
        make_directory(folder / MODEL_DIR)
        save_model = content.get("save_model") or self.predictor.save
        save_model(folder / MODEL_DIR)
        drawn = (draw or draw_here)(self.plots, content.get("plot_format", "png"))
        write_files(folder / "plots", drawn)
        card = model_card(self.report, self.labels, self.features, list(drawn))
        write_durably(folder / "README.md", card.encode("utf-8"))

    def __repr__(self) -> str:
        said = []
        for label, report in reports_by_label(self.report).items():
            name = open_task(report["task"]).leading_score
            metrics = {split: round(values[name], 4) for split, values in report["metrics"].items()}
            said.append(f"{label} {name} {metrics}".lstrip())
        return f"Run({self.head_name!r} on {self.features['backbone']!r}, {', '.join(said)})"

    def _repr_html_(self) -> str:
        facts = {
            "head": self.head_name,
            "features": f"{self.backbone} {self.tap}",
            "set": self.set,
            **({"method": self.method["strategy"]} if self.method and "strategy" in self.method else {}),
            **({"folder": str(self.path)} if self.path else {}),
        }
        tables = (figures_table(label, report) for label, report in reports_by_label(self.report).items())
        return html_facts("run", facts) + "".join(tables)

    # -- reading

    def _joined(self, name: str) -> str:
        """What its features say by a name: each once, where several lie side by side."""
        parts = self.features.get("parts") or [self.features]
        return " + ".join(dict.fromkeys(str(part.get(name, "?")) for part in parts))


class PartOfRun(Run):
    """One label of a run of several that lies on disk, as a run of that label alone."""

    def __init__(self, whole: Run, label: str) -> None:
        super().__init__(whole.path)
        self._whole, self._label = whole, label
        labels = parts_of(whole.labels)[whole.label_names.index(label)]
        known = {"report": report_of(whole.report, label), "labels": labels, "features": whole.features}
        self.__dict__ |= known

    @cached_property
    def predictor(self) -> Predictor:
        """The head of the label, with its preparation and temperature."""
        return self._whole.predictors[self._label]

    def predictions_of(self, split: str) -> pa.Table:
        """What was predicted for the samples of a split that have the label; see `Run.predictions_of`."""
        return predictions_of(self._whole.predictions_of(split), self.labels)

    @cached_property
    def marks(self) -> pa.Table | None:
        """What each draw has right of the samples that have the label; see `Run.marks`."""
        return read_draws(self.folder, self._whole.label_names.index(self._label))
