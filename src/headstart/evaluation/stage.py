"""evaluate: labelled data that a run has not seen, predicted through the cache and judged as its own test samples."""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import keys_from_arrow, mask_of, strings, with_columns
from headstart.cache.layout import GROUP, LABEL, SET_NAME, set_name_from
from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache
from headstart.columns import cell
from headstart.errors import ConfigError, DataError, MismatchError
from headstart.evaluation.set_source import SetSource
from headstart.extraction.backbone import cache_of_run
from headstart.fitting.evaluation import MISTAKES, meta_columns
from headstart.groups import Groups
from headstart.keys import contains
from headstart.metrics.resampling import RESAMPLES
from headstart.metrics.tables import errors_by
from headstart.options import did_you_mean
from headstart.places import absolute, expanded, is_there
from headstart.prediction.stage import CONTENT, Inputs, open_inputs, read_inputs
from headstart.registry.evaluations import FORMAT, SPLIT, RunEvaluation, place_in
from headstart.registry.labels import LABELS, joined_predictions, plots_of
from headstart.registry.machine import provenance
from headstart.remote.addresses import is_remote
from headstart.samples import LabelledSamples, take_rows
from headstart.tasks import USUAL, open_task
from headstart.tasks.columns import classes_in
from headstart.types import Predictions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from headstart.config import EvaluateConfig
    from headstart.contracts import Progress, Source
    from headstart.registry.run import Run
    from headstart.types import Json

REMEMBERED = (
    *CONTENT, "tags_column", "target_column", "label_column", "label_names", "label_separator", "split_column",
    "split_map", "group_column", "class_from",
)  # fmt: skip
"""How the run's own data was read: other data is read alike where it fits, unless the user says otherwise."""
ALL = "all"


def evaluate(run: Run, config: EvaluateConfig, progress: Progress) -> RunEvaluation:
    """Judge a run on labelled samples that it was not fitted on: of data, or of a set.

    Raises
    ------
    MismatchError
        The labels are not those that the run predicts.
    DataError
        No sample has a label, or none could be used.
    """
    start = perf_counter()
    source = _open(run, config, progress)
    inputs = read_inputs(run, source, config, progress)
    if not run.has_several:
        samples, data = _labelled(run, inputs, config, progress)
        _say_seen(data, progress)
        return _judged(run, samples, config, data, start)
    parts = {}
    for label in _labels_in(run, inputs, progress):
        samples, data = _labelled(run.of(label), inputs, config, progress)
        parts[label] = _judged(run.of(label), samples, config, data, start)
    _say_seen(
        max((part.report["data"] for part in parts.values()), key=lambda data: data["n_seen"]), progress
    )
    return _joined(run, parts, inputs, start)


def answers_on(run: Run, config: EvaluateConfig, progress: Progress) -> pa.Table:
    """What a run says of labelled samples, and their labels, as `evaluate` writes them; no figure is computed."""
    inputs = read_inputs(run, _open(run, config, progress), config, progress)
    samples, _ = _labelled(run, inputs, config, progress)
    return _answers(run, samples, _said(run, samples, config))


def _say_seen(data: Mapping[str, Json], progress: Progress) -> None:
    """Warn of samples that the run was fitted on."""
    if data["n_seen"]:
        progress.say(
            f"warning: {data['n_seen']:,} of {data['n']:,} samples were in train or validation of this run, byte for "
            "byte; figures on them say nothing of new data"
        )


def _labels_in(run: Run, inputs: Inputs, progress: Progress) -> list[str]:
    """The labels of a run that samples of the data have; those that none has are said."""
    table, found = inputs.samples.table.filter(mask_of(inputs.held)), []
    for label in run.label_names:
        name = LABEL + label
        if name in table.column_names and table.column(name).null_count < table.num_rows:
            found.append(label)
        else:
            progress.say(f"the data has no label {label!r}, and it is not judged")
    if not found:
        known = [name.removeprefix(LABEL) for name in table.column_names if name.startswith(LABEL)]
        raise DataError(
            f"{inputs.source.description} has none of the labels that the run predicts, "
            f"{', '.join(map(repr, run.label_names))}; its label columns: {', '.join(map(repr, known)) or 'none'}"
        )
    return found


