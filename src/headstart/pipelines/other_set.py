"""How good runs are on samples that they were not made for: the test samples of another set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import column_of
from headstart.cache.store import Cache
from headstart.config import PredictConfig
from headstart.errors import MismatchError
from headstart.prediction.stage import predict
from headstart.prediction.table import label_column
from headstart.tuning.raw_samples import read_again

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.reading.labels import Labels
    from headstart.comparison.runs import NamedRun
    from headstart.pipelines.work import Bench


def judge_elsewhere(runs: Sequence[NamedRun], features: Mapping[str, Any], bench: Bench) -> list[NamedRun]:
    """The same runs with predictions for the test samples of another set.

    Parameters
    ----------
    runs : sequence of NamedRun
        Saved runs.
    features : mapping
        ``set`` and ``digest``.
    bench : Bench

    Raises
    ------
    MismatchError
        The set has no test samples, or labels that a run does not know.
    """
    opened = Cache(bench.cache).open_set(features["set"], features["digest"])
    column = str(runs[0].run.labels.get("column", ""))
    held = opened.held("test")
    labels = held.labels(column if column in opened.label_names else None)
    known = np.flatnonzero(_has_label(labels))
    if not len(known):
        raise MismatchError(f"set {opened.name!r} has no labelled test samples to judge runs on")
    said = label_column(labels.y, labels.names, labels.kind)
    samples = held.table.select(["id", "key"]).append_column("label", said).take(column_of(known))
    payload = read_again(opened, None, bench.progress).payloads(samples)
    payloads = [payload(row) for row in range(samples.num_rows)]
    return [replace(run, predictions=_predictions(run, samples, payloads, labels, bench)) for run in runs]


def _has_label(labels: Labels) -> NDArray[np.bool_]:
    match labels.kind:
        case "regression":
            return np.asarray(np.isfinite(labels.y))
        case "multi":
            return np.asarray((labels.y >= 0).all(axis=1))
    return np.asarray(labels.y >= 0)


def _predictions(
    run: NamedRun, samples: pa.Table, payloads: list[Any], labels: Labels, bench: Bench
) -> pa.Table:
    saved = run.run
    strangers = set(labels.names) - set(saved.labels["names"])
    if saved.task != labels.kind or (labels.kind != "regression" and strangers):
        raise MismatchError(
            f"run {run.name} cannot be judged on these samples: it predicts {saved.task} labels "
            f"{', '.join(map(str, saved.labels['names'][:5]))}, and they have others"
        )
    computes: dict[str, Any] = {"cache": bench.cache, "offline": bench.offline}
    config = PredictConfig(data=payloads, **computes)
    said = predict(saved, config, bench.progress)
    if "error" in said.column_names:
        raise MismatchError(f"run {run.name} cannot read some of the samples that it is to be judged on")
    for name in said.column_names[1:]:
        samples = samples.append_column(name, said.column(name))
    return samples
