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
from headstart.tasks import open_task
from headstart.tuning.raw_samples import read_again

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.cache.mapped import Labels
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
    task = open_task(labels.kind)
    known = np.flatnonzero(task.known(labels.y))
    if not len(known):
        raise MismatchError(f"set {opened.name!r} has no labelled test samples to judge runs on")
    said = task.decode(labels.y, labels.names)
    samples = held.table.select(["id", "key"]).append_column("label", said).take(column_of(known))
    payload = read_again(opened, None, bench.progress).payloads(samples)
    payloads = [payload(row) for row in range(samples.num_rows)]
    return [replace(run, predictions=_predictions(run, samples, payloads, labels, bench)) for run in runs]


def _predictions(
    run: NamedRun, samples: pa.Table, payloads: list[Any], labels: Labels, bench: Bench
) -> pa.Table:
    saved = run.run
    strangers = set(labels.names) - set(saved.labels["names"])
    if saved.task != labels.kind or strangers:
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