def _joined(run: Run, parts: Mapping[str, RunEvaluation], inputs: Inputs, start: float) -> RunEvaluation:
    """The evaluation of several labels."""
    ids = inputs.samples.table.column("id")
    predictions = joined_predictions({label: part.predictions for label, part in parts.items()}, ids)
    first = next(iter(parts.values())).report
    n, n_judged = predictions.num_rows, first["data"]["n"] + first["data"]["n_unlabelled"]
    of_all = {name: value for name, value in first["data"].items() if "unknown" not in name}
    report = {
        **{name: first[name] for name in ("format", "name")},
        "run": None if run.path is None else os.path.abspath(run.path),  # a part in memory knows no place
        "data": {**of_all, "n": n, "n_unlabelled": n_judged - n},
        "metrics": {label: part.metrics for label, part in parts.items()},
        LABELS: {
            label: {
                **{name: part.report[name] for name in ("task", "label", "data", "errors")},
                "classes": classes_in(part.predictions),
            }
            for label, part in parts.items()
        },
        "timings": {"total": perf_counter() - start},
        "provenance": _provenance(run),
    }
    plots = plots_of({label: part.plots for label, part in parts.items()})
    return RunEvaluation(report, predictions, plots=plots)


def _judged(
    run: Run, samples: LabelledSamples, config: EvaluateConfig, data: Mapping[str, Json], start: float
) -> RunEvaluation:
    """The figures and predictions of samples whose features the head takes as they are."""
    task, said = open_task(run.task), _said(run, samples, config)
    metrics = task.report(said, RESAMPLES, config.seed)
    report = {
        "format": FORMAT,
        "name": config.name or name_of(config.data),
        "run": None if run.path is None else os.path.abspath(run.path),
        "task": run.task,
        "label": samples.column,
        "data": dict(data),
        "metrics": metrics,
        "errors": _errors(run, said),
        "timings": {"total": perf_counter() - start},
        "provenance": _provenance(run),
    }
    plots = {} if config.plots == "none" else task.plots(said, metrics, SPLIT, samples.column)
    return RunEvaluation(report, _answers(run, samples, said), plots=plots)


def _said(run: Run, samples: LabelledSamples, config: EvaluateConfig) -> Predictions:
    predictor = run.predictor.writing(num_beams=config.num_beams, max_new_tokens=config.max_new_tokens)
    outputs, classes = _widened(run, predictor.outputs(samples.X), samples.names)
    return Predictions(samples.targets, outputs, classes, samples.names, samples.table, samples.groups)


def _answers(run: Run, samples: LabelledSamples, said: Predictions) -> pa.Table:
    """A row a sample, with its label and what the run says of it."""
    task = open_task(run.task)
    table = samples.table.select(["id", "key"])
    table = table.append_column("split", strings([SPLIT] * len(samples)))
    table = table.append_column("label", task.decode(samples.y, samples.names))
    if samples.is_grouped and GROUP in samples.table.column_names:
        table = table.append_column(GROUP, samples.table.column(GROUP))
    return with_columns(table, task.columns(said.outputs, said.classes, said.names))


def place_of(run: Run, config: EvaluateConfig, out: str | os.PathLike[str] | None) -> Path | None:
    """The folder that an evaluation goes to; None if it stays in memory, as its run does."""
    if out is not None:
        return Path(out)
    return None if run.path is None else place_in(run.path, config.name or name_of(config.data))


def name_of(data: Any) -> str:
    """What an evaluation is called where nobody says it: after the data."""
    if isinstance(data, FeatureSet):
        return data.name
    if not isinstance(data, str | os.PathLike):
        return "in-memory"
    path = PurePath(absolute(data) if is_remote(data) else expanded(data))
    stem = path.name.partition(".")[0] if path.suffix else path.name
    return set_name_from(stem or os.path.basename(os.path.abspath(path)))


