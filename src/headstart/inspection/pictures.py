"""The plots of a run, drawn again from what its directory holds, and some of its features, drawn where one asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from headstart.arrow import column_of
from headstart.cache.layout import LABEL
from headstart.cache.store import Cache
from headstart.config import Config
from headstart.errors import ConfigError, HeadstartError, first_line
from headstart.fitting.data import read_splits
from headstart.fitting.evaluation import MOST_DRAWN, feature_plot, plots_of_protocols
from headstart.fitting.labels_report import OF_SAMPLES
from headstart.inspection.project import NAMES, Projection, principal_components, project
from headstart.options import did_you_mean
from headstart.plots import Gallery, history_plot, schedule_plot, spread_plot
from headstart.registry.evaluations import SPLIT, is_evaluation, open_evaluation
from headstart.registry.labels import plots_of
from headstart.registry.run import Run
from headstart.tasks import open_task
from headstart.tasks.columns import classes_in
from headstart.types import SPLITS, Predictions

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.contracts import Progress
    from headstart.fitting.data import Splits
    from headstart.plots import Plot
    from headstart.samples import LabelledSamples
    from headstart.types import Json

FEATURES, SCHEDULE, DISTRIBUTIONS = "features", "schedule", "distributions"
ASKED = (SCHEDULE, DISTRIBUTIONS, *NAMES)
"""What is drawn only where it is asked for by name: no run writes it."""
MOST_POINTS = 5000
"""Samples of a projection, drawn at random."""
N_COMPONENTS = 3


class DrawConfig(Config):
    """What `draw_plots` is asked for."""

    function = "draw_plots"
    only: list[str] | None
    format: Literal["png", "svg", "both"]
    cache: str | None


def draw_plots(run: Run | Path, config: DrawConfig, progress: Progress) -> Gallery:
    """The plots that a run or an evaluation wrote, or those of some names.

    What the features of a set are needed for is left out where they are not there any more, unless it was asked for.

    Raises
    ------
    ConfigError
        There is no plot of a name, or not of such a run.
    StorageError
        What it is drawn from is missing or damaged.
    """
    if isinstance(run, Path) and is_evaluation(run):
        return Gallery(_chosen(_of_evaluation(run), config.only, {}))
    opened = run if isinstance(run, Run) else Run.load(run)
    found = dict(opened.plots) if opened.content else _of_files(opened)
    if not opened.content and config.only is None:
        found |= _features_or_none(opened, config.cache, progress)
    asked = {} if config.only is None else _asked_for(opened, config, set(config.only) - set(found))
    return Gallery(_chosen(found, config.only, asked))


def _chosen(
    found: Mapping[str, Plot], only: Sequence[str] | None, asked: Mapping[str, Mapping[str, Plot]]
) -> dict[str, Plot]:
    """Those of some names, or all; what one asks for by name may be a plot for each of several labels."""
    if only is None:
        return dict(found)
    chosen: dict[str, Plot] = {}
    for name in only:
        if name not in found and name not in asked:
            hint = did_you_mean(name, [*found, FEATURES, *ASKED], most=20)
            raise ConfigError(f"there is no plot {name!r} of this run{hint}")
        chosen |= asked.get(name) or {name: found[name]}
    return chosen


# -- what the run wrote


def _of_files(run: Run) -> dict[str, Plot]:
    """What needs nothing but the run directory, under the names that the run wrote it by."""
    parts = {label: _of_label(run.of(label), _epochs(run, label)) for label in run.label_names}
    return plots_of(parts) if run.has_several else next(iter(parts.values()))


def _of_label(run: Run, epochs: Sequence[Mapping[str, Json]]) -> dict[str, Plot]:
    metrics = run.report["metrics"]
    split = next(name for name in reversed(SPLITS) if name in metrics)
    column = str(run.labels["column"])
    found = _judged(run.predictions_of(split), run.labels, run.task, metrics[split], split, column)
    if epochs:
        found["history"] = history_plot(epochs)
    return {**found, **plots_of_protocols({**run.report, "task": run.task})}


def _epochs(run: Run, label: str) -> list[Mapping[str, Json]]:
    """The epochs of a label's training; of a network for all labels those are the same for each."""
    return [record for record in run.history if "epoch" in record and record.get("label", label) == label]


def _judged(
    table: pa.Table,
    about: Mapping[str, Json],
    kind: str,
    metrics: Mapping[str, Json],
    split: str,
    column: str,
) -> dict[str, Plot]:
    """The plots of the predictions for one label."""
    task, labels = open_task(kind), table.column("label")
    more = (
        task.names_in(labels) if task.has_names else []
    )  # other data may have labels that the run never saw
    names = list(dict.fromkeys([*about["names"], *more]))
    classes = classes_in(table) or list(about["classes"])
    true = task.targets(task.encode(labels, names), names)
    said = Predictions(true, task.read_outputs(table, classes), classes, names, table)
    return dict(task.plots(said, metrics, split, column))


def _of_evaluation(folder: Path) -> dict[str, Plot]:
    """What a run was found to do on other data; how its labels are called is known to the run."""
    found = open_evaluation(folder)
    run = Run.load(_run_of(folder, found.report.get("run")))
    parts: dict[str, dict[str, Plot]] = {}
    for label in found.label_names:
        part, own = found.of(label), run.of(label) if run.has_several else run
        column = str(part.report["label"])
        parts[label] = _judged(part.predictions, own.labels, own.task, part.metrics, SPLIT, column)
    return plots_of(parts) if run.has_several else next(iter(parts.values()))


