"""The runs of a comparison: opened, named, and their predictions met by the samples' keys, never by position."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headstart.arrow import column_of, numbers_of, with_columns
from headstart.cache.layout import GROUP
from headstart.columns import cell
from headstart.errors import ConfigError, DataError, MismatchError, StorageError
from headstart.options import did_you_mean
from headstart.registry.evaluations import is_evaluation, open_evaluation, read_evaluation
from headstart.registry.run import PREDICTIONS, Run, nearest_folder
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.contracts import Task
    from headstart.registry.evaluations import RunEvaluation

AnyRun: TypeAlias = "Run | str | os.PathLike[str]"
Codes: TypeAlias = NDArray[np.intp]

SPLIT = "test"


@dataclass(frozen=True)
class NamedRun:
    """A run of a comparison: what it is called there, and its predictions for the test samples."""

    name: str
    run: Run
    predictions: pa.Table

    @property
    def task(self) -> str:
        """The kind of its labels."""
        return self.run.task


@dataclass(frozen=True)
class OpenedRun:
    """A run as it was given, of one label or several; ``found`` are its evaluation where that is compared."""

    name: str
    run: Run
    found: RunEvaluation | None = None

    def of(self, label: str | None) -> NamedRun:
        """Its predictions for one label; None: it has one alone."""
        run = self.run if label is None else self.run.of(label)
        if self.found is None:
            opened = NamedRun(self.name, run, run.predictions_of(SPLIT))
            _check_test(opened)
        else:
            found = self.found if label is None else self.found.of(label)
            opened = NamedRun(self.name, run, found.predictions)
        _check_columns(opened)
        return opened


def open_runs(runs: Sequence[AnyRun], on: str | None = None, label: str | None = None) -> list[NamedRun]:
    """Open two runs or more, by one label: none twice, none that is broken, and none without test samples.

    ``on`` is the name of an evaluation, whose samples stand for those of test.
    """
    found = open_by_label(runs, on, label)
    if len(found) > 1:
        raise ConfigError(
            f"the runs predict several labels, {', '.join(map(repr, found))}; say by which: label"
        )
    return next(iter(found.values()))


def open_by_label(
    runs: Sequence[AnyRun], on: str | None = None, label: str | None = None
) -> dict[str, list[NamedRun]]:
    """The same for each label that all of them predict, or for one that is said.

    Of runs that have one label each it is that, whatever it is called in each; its name is empty then.
    """
    opened = _open_all(runs, on)
    if label is None and not any(one.run.has_several for one in opened):
        return {"": [one.of(None) for one in opened]}
    return {each: [one.of(each) for one in opened] for each in _shared_labels(opened, label)}


def _shared_labels(opened: Sequence[OpenedRun], label: str | None) -> list[str]:
    """The labels that all runs predict, in the order of the first."""
    names = {one.name: one.run.label_names for one in opened}
    if label is not None:
        for run, known in names.items():
            if label not in known:
                raise MismatchError(
                    f"run {run} does not predict {label!r}{did_you_mean(label, known, 'it predicts')}"
                )
        return [label]
    first, *others = names.values()
    shared = [name for name in first if all(name in other for other in others)]
    if not shared:
        said = "; ".join(f"{run} {', '.join(map(repr, known))}" for run, known in names.items())
        raise MismatchError(f"the runs predict no label in common: {said}; compare runs of the same labels")
    return shared


def _open_all(runs: Sequence[AnyRun], on: str | None) -> list[OpenedRun]:
    if isinstance(runs, str | os.PathLike):
        raise ConfigError(f"compare takes a list of two runs or more (got {os.fspath(runs)!r})")
    runs = list(runs)
    if len(runs) < 2:
        raise ConfigError(f"compare takes two runs or more (got {len(runs)}); headstart runs ls lists them")
    for run in runs:
        if not isinstance(run, str | os.PathLike | Run):
            raise ConfigError(f"compare takes runs and run directories (got {run!r})")
    _check_twice(runs)
    names = name_runs(
        [_place(run) for run in runs], [run.head_name if isinstance(run, Run) else "" for run in runs]
    )
    return [_open(run, name, on) for run, name in zip(runs, names, strict=True)]


def _check_twice(runs: Sequence[AnyRun]) -> None:
    seen: set[str | int] = set()
    for run in runs:
        place = _place(run)
        known = id(run) if place is None else os.path.realpath(place)
        if known in seen:
            raise ConfigError(f"the run {place or run} is given twice; give each once")
        seen.add(known)


def _place(run: AnyRun) -> Path | None:
    return run.path if isinstance(run, Run) else Path(run)


def _open(given: AnyRun, name: str, on: str | None) -> OpenedRun:
    if isinstance(given, Run):
        run = given
    else:
        path = Path(given)
        if not path.is_dir():
            raise DataError(
                f"there is no run directory {path}{nearest_folder(path)}; headstart runs ls lists those that there are"
            )
        if is_evaluation(path):
            return _open_evaluated(path, name)
        run = Run.load(path)
        if not isinstance(run.report, dict) or not isinstance(run.report.get("metrics"), dict):
            raise StorageError(f"{path}: its report.json has no metrics; restore it, or make the run again")
    if on is None:
        return OpenedRun(name, run)
    if run.path is None:
        raise ConfigError(f"run {name} is in memory, and evaluations lie beside runs: save it first")
    return OpenedRun(name, run, read_evaluation(run.path, on))


def _open_evaluated(path: Path, name: str) -> OpenedRun:
    """The run that an evaluation is of, on its samples."""
    found = open_evaluation(path)
    place = found.report.get("run")
    if not isinstance(place, str):
        raise ConfigError(f"{path} is the evaluation of a run that was in memory, and compare needs the run")
    return OpenedRun(name, Run.load(place), found)


def _check_test(run: NamedRun) -> None:
    """A run must have test samples, and predictions for all that its report counts."""
    metrics = run.run.part("metrics").get(SPLIT)
    n, said = run.predictions.num_rows, metrics.get("n") if isinstance(metrics, dict) else None
    if not n and not said:
        raise MismatchError(
            f"run {run.name} has no test samples; compare judges runs on the test split, so fit it on a set with one"
        )
    if isinstance(said, int) and said != n:
        raise StorageError(
            f"run {run.name}: {PREDICTIONS} has {n:,} test samples, and its report {said:,}; make the run again"
        )


def _check_columns(run: NamedRun) -> None:
    task = _task(run)
    for field in run.predictions.schema:
        if not task.fits(field):
            raise StorageError(
                f"run {run.name}: {PREDICTIONS} has {field.type} in column {field.name!r}, which does not go with "
                f"{task.meaning}; make the run again"
            )


def _task(run: NamedRun) -> Task:
    try:
        return open_task(run.task)
    except ConfigError as error:
        raise StorageError(
            f"run {run.name} is of a task that this version does not know: {run.task!r} ({error})"
        ) from error


def name_runs(places: Sequence[Path | None], others: Sequence[str]) -> list[str]:
    """The last parts of each path, as many as tell them apart; runs in memory by what they are.

    Examples
    --------
    >>> name_runs([Path("a/ridge"), Path("b/ridge"), Path("mlp"), None], ["", "", "", "ridge"])
    ['a/ridge', 'b/ridge', 'mlp', 'ridge']
    """
    parts = [Path(os.path.abspath(place)).parts if place else (other,)
             for place, other in zip(places, others, strict=True)]  # fmt: skip
    depth = [1] * len(parts)
    while True:
        names = ["/".join(part[-n:]) for part, n in zip(parts, depth, strict=True)]
        counts = Counter(names)
        longer = [counts[name] > 1 and n < len(part)
                  for name, n, part in zip(names, depth, parts, strict=True)]  # fmt: skip
        if not any(longer):
            return [cell(name, None) for name in _numbered(names)]  # nothing moves the cursor of a terminal
        depth = [n + more for n, more in zip(depth, longer, strict=True)]


def _numbered(names: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return numbered


def match_rows(runs: Sequence[NamedRun]) -> list[pa.Table]:
    """The predictions of every run, all in the order of the first run's samples.

    Samples that are in a set several times, byte for byte, are told apart by their labels alone.

    Raises
    ------
    MismatchError
        A run has other test samples, other labels, or labels of another kind; the message counts them.
    """
    first, *others = runs
    for other in others:
        if first.task != other.task:
            raise MismatchError(
                f"run {first.name} predicts {open_task(first.task).meaning}, and run {other.name} "
                f"{open_task(other.task).meaning}; "
                "compare runs of one task"
            )
    tables = [run.predictions for run in runs]
    columns = [table.column("key").combine_chunks() for table in tables]
    codes = numbers_of(pa.concat_arrays(columns).dictionary_encode().indices)
    ends = np.cumsum([table.num_rows for table in tables])[:-1]
    keys = np.split(codes.astype(np.intp), ends)
    labels = np.split(np.unique(np.concatenate([_labels(run) for run in runs]), return_inverse=True)[1], ends)
    orders = [np.lexsort((label, key)) for label, key in zip(labels, keys, strict=True)]
    for place, other in enumerate(others, 1):
        _check_samples(first, other, keys[0], keys[place])
        _check_labels(first, other, labels[0], labels[place], orders[0], orders[place])
    ordered = [_ordered_like(orders[0], order, table)
               for order, table in zip(orders[1:], tables[1:], strict=True)]  # fmt: skip
    return _grouped_alike([tables[0], *ordered])


def _grouped_alike(tables: list[pa.Table]) -> list[pa.Table]:
    """Which samples belong together, as one of the runs knows, for all: those of older versions do not say."""
    known = next((table.column(GROUP) for table in tables if GROUP in table.column_names), None)
    if known is None:
        return tables
    return [with_columns(table.drop_columns([GROUP] if GROUP in table.column_names else []), {GROUP: known})
            for table in tables]  # fmt: skip


def _labels(run: NamedRun) -> NDArray[Any]:
    labels = run.predictions.column("label")
    if labels.null_count:
        raise StorageError(f"run {run.name} has test samples without a label; make the run again")
    return open_task(run.task).identities(labels)


def _check_samples(first: NamedRun, other: NamedRun, mine: Codes, others: Codes) -> None:
    n = max(mine.max(), others.max()) + 1
    surplus = np.bincount(mine, minlength=n) - np.bincount(others, minlength=n)
    lacking, added = int(surplus[surplus > 0].sum()), int(-surplus[surplus < 0].sum())
    if lacking:
        example = _shown(first, "id", int(np.flatnonzero(surplus[mine] > 0)[0]))
        raise MismatchError(
            f"run {other.name} lacks {lacking:,} of {first.name}'s {len(mine):,} test samples, e.g. {example}"
            + (f", and has {added:,} others" if added else "")
            + "; compare runs on the same test samples"
        )
    if added:
        example = _shown(other, "id", int(np.flatnonzero(surplus[others] < 0)[0]))
        raise MismatchError(
            f"run {other.name} has {added:,} test samples that {first.name} lacks, e.g. {example}; "
            "compare runs on the same test samples"
        )


def _check_labels(
    first: NamedRun, other: NamedRun, mine: Codes, others: Codes, order: Codes, other_order: Codes
) -> None:
    differing = np.flatnonzero(mine[order] != others[other_order])
    if len(differing):
        row, other_row = int(order[differing[0]]), int(other_order[differing[0]])
        raise MismatchError(
            f"labels of {len(differing):,} of {len(mine):,} test samples differ, e.g. of {_shown(first, 'id', row)}: "
            f"{_shown(first, 'label', row)} in {first.name}, {_shown(other, 'label', other_row)} in {other.name}; "
            "compare runs on the same labels"
        )


def _shown(run: NamedRun, column: str, row: int) -> str:
    """In one line, and not the whole of a text."""
    value: Any = run.predictions.column(column)[row].as_py()
    said = repr(value) if not isinstance(value, str) or not value.isprintable() else value
    return said if len(said) <= 80 else said[:79] + "…"


def _ordered_like(order: Codes, other_order: Codes, table: pa.Table) -> pa.Table:
    """The rows of a table in the order of another, where both orders sort their own."""
    rows = np.empty(len(order), dtype=np.int64)
    rows[order] = other_order
    return table.take(column_of(rows))