def _open(run: Run, config: EvaluateConfig, progress: Progress) -> Source:
    """The data, with labels that are read as those of the run were; or the set of a name that no data has."""
    data = config.data
    if isinstance(data, str) and (found := _set_named(data, run, config, progress)) is not None:
        data = found
    if isinstance(data, FeatureSet):
        if said := config.given().names():
            raise ConfigError(f"{said[0]} goes with samples in memory, and a set has its own; leave it out")
        return SetSource(data, config.label_column)
    if config.label_kind == "auto" and not run.has_several:
        config = config.model_copy(update={"label_kind": run.task})
    return open_inputs(run, config, REMEMBERED, labels=True)


def _set_named(name: str, run: Run, config: EvaluateConfig, progress: Progress) -> FeatureSet | None:
    """The set of a name, in the cache or in that of the run; None if there is data there, or no such set."""
    own = Cache(config.cache)
    caches = [cache for cache in (own, cache_of_run(run.features, own, config.offline)) if cache is not None]
    cache = next((each for each in caches if name in each.set_names()), None)
    there = is_there(name)
    if cache is None:
        if not there and os.sep not in name and SET_NAME.fullmatch(name) and not os.path.splitext(name)[1]:
            names = [known for each in caches for known in each.set_names()]
            raise DataError(
                f"there is neither data nor a set {name!r}{did_you_mean(name, names, 'there are')}"
            )
        return None
    if there:
        progress.say(f"{name} is the data that lies there, and not the set of that name")
        return None
    return cache.open_set(name)


def _labelled(
    run: Run, inputs: Inputs, config: EvaluateConfig, progress: Progress
) -> tuple[LabelledSamples, dict[str, Json]]:
    """The samples that are judged, and what the report says of the data."""
    held = inputs.samples.table.filter(mask_of(inputs.held))
    split, chosen = _choose_split(held, config.split)
    table = held.filter(mask_of(chosen))
    column = _label_column(run, table, inputs)
    names, n_unknown = _names(run, table.column(LABEL + column), progress)
    y = open_task(run.task).encode(table.column(LABEL + column), names)
    rows = np.flatnonzero(chosen)
    is_grouped = inputs.source.grouping is not None
    found = LabelledSamples(
        table, take_rows(inputs.X, rows), y, tuple(names), run.task, column, is_grouped=is_grouped
    )
    samples = found.labelled()
    if not len(samples):
        raise DataError(f"none of the {len(found):,} samples of {config.data} has a label in {column!r}")
    seen = _count_seen(run, samples.table)
    return samples, {
        "description": inputs.source.description,
        "location": _location(inputs.source, config.data),
        "split": split,
        "n": len(samples),
        "n_unlabelled": len(found) - len(samples),
        "n_found": len(inputs.held) + len(inputs.samples.failures),
        "n_other_splits": int((~chosen).sum()),
        "n_skipped": int((~inputs.held).sum()) + len(inputs.samples.failures),
        "n_seen": seen,
        "unknown_to_run": names[len(run.labels["names"]) :],
        "n_unknown_to_run": n_unknown,
    }


def _choose_split(table: pa.Table, asked: str | None) -> tuple[str, NDArray[np.bool_]]:
    """Which samples are judged: those of a split, by default of test where the data has one, else all."""
    splits = np.array([split or "" for split in table.column("split").to_pylist()], dtype=np.str_)
    known = [name for name in dict.fromkeys(splits.tolist()) if name]
    split = asked or (SPLIT if SPLIT in known else ALL)
    if split == ALL:
        return split, np.ones(len(splits), dtype=bool)
    if split not in known:
        raise ConfigError(f"the data has no split {split!r}{did_you_mean(split, [*known, ALL], 'it has')}")
    return split, splits == split


