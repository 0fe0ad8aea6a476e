"""evaluate: labelled data that a run has not seen, predicted through the cache and judged as its own test samples."""

from __future__ import annotations

import datetime
import os
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import keys_from_arrow, mask_of, strings, with_columns
from headstart.cache.layout import LABEL, set_name_from
from headstart.columns import cell
from headstart.errors import ConfigError, DataError, MismatchError
from headstart.fitting.evaluation import MISTAKES, meta_columns
from headstart.keys import contains
from headstart.metrics.resampling import RESAMPLES
from headstart.metrics.tables import errors_by
from headstart.options import did_you_mean
from headstart.prediction.stage import Inputs, has_no_columns, read_inputs
from headstart.registry.evaluations import FORMAT, SPLIT, RunEvaluation, place_in
from headstart.samples import LabelledSamples
from headstart.tasks import USUAL, open_task
from headstart.types import Predictions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.config import EvaluateConfig
    from headstart.contracts import Progress
    from headstart.registry.run import Run
    from headstart.types import Json

LABEL_OPTIONS = ("label_column", "label_names", "label_separator")
"""How the run's own labels were read: other data is read alike unless the user says otherwise."""
ALL = "all"


def evaluate(run: Run, config: EvaluateConfig, progress: Progress) -> RunEvaluation:
    """Judge a run on labelled samples that it was not fitted on.

    Raises
    ------
    MismatchError
        The labels are not those that the run predicts.
    DataError
        No sample has a label, or none could be used.
    """
    start = perf_counter()
    inputs = read_inputs(run, _reading(run, config), progress, labels=True)
    samples, data = _labelled(run, inputs, config, progress)
    return _judged(run, samples, config, data, start)


def evaluate_payloads(
    run: Run, samples: pa.Table, payloads: Sequence[Any], config: EvaluateConfig, progress: Progress
) -> RunEvaluation:
    """Judge a run on samples of a set: rows with ``id``, ``key``, ``label`` and ``meta:…``, and the inputs themselves.

    Raises
    ------
    MismatchError
        The run cannot read all of them.
    """
    start, task, names = perf_counter(), open_task(run.task), list(run.labels["names"])
    inputs = read_inputs(run, config.model_copy(update={"data": payloads}), progress)
    if inputs.failures or not inputs.held.all():
        raise MismatchError(f"run {run.path} cannot read some of the samples that it is to be judged on")
    y = task.encode(samples.column("label"), names)
    column = str(run.labels["column"])
    found = LabelledSamples(samples, inputs.X, y, tuple(names), run.task, column)
    data: dict[str, Json] = {"description": f"the test samples of set {config.name}", "n": len(found)}
    return _judged(run, found, config, data, start)


def _judged(
    run: Run, samples: LabelledSamples, config: EvaluateConfig, data: Mapping[str, Json], start: float
) -> RunEvaluation:
    """The figures and predictions of samples whose features the head takes as they are."""
    task, predictor = open_task(run.task), run.predictor
    outputs = predictor.outputs(samples.X)
    said = Predictions(samples.targets, outputs, predictor.classes, samples.names, samples.table)
    metrics = task.report(said, RESAMPLES, config.seed)
    table = samples.table.select(["id", "key"])
    table = table.append_column("split", strings([SPLIT] * len(samples)))
    table = table.append_column("label", task.decode(samples.y, samples.names))
    columns = task.columns(outputs, predictor.classes, run.labels["names"])
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
    return RunEvaluation(report, with_columns(table, columns), plots=plots)


def place_of(run: Run, config: EvaluateConfig, out: str | os.PathLike[str] | None) -> Path | None:
    """The folder that an evaluation goes to; None if it stays in memory, as its run does."""
    if out is not None:
        return Path(out)
    return None if run.path is None else place_in(run.path, config.name or name_of(config.data))