def _run_of(folder: Path, said: str | None) -> Path:
    """The run that an evaluation is of: the one whose folder it lies in, which may have been moved; else as it says."""
    around = folder.absolute().parents[1]
    if (around / "report.json").is_file():
        return around
    if said is None:
        raise ConfigError(
            f"{folder} is the evaluation of a run that was in memory, whose labels nobody knows now"
        )
    return Path(said)


# -- what its features are needed for


def _features_or_none(run: Run, cache: str | None, progress: Progress) -> dict[str, Plot]:
    """How long the feature vectors are; nothing where they cannot be read, which is said."""
    try:
        return _lengths(run.of(run.label_names[0]), cache)
    except HeadstartError as error:
        progress.say(f"{FEATURES} is not drawn: {first_line(error)}")
        return {}


def _asked_for(run: Run, config: DrawConfig, names: set[str]) -> dict[str, dict[str, Plot]]:
    """What no run writes, by name: a plot, or one for each of several labels."""
    found: dict[str, dict[str, Plot]] = {}
    if FEATURES in names:
        found[FEATURES] = _lengths(run.of(run.label_names[0]), config.cache)
    for name in names & set(ASKED):
        parts = {label: {name: _one(run, label, name, config.cache)} for label in run.label_names}
        found[name] = plots_of(parts, OF_SAMPLES) if run.has_several else next(iter(parts.values()))
    return found


def _one(run: Run, label: str, name: str, cache: str | None) -> Plot:
    if name == SCHEDULE:
        epochs = [record for record in _epochs(run, label) if record.get("lr") is not None]
        if not epochs:
            raise ConfigError(
                f"there is no {name} to draw: a {run.of(label).head_name} head has no learning rate"
            )
        return schedule_plot(epochs)
    sample = _sample(fitted_on(run.of(label), cache))
    return _spread(sample) if name == DISTRIBUTIONS else _scatter(sample, name)


def fitted_on(run: Run, cache: str | None) -> Splits:
    """The labelled samples that a head was fitted and judged on, with features as it reads them, 20,000 a split.

    Raises
    ------
    ConfigError
        The run is no head on one vector a sample.
    DataError
        The set, or the state that it was in, is not there any more.
    """
    if run.method is not None:
        raise ConfigError(
            "features of a network that was fine-tuned are not kept; extract a set with its backbone, which lies in "
            "model/backbone of the run, and draw that: headstart project SET"
        )
    predictor, about = run.predictor, run.features
    if predictor.takes_sequences or predictor.takes_passages:
        raise ConfigError(f"a {run.head_name} head reads several vectors a sample, and one can be drawn")
    features = Cache(cache or about["cache"]).open_set(str(about["set"]), str(about["digest"]))
    choices = [(part["tap"], part["backbone"]) for part in about.get("parts") or [about]]
    read = read_splits(features, choices, str(run.labels["column"]), mapped=len(choices) == 1)
    return {split: _first_rows(part, predictor.prepared) for split, part in read.items()}


def _first_rows(part: LabelledSamples, prepared: Any) -> LabelledSamples:
    rows = np.arange(min(len(part), MOST_DRAWN))
    X = np.asarray(part.X[rows])
    return replace(
        part, table=part.table.slice(0, len(rows)), X=prepared(X) if len(rows) else X, y=part.y[rows]
    )


def _lengths(run: Run, cache: str | None) -> dict[str, Plot]:
    return feature_plot(fitted_on(run, cache))


def _sample(splits: Splits) -> LabelledSamples:
    """Samples of all splits together, as many as a picture shows."""
    parts = [part for part in splits.values() if len(part)]
    everything = parts[0]
    for part in parts[1:]:
        everything = everything.joined(part)
    if len(everything) <= MOST_POINTS:
        return everything
    return everything.take(np.sort(np.random.default_rng(0).permutation(len(everything))[:MOST_POINTS]))


def _scatter(sample: LabelledSamples, method: str) -> Plot:
    """The samples in the plane, coloured by their labels."""
    points = project(np.asarray(sample.X), method)
    label = LABEL + sample.column
    table = sample.table.select(["id"])
    table = table.append_column(label, open_task(sample.kind).decode(sample.y, sample.names))
    for place, name in enumerate("xy"):
        table = table.append_column(name, column_of(points[:, place]))
    return Projection(table, label, f"{NAMES[method]} of the features").plot()


def _spread(sample: LabelledSamples) -> Plot:
    """Lengths and first principal components of the features of each class; of each split where there is none."""
    X = np.asarray(sample.X, dtype=np.float64)
    values = {"length": np.linalg.norm(X, axis=1)}
    components = principal_components(X, N_COMPONENTS)
    values |= {f"component {place + 1}": components[:, place] for place in range(components.shape[1])}
    return spread_plot(values, _groups(sample), "Features")


def _groups(sample: LabelledSamples) -> dict[str, NDArray[np.bool_]]:
    task = open_task(sample.kind)
    if task.form in ("classes", "labels"):
        applies = task.indicators(sample.y, len(sample.names)) > 0
        return {name: applies[:, place] for place, name in enumerate(sample.names)}
    splits = np.array(sample.table.column("split").to_pylist(), dtype=np.str_)
    return {split: splits == split for split in SPLITS}