def _label_column(run: Run, table: pa.Table, inputs: Inputs) -> str:
    """The label column of the data that is what the run predicts: the one of its name, else the only one."""
    wanted = str(run.labels["column"])
    columns = [name.removeprefix(LABEL) for name in table.column_names if name.startswith(LABEL)]
    if not columns:
        raise DataError(
            f"{inputs.source.description} has no labels, and evaluate needs them; say which column has: --label-column"
        )
    if wanted not in columns and len(columns) > 1:
        raise ConfigError(
            f"the run predicts {wanted!r}, and the data has the label columns {', '.join(map(repr, columns))}; "
            "say which one is meant: --label-column"
        )
    column = wanted if wanted in columns else columns[0]
    kind = inputs.source.label_kinds.get(column, USUAL)
    if kind != run.task:
        raise MismatchError(
            f"the run predicts {open_task(run.task).meaning}, and {column!r} has {open_task(kind).meaning}"
        )
    return column


def _names(run: Run, labels: pa.ChunkedArray, progress: Progress) -> tuple[list[str], int]:
    """The names of the run's labels, and behind them those that it does not know, which so many samples have."""
    task, known = open_task(run.task), list(run.labels["names"])
    if not task.has_names:
        return [], 0
    occurring = task.names_in(labels)
    strange = sorted(set(occurring) - set(known))
    if not strange:
        return known, 0
    said = f"{cell(strange[0])!r}{did_you_mean(strange[0], known, 'it knows')}"
    if len(strange) == len(occurring):
        raise MismatchError(f"the run knows none of the {len(strange):,} labels of this data, such as {said}")
    understood = task.decode(task.encode(labels, known), known)
    n = int((task.identities(labels) != task.identities(pa.chunked_array([understood]))).sum())
    progress.say(
        f"warning: {n:,} of {len(labels):,} samples have one of {len(strange):,} labels that are unknown to the run, "
        f"such as {said}; they count as wrong"
    )
    return [*known, *strange], n


def _widened(run: Run, outputs: NDArray[Any], names: Sequence[str]) -> tuple[NDArray[Any], list[str]]:
    """Outputs with a column of zeros for each label that is unknown to the run, where outputs have one by label."""
    classes = list(run.predictor.classes)
    lacking = len(open_task(run.task).class_names(classes, names)) - len(classes)
    if lacking <= 0:
        return outputs, classes
    if outputs.ndim != 2:
        raise MismatchError(
            f"the run has no answer for {lacking:,} labels of this data, such as {names[-1]!r}"
        )
    return np.pad(outputs, ((0, 0), (0, lacking))), [*classes, *names[-lacking:]]


def _count_seen(run: Run, table: pa.Table) -> int:
    """How many samples the run was fitted on or chosen by."""
    split = run.split
    if split is None:
        return 0
    used = np.array([name != SPLIT for name in split.column("split").to_pylist()], dtype=bool)
    keys = keys_from_arrow(split.column("key"))[used]
    return int(contains(keys, keys_from_arrow(table.column("key"))).sum())


def _errors(run: Run, said: Predictions) -> dict[str, Json]:
    """The worst mistakes, and the errors by each metadata column."""
    task, found = open_task(run.task), dict[str, "Json"](split=SPLIT)
    mistakes, is_right = task.mistakes(said, MISTAKES), task.is_right(said)
    if mistakes is not None:
        found["mistakes"] = mistakes
    if is_right is not None:
        found["errors_by"] = errors_by(meta_columns(said), is_right, Groups.of(said.groups))
    return found


def _provenance(run: Run) -> dict[str, Json]:
    return provenance(run_created=run.created, backbone=run.backbone, tap=run.tap, head=run.head_name)


def _location(source: Source, data: Any) -> str | None:
    """Where the data lies; None of a set, of what was in memory, and of the hub."""
    is_place = isinstance(data, str | os.PathLike) and not str(data).startswith("hf:")
    return None if isinstance(source, SetSource) or not is_place else absolute(data)
