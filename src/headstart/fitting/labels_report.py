"""What a run directory holds of the heads of several labels: the records of each, put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from headstart.fitting.data import with_choice
from headstart.heads.predictors import save_predictors
from headstart.registry.labels import LABELS, joined_predictions, joined_reports, plots_of
from headstart.registry.run import Run
from headstart.types import SPLITS

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.config import FitConfig
    from headstart.fitting.report import FitOutcome
    from headstart.fitting.trunk import TrainedTrunk
    from headstart.heads.trunk import TorchTrunk
    from headstart.types import Json

OF_SAMPLES = ("features",)
"""Plots of the features, which are those of all labels."""


def make_joined(
    config: FitConfig,
    records: Mapping[str, Run],
    one: FitOutcome,
    timings: Mapping[str, float],
    trunk: TrainedTrunk | None = None,
) -> Run:
    """One run of those of each label, in memory; the configuration is as the user gave it.

    ``one`` is the outcome of any of the labels, whose features are those of all; ``trunk`` is the network that the
    heads share, if they do.
    """
    runs, features = list(records.values()), one.features
    first = runs[0]
    tables = {label: run.content["predictions"] for label, run in records.items()}
    predictions = joined_predictions(tables, features.samples.column("id"))
    reports = {label: run.report for label, run in records.items()}
    said = list(reports.values())
    more: dict[str, Json] = {
        "timings": dict(timings),
        "cost": _cost(said, predictions),
        "head": _head([report["head"] for report in said]),
        "data": _data(said, predictions),
    }
    if trunk is not None:
        weights = dict(zip(records, trunk.kept.weights, strict=True))
        more["cost"] |= _cost_of(trunk.kept)
        more["head"] |= {"shared_trunk": True, "loss_weights": weights}
        more |= {"sweep": trunk.sweep} if trunk.sweep else {}
    return Run(
        config=with_choice(config, features, one.train.features, list(records)).dump(),
        report=joined_reports(reports, more),
        labels={LABELS: [run.labels for run in runs]},
        features=first.features,
        environment=first.environment,
        history=first.content["history"] if trunk else _history(records),
        predictions=predictions,
        split=first.split,
        plot_format=config.plots,
        plots=plots_of({label: run.plots for label, run in records.items()}, OF_SAMPLES),
        # One run was made at one time, whichever label of it is looked at.
        parts={
            label: run.replaced(report={**run.report, "provenance": first.report["provenance"]})
            for label, run in records.items()
        },
        save_model=partial(save_predictors, [run.predictor for run in runs], trunk.kept if trunk else None),
    )


def _history(records: Mapping[str, Run]) -> list[Mapping[str, Json]]:
    """The epochs of each label's training, or its figures, one label after the other."""
    return [{"label": label, **entry} for label, run in records.items() for entry in run.content["history"]]


def _cost_of(trunk: TorchTrunk) -> dict[str, Json]:
    """What is counted once for all labels: the bytes and parameters of a network that they share."""
    tensors = trunk.tensors()
    return {
        "model_bytes": sum(tensor.nbytes for tensor in tensors.values()),
        "parameters": sum(int(np.size(weights)) for weights in trunk.weights_.values()),
    }


def _cost(reports: Sequence[Mapping[str, Json]], predictions: pa.Table) -> dict[str, Json]:
    """Bytes and parameters of all heads together; features are counted once, for all samples that have a label."""
    costs = [report["cost"] for report in reports]
    n_rows = sum(values["n"] for values in reports[0]["metrics"].values())
    summed = {name: sum(cost[name] for cost in costs) for name in ("model_bytes", "parameters")}
    others = {name: value for name, value in costs[0].items() if name not in ("feature_bytes", *summed)}
    row_bytes = costs[0]["feature_bytes"] / max(n_rows, 1)
    return {"feature_bytes": round(row_bytes * predictions.num_rows), **summed, **others}


def _head(heads: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """What the heads are called, and the parameters that all of them were made with."""
    params = {
        name: value
        for name, value in heads[0]["params"].items()
        if all(head["params"].get(name) == value for head in heads)
    }
    return {"name": " + ".join(dict.fromkeys(str(head["name"]) for head in heads)), "params": params}


def _data(reports: Sequence[Mapping[str, Json]], predictions: pa.Table) -> dict[str, Json]:
    """How many samples have a label, of each split, and how many have none."""
    counts = Counter(predictions.column("split").to_pylist())
    data = reports[0]["data"]
    known = sum(value for name, value in data.items() if name.startswith("n_") and name != "n_skipped")
    return {
        **{f"n_{split}": counts.get(split, 0) for split in SPLITS},
        "n_unlabelled": max(known - predictions.num_rows, 0),
        "n_skipped": data["n_skipped"],
    }
