"""The page of one run: its samples, what it says of them, and which of them to look at."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from headstart.cache.layout import GROUP, LABEL
from headstart.cache.store import Cache
from headstart.columns import cell
from headstart.errors import HeadstartError
from headstart.registry.card import corrections_of
from headstart.reporting.content import Findings, columns_of, content_of
from headstart.reporting.labels import PageLabel
from headstart.reporting.outcomes import Outcome, predictions_in
from headstart.reporting.queues import audited, mistakes_of
from headstart.reporting.samples import PageSamples, set_and_label, whole_set
from headstart.reporting.suggested import suggested_queue
from headstart.reporting.vectors import page_spec, vectors_of

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress
    from headstart.registry.run import Run
    from headstart.reporting.config import ReportConfig
    from headstart.types import Json


def run_page(run: Run, config: ReportConfig, notes: list[str], progress: Progress) -> dict[str, Json]:
    """What the page of a run holds."""
    run = one_label(run, config, notes)
    name = name_of(run)
    predictions = predictions_in(run, name)
    features = set_behind(run, config, notes)
    samples = samples_behind(run, predictions, features)
    outcome = Outcome.met(run, name, predictions, samples, notes)
    vectors = None if features is None else vectors_of(features, config, run.features, notes)
    queues = [] if config.suggestions is None else [suggested_queue(config.suggestions, samples, notes)]
    queues.append(mistakes_of(outcome))
    near_train = None
    if features is not None:
        asked = bool(config.audit)  # of a run only where it is asked for
        found, near_train = audited(features, samples.label, vectors, asked, notes, progress)
        queues += found
    columns = columns_of(samples, [outcome], notes)
    queues = [queue for queue in queues if len(queue.rows)]
    findings = Findings(samples, vectors, queues, [outcome], columns, near_train=near_train)
    return {
        "kind": "run",
        "title": name,
        "about": about_run(run),
        **set_and_label(samples),
        **content_of(findings, config, notes, progress),
    }


def one_label(run: Run, config: ReportConfig, notes: list[str]) -> Run:
    """The run of the label that the page is of: the one that is asked for, else the first."""
    if config.label is not None:
        return run.of(config.label)
    if not run.has_several:
        return run
    first, *others = run.label_names
    notes.append(
        f"the run predicts several labels, and this page is of {first!r}; --label shows another: "
        f"{', '.join(map(repr, others))}"
    )
    return run.of(first)


def name_of(run: Run) -> str:
    """What a run is called: after its folder, or after its set and head."""
    if run.path is not None:
        return cell(os.path.basename(os.path.abspath(run.path)), None)
    return f"{run.set}-{run.head_name}"


def set_behind(run: Run, config: ReportConfig, notes: list[str]) -> FeatureSet | None:
    """The set that a run was fitted on, in the state that it was in; None if it is gone, which the notes say."""
    name, digest = run.features.get("set"), run.features.get("digest")
    own = run.features.get("cache")
    roots = [config.cache] if config.cache is not None else [own if isinstance(own, str) else None, None]
    for root in dict.fromkeys(roots):
        if root is None or os.path.isdir(root):
            try:
                features = Cache(root).open_set(str(name), str(digest))
                features.columns(["id"])
            except (HeadstartError, OSError):
                continue
            return features
    notes.append(
        f"the set {name!r} is gone, or is no longer kept in the state that the run was fitted on ({digest}): shown is "
        "what the run itself kept. There is no map, there are no neighbours, texts, pictures or metadata, and "
        "corrections cannot be applied; fit the run again, or say where the cache is: --cache"
    )
    return None


def samples_behind(run: Run, predictions: pa.Table, features: FeatureSet | None) -> PageSamples:
    """All samples of the set that a run was fitted on, or those that it made predictions for."""
    column, kind = str(run.labels["column"]), run.task
    label = PageLabel(column, kind, tuple(map(str, run.labels["names"])))
    if features is not None and features.label_kinds.get(column) == kind:
        label = PageLabel(column, kind, features.label_names[column])
    if features is not None:
        return whole_set(features, label)
    kept = [name for name in ("id", "key", "split", "label", GROUP) if name in predictions.column_names]
    table = predictions.select(kept).rename_columns([LABEL + column if n == "label" else n for n in kept])
    return PageSamples(table, np.arange(table.num_rows), None, label)


def about_run(run: Run) -> list[list[str]]:
    """Facts, a line each; none of them says where anything lies on this machine."""
    n = run.part("data").get("n_train")
    facts = {
        "head": run.head_name,
        "trained": "a head on cached features" if run.method is None else f"the network: {run.strategy}",
        "backbone": " + ".join(map(page_spec, run.backbone.split(" + "))),
        "tap": run.tap,
        "label": str(run.labels["column"]),
        "training samples": f"{n:,} of {run.set}" if isinstance(n, int) else run.set,
        "corrections": corrections_of(run.report),
        "fitted": run.created[:16].replace("T", " "),
        "seconds": f"{run.seconds:.1f}" if run.seconds == run.seconds else "",
    }
    return [[name, value] for name, value in facts.items() if value]
