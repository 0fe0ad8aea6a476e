"""A head on a corrected set beside the same head on the set as it was: what the corrections were worth."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import column_of, positions_in
from headstart.cache.corrections import ENTRY
from headstart.cache.layout import LABEL
from headstart.cache.store import Cache
from headstart.config import EvaluateConfig
from headstart.corrections.apply import correct
from headstart.corrections.table import rows_of, without
from headstart.errors import DataError, HeadstartError
from headstart.evaluation.stage import answers_on
from headstart.groups import groups_in
from headstart.metrics.paired import Paired
from headstart.metrics.resampling import RESAMPLES
from headstart.progress import Silence
from headstart.registry.labels import LABELS
from headstart.tasks import open_task
from headstart.words import counted

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.cache.corrections import Sample
    from headstart.cache.sets import FeatureSet
    from headstart.config import FitConfig
    from headstart.contracts import Progress
    from headstart.corrections.summary import Corrected
    from headstart.metrics.paired import Versus
    from headstart.registry.run import Run
    from headstart.types import Figure, Json

BEFORE, AFTER = "before", "after"
JUDGED = ("validation", "test")
CORRECTIONS = "corrections"
ALONE: dict[str, Any] = {"seeds": 1, "shots": [], "curve": []}
"""What a configuration has where one head is fitted, and nothing is said of it over seeds and sizes."""
TOO_FEW = "before and after differ on too few samples"


def correct_set(config: FitConfig, progress: Progress) -> tuple[FitConfig, Corrected]:
    """Apply the corrections of a configuration; the same configuration for the state that they lead to."""
    features = Cache(config.cache).open_set(config.set, config.digest)
    done = correct(features, config.corrections, progress)
    return config.model_copy(update={"digest": done.after.digest}), done


def as_before(config: FitConfig, done: Corrected) -> FitConfig:
    """The configuration of the same head on the set without the corrections.

    What the report would say of one head alone, over seeds and sizes, is left out.

    Raises
    ------
    DataError
        There is no such state, or it is the same.
    """
    before = state_without(done)
    if before is None:
        raise DataError(
            "the state of the set without these corrections is not kept any more"
            if done.rows
            else "there is no correction"
        )
    return config.model_copy(
        update={"digest": before.digest, "corrections": [], "track": [], "plots": "none", **ALONE}
    )


def state_without(done: Corrected) -> FeatureSet | None:
    """The newest state of the set that differs by the corrections of these files alone.

    So files that were applied before, for another head, are judged as they were the first time. Where there is no such
    state any more, it is that before the command.
    """
    after = done.after
    wanted = {row.identity for row in after.corrections} - done.rows
    cache, folder = Cache(after.cache), after.path.parent
    states = [
        done.before,
        *filter(None, (_opened(cache, folder, name) for name in cache.home.state_names(folder))),
    ]
    fitting = [state for state in states if {row.identity for row in state.corrections} == wanted]
    about = {(row[0], row[1]) for row in done.rows}
    fitting = [state for state in fitting if _is_else_like(state, after, about)]
    newest = max(
        fitting, key=lambda state: (state is done.before, str(state.info["created"])), default=done.before
    )
    return None if newest.digest == after.digest else newest


def _opened(cache: Cache, folder: Any, digest: str) -> FeatureSet | None:
    try:
        state = cache.open_state(folder, digest)
        _ = state.corrections
    except HeadstartError:
        return None
    return state


def _is_else_like(state: FeatureSet, after: FeatureSet, about: Collection[Sample]) -> bool:
    """Whether two states have the same features, and but for some samples the same ones with the same labels."""
    if not set(after.features) <= set(state.features) or set(state.label_names) != set(after.label_names):
        return False
    names = ["id", "key", "split", *(LABEL + column for column in after.label_names)]
    mine, others = (_without(each.columns(names), about) for each in (state, after))
    return bool(mine.equals(others))


def _without(table: pa.Table, samples: Collection[Sample]) -> pa.Table:
    return without(table, [row for some in rows_of(table, samples).values() for row in some])


def without_effect(run: Run, reason: str, done: Corrected, progress: Progress) -> Run:
    """The run on the corrected set, beside which there is none from before, and why."""
    progress.say(f"there is no head from before the corrections to compare with: {reason}")
    return run.replaced(report={**run.report, CORRECTIONS: {**describe(done), "no_comparison": reason}})


def with_effect(run: Run, before: Run, config: FitConfig, done: Corrected, progress: Progress) -> Run:
    """The run on the corrected set, with what the corrections did in its report."""
    told = describe(done)
    told["digest_before"] = str(before.features["digest"])
    if before.path is not None:
        told["run_before"] = before.path.name
    if not run.has_several:
        effect = _effect(run, before, config, progress)
        return run.replaced(report={**run.report, CORRECTIONS: {**told, **effect}})
    effects = {
        label: _effect(run.of(label), before.of(label), config, progress, label)
        for label in run.label_names
        if label in before.label_names
    }
    labels = {
        label: {**report, CORRECTIONS: effects[label]} if label in effects else report
        for label, report in run.report[LABELS].items()
    }
    parts = {
        label: part.replaced(report={**part.report, CORRECTIONS: effects.get(label, {})})
        for label, part in run.content["parts"].items()
    }
    return run.replaced(report={**run.report, LABELS: labels, CORRECTIONS: told}, parts=parts)


def describe(done: Corrected) -> dict[str, Json]:
    """What a report says of corrections themselves."""
    entry = done.after.info.get(ENTRY, {})
    skipped = [
        {name: getattr(one.row, name) for name in ("id", "label", "old", "new", "action")} | {"now": one.now}
        for one in done.skipped
    ]
    return {
        "files": [{"name": file.name, "digest": file.digest, "rows": len(file.rows)} for file in done.files],
        "applied": {action: done.applied.get(action, 0) for action in ("relabel", "drop", "keep", "unsure")},
        "known": done.n_known,
        "already": done.n_already,
        "skipped": skipped,
        "in_all": {name: value for name, value in entry.items() if isinstance(value, int) and name != "turn"},
        "new_classes": {column: list(names) for column, names in done.classes.items()},
        "contradicting": done.n_contradicting,
        "digest_before": done.before.digest,
        "digest_after": done.after.digest,
    }


def _effect(run: Run, before: Run, config: FitConfig, progress: Progress, label: str = "") -> dict[str, Json]:
    """By split, how good the head is on labels as they were and as they are, before the corrections and after."""
    found: dict[str, Json] = {}
    for split in JUDGED:
        if split == "validation" and config.refit:
            continue  # which the heads that are kept have seen
        tables = [each.predictions_of(split) for each in (before, run)]
        if not all(table.num_rows for table in tables):
            continue
        try:
            found[split] = _on_split(run, before, tables[0], tables[1], split, config)
        except HeadstartError as error:
            found[split] = {"no_comparison": str(error)}
            progress.say(f"{split} is not compared with before the corrections: {error}")
    for line in _lines(found, open_task(run.task).figures[0], label):
        progress.say(line)
    return found


def _on_split(
    run: Run, before: Run, was: pa.Table, now: pa.Table, split: str, config: FitConfig
) -> dict[str, Json]:
    changed, n_dropped = _changes(was, now, run.task)
    if not changed:
        pair = _aligned(was, now)
        both = _compared({BEFORE: was, AFTER: pair}, run.task, config.seed)
        return {
            "n_changed": 0, "n_dropped": 0, "are_one": True, "as_they_were": both, "as_corrected": both,
        }  # fmt: skip
    others = {
        name: _judged_elsewhere(each, state, split, config)
        for name, each, state in ((AFTER, run, before), (BEFORE, before, run))
    }
    return {
        "n_changed": changed,
        "n_dropped": n_dropped,
        "are_one": False,
        "as_they_were": _compared({BEFORE: was, AFTER: _aligned(was, others[AFTER])}, run.task, config.seed),
        "as_corrected": _compared({BEFORE: _aligned(now, others[BEFORE]), AFTER: now}, run.task, config.seed),
    }


def _changes(was: pa.Table, now: pa.Table, kind: str) -> tuple[int, int]:
    """How many samples have another label, came or went; and how many of them went."""
    task = open_task(kind)
    places = positions_in(was.column("id"), now.column("id"))
    stay = np.flatnonzero(places >= 0)
    n_dropped, n_new = len(was) - len(stay), len(now) - len(stay)
    mine = task.identities(was.column("label").take(column_of(stay)))
    others = task.identities(now.column("label").take(column_of(places[stay])))
    return int((mine != others).sum()) + n_dropped + n_new, n_dropped


def _aligned(table: pa.Table, other: pa.Table) -> pa.Table:
    """The rows of another table in the order of one that has the same samples."""
    return other.take(column_of(positions_in(table.column("id"), other.column("id"))))


def _judged_elsewhere(run: Run, other: Run, split: str, config: FitConfig) -> pa.Table:
    """What a run says of the samples of the state that another one was fitted on, with their labels there."""
    state = Cache(config.cache).open_set(config.set, str(other.features["digest"]))
    column = str(run.labels["column"])
    about: dict[str, Any] = {"name": split, "split": split, "plots": "none", "seed": config.seed}
    asked = EvaluateConfig(data=state, cache=config.cache, label_column=[column], **about)
    return answers_on(run, asked, Silence())


def _compared(tables: Mapping[str, pa.Table], kind: str, seed: int) -> dict[str, Json]:
    """Every figure before and after, on the same samples, with the interval of the difference."""
    task, n = open_task(kind), tables[BEFORE].num_rows
    judged = task.judge(tables)
    paired = Paired(judged, n, RESAMPLES, seed, groups_in(tables[BEFORE]))
    versus = paired.versus(AFTER, BEFORE)
    figures = {figure.name: _figure(paired, versus, figure.name) for figure in task.figures}
    return {
        "n": n,
        "figures": figures,
        "only_before": versus.only_other,
        "only_after": versus.only_this,
        "p_value": versus.p_value,
    }


def _figure(paired: Paired, versus: Versus, name: str) -> dict[str, Json]:
    """A figure before and after; ``no_interval`` says why the difference has none."""
    values = {which: paired.judged[which].figures[name] for which in (BEFORE, AFTER)}
    found = versus.differences.get(name)
    told: dict[str, Json] = {
        **{which: _finite(value) for which, value in values.items()},
        "difference": _finite(values[AFTER] - values[BEFORE]),
        "interval": None if found is None else found.interval,
    }
    if told["interval"] is None:
        reasons = (paired.reason(which, name) for which in (BEFORE, AFTER))
        told["no_interval"] = next(filter(None, reasons), TOO_FEW if found else "it is not resampled")
    return told


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _lines(found: Mapping[str, Json], figure: Figure, label: str) -> Iterator[str]:
    """The gain on the split that says most of new data."""
    split = next((name for name in reversed(JUDGED) if "as_corrected" in found.get(name, {})), None)
    if split is None:
        return
    of = f" of {label!r}" if label else ""
    part = found[split]
    told = _gain(part["as_corrected"], figure)
    if part["are_one"]:
        yield f"corrections changed {figure.title}{of} on {split}, none of whose labels they changed: {told}"
        return
    yield (
        f"corrections changed {figure.title}{of} on {split} as corrected: {told}; as it was: "
        f"{_gain(part['as_they_were'], figure)} ({counted(part['n_changed'], 'sample')} changed)"
    )


def _gain(part: Mapping[str, Json], figure: Figure) -> str:
    """A figure before and after, and by how much they differ."""
    values = part["figures"][figure.name]
    if values["difference"] is None:
        return "it cannot be computed"
    scale, digits = (100, ".1f") if figure.is_share else (1, ".3g")
    said = f"{values[BEFORE]:.4f} to {values[AFTER]:.4f} ({scale * values['difference']:+{digits}}"
    if values["interval"] is not None:
        low, high = (scale * end for end in values["interval"])
        said += f" [{low:+{digits}}, {high:+{digits}}]"
    return said + (" points)" if figure.is_share else ")")