def name_of(data: Any) -> str:
    """What an evaluation is called where nobody says it: after the data."""
    if not isinstance(data, str | os.PathLike):
        return "in-memory"
    path = Path(os.path.expanduser(data))
    stem = path.name.partition(".")[0] if path.suffix else path.name
    return set_name_from(stem or os.path.basename(os.path.abspath(path)))


def _reading(run: Run, config: EvaluateConfig) -> EvaluateConfig:
    """The same, with labels read as those of the run were."""
    update: dict[str, Any] = {}
    if config.label_kind == "auto":
        update["label_kind"] = run.task
    if not has_no_columns(config.data):  # where there are no columns, naming one is a mistake
        remembered = run.features["columns"]
        update |= {n: remembered[n] for n in LABEL_OPTIONS if n in remembered and getattr(config, n) is None}
    return config.model_copy(update=update)


def _labelled(
    run: Run, inputs: Inputs, config: EvaluateConfig, progress: Progress
) -> tuple[LabelledSamples, dict[str, Json]]:
    """The samples that are judged, and what the report says of the data."""
    held = inputs.samples.table.filter(mask_of(inputs.held))
    split, chosen = _choose_split(held, config.split)
    table = held.filter(mask_of(chosen))
    column = _label_column(run, table, inputs)
    names = _names(run, table.column(LABEL + column), progress)
    y = open_task(run.task).encode(table.column(LABEL + column), names)
    rows = np.flatnonzero(chosen)
    found = LabelledSamples(table, inputs.X[rows], y, tuple(names), run.task, column)
    samples = found.labelled()
    if not len(samples):
        raise DataError(f"none of the {len(found):,} samples of {config.data} has a label in {column!r}")
    seen = _count_seen(run, samples.table)
    if seen:
        progress.say(
            f"warning: {seen:,} of {len(samples):,} samples were in train or validation of this run, byte for byte; "
            "figures on them say nothing of new data"
        )
    return samples, {
        "description": inputs.source.description,
        "location": os.path.abspath(config.data) if _is_place(config.data) else None,
        "split": split,
        "n": len(samples),
        "n_unlabelled": len(found) - len(samples),
        "n_found": len(inputs.held) + len(inputs.samples.failures),
        "n_other_splits": int((~chosen).sum()),
        "n_skipped": int((~inputs.held).sum()) + len(inputs.samples.failures),
        "n_seen": seen,
        "unknown_to_run": names[len(run.labels["names"]) :],
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


def _names(run: Run, labels: pa.ChunkedArray, progress: Progress) -> list[str]:
    """The names of the run's labels, and behind them those that it does not know, of which it predicts none."""
    task, known = open_task(run.task), list(run.labels["names"])
    if not task.has_names:
        return []
    occurring = task.names_in(labels)
    strange = sorted(set(occurring) - set(known))
    if not strange:
        return known
    said = f"{cell(strange[0])!r}{did_you_mean(strange[0], known, 'it knows')}"
    if len(strange) == len(occurring):
        raise MismatchError(f"the run knows none of the {len(strange):,} labels of this data, such as {said}")
    n_outputs = len(task.class_names(run.predictor.classes, [*known, *strange]))
    if n_outputs > len(run.predictor.classes):
        raise MismatchError(f"the run has no answer for {len(strange):,} labels of this data, such as {said}")
    progress.say(
        f"warning: {len(strange):,} labels of this data are unknown to the run, such as {said}; "
        "such samples count as wrong"
    )
    return [*known, *strange]


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
        found["errors_by"] = errors_by(meta_columns(said), is_right)
    return found


def _provenance(run: Run) -> dict[str, Json]:
    return {
        "headstart": metadata.version("headstart"),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "run_created": run.created,
        "backbone": run.backbone,
        "tap": run.tap,
        "head": run.head_name,
    }


def _is_place(data: Any) -> bool:
    return isinstance(data, str | os.PathLike) and not str(data).startswith("hf:")
