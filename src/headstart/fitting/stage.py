"""fit-head: train a head on the cached features of a set, or one for each of several labels; no backbone is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from headstart.cache.store import Cache
from headstart.curves.ahead import leads_within
from headstart.errors import HeadstartError
from headstart.fitting.data import LabelReader
from headstart.fitting.grids import heads_of
from headstart.fitting.head_training import ChosenHead, LabelJob, TrainedHead, train_heads
from headstart.fitting.label_columns import check_several, label_columns
from headstart.fitting.label_jobs import open_jobs
from headstart.fitting.labels_report import make_joined
from headstart.fitting.protocols import measure_curves
from headstart.fitting.report import FitOutcome, make_record
from headstart.fitting.trunk import TrainedTrunk, check_trunk, train_trunk
from headstart.fitting.unlabelled import fit_unlabelled
from headstart.fitting.zero_shot import HEAD as ZERO_SHOT
from headstart.progress import Silence
from headstart.registry.machine import MemoryWatch
from headstart.tracking import tell_run, tracking

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import FitConfig
    from headstart.contracts import Progress
    from headstart.registry.run import Run
    from headstart.tracking import Tracker


def fit_head(
    config: FitConfig, progress: Progress, checkpoint: Path | None = None, runs: Path | None = None
) -> Run:
    """Choose and train a head on train and validation samples, then report on every split.

    Of several labels each has a head of its own. A head that trains by epochs keeps its state at ``checkpoint``, to be
    taken up after an interruption. Where the same head on the set before corrections lies in the folder ``runs``, it is
    not fitted again.
    """
    with tracking(config, f"{config.set}-{config.head}", progress) as tracker:
        if config.corrections:
            run = _fit_corrected(config, progress, tracker, checkpoint, runs)
        else:
            run = _fit(config, progress, tracker, checkpoint)
        if tracker:
            tell_run(tracker, run)
    return run


def _fit_corrected(
    config: FitConfig,
    progress: Progress,
    tracker: Tracker | None,
    checkpoint: Path | None,
    runs: Path | None,
) -> Run:
    """Correct the set first; beside the head on what it is then, the same on what it was says what that was worth."""
    from headstart.fitting.before_after import (  # which few fits do
        ALONE,
        as_before,
        correct_set,
        with_effect,
        without_effect,
    )
    from headstart.fitting.earlier import earlier_run

    config, done = correct_set(config, progress)
    run = _fit(config, progress, tracker, checkpoint)
    try:
        asked = as_before(config, done)
        before = runs and earlier_run(runs, run, str(asked.digest), ALONE)
        before = before or _fit(asked, Silence(), None, None)
    except HeadstartError as error:
        return without_effect(run, str(error), done, progress)
    return with_effect(run, before, config, done, progress)


def _fit(config: FitConfig, progress: Progress, tracker: Tracker | None, checkpoint: Path | None) -> Run:
    start = perf_counter()
    features = Cache(config.cache).open_set(config.set, config.digest)
    if not features.label_names and heads_of(config) == [ZERO_SHOT]:
        return fit_unlabelled(config, features, progress)
    columns = label_columns(features, config.label)
    check_several(config, columns)
    if config.shared_trunk:
        check_trunk(config, {column: features.label_kinds[column] for column in columns})
    _say_label(config, columns, features, progress)
    reader = LabelReader(features, columns, prepares_together=bool(config.shared_trunk))
    jobs = open_jobs(config, columns, reader, progress)
    if any(head.computes_in_torch for job in jobs for head in job.heads):
        import torch  # noqa: F401 - so that the time and memory of training are its own
    loaded, memory = perf_counter(), MemoryWatch()
    trunk, chosen = None, _chosen(config, jobs, progress)
    if config.shared_trunk and len(jobs) > 1:
        trainings = [one.training for one in chosen]
        together = reader.with_any_label([one.column for one in trainings])
        trunk = train_trunk(config, trainings, together, progress, tracker, checkpoint)
        trained = heads_of_trunk(trunk, chosen)
    else:
        trained = train_heads(chosen, tracker, checkpoint)
    fitted, held = perf_counter(), memory.report()
    outcomes = [judged(one, loaded - start, held) for one in trained]
    end = perf_counter()
    timings = {
        "load": loaded - start, "fit": fitted - loaded, "evaluate": end - fitted, "total": end - start
    }  # fmt: skip
    if len(jobs) == 1:
        return make_record(jobs[0].config, replace(outcomes[0], timings=timings), progress)
    records = {
        str(job.config.label): make_record(job.config, outcome, progress)
        for job, outcome in zip(jobs, outcomes, strict=True)
    }
    return make_joined(config, records, outcomes[0], timings, trunk)


def _chosen(config: FitConfig, jobs: Sequence[LabelJob], progress: Progress) -> list[ChosenHead]:
    """The head of each label with its parameters; trials are run here, or on the nodes of a cluster."""
    if config.cluster is None:
        return [job.chosen() for job in jobs]
    from headstart.fitting.on_nodes import try_on
    from headstart.ray_trials import open_trials

    features = jobs[0].features
    with open_trials(config.cluster, features, None, config.offline, progress) as nodes:
        return [job.chosen(try_on(nodes, features)) for job in jobs]


def heads_of_trunk(trunk: TrainedTrunk, chosen: Sequence[ChosenHead]) -> list[TrainedHead]:
    """The head of each label in a network for all; each took the time of the whole."""
    refitted = trunk.refitted.members_ if trunk.refitted else [None] * len(chosen)
    return [
        TrainedHead(one, result, trunk.seconds, again)
        for one, result, again in zip(chosen, trunk.results, refitted, strict=True)
    ]


def judged(trained: TrainedHead, load_seconds: float, memory: Mapping[str, int]) -> FitOutcome:
    """What a trained head comes to."""
    chosen = trained.chosen
    training = chosen.training
    found = training.judge(trained.result, trained.refitted)
    start = perf_counter()
    curves = measure_curves(chosen.rivals, training)
    seconds = found.seconds + perf_counter() - start
    timings = {
        "load": load_seconds,
        "fit": trained.seconds,
        "evaluate": seconds,
        "total": load_seconds + trained.seconds + seconds,
    }
    return FitOutcome(
        training.config,
        training.features,
        training.data.splits,
        found.predictor,
        found.evaluation,
        timings,
        {**chosen.more, **found.more, **({**curves.report(), **leads_within(curves)} if curves else {})},
        memory,
        curves.table() if curves else None,
    )


def _say_label(config: FitConfig, columns: Sequence[str], features: FeatureSet, progress: Progress) -> None:
    """Which labels are learnt, where there are several and nobody chose."""
    if config.label is None and len(features.label_names) > 1:
        progress.say(
            f"label {columns[0]!r} of {', '.join(map(repr, features.label_names))}; --label chooses, or all of them"
        )
