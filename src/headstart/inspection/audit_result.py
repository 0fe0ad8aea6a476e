"""What an audit is asked for and what it found: as figures for machines, as tables, and as a notebook shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import AfterValidator

from headstart.arrow import codes_by_name, column_of, keys_from_arrow, mask_of
from headstart.backbones.pooling import display_tap
from headstart.cache.layout import GROUP, LABEL
from headstart.config import Config
from headstart.errors import ConfigError
from headstart.held_values import Corrections
from headstart.inspection.words import WORD, WordSamples
from headstart.metrics.counts import numbers
from headstart.notebook import html_table
from headstart.options import Range
from headstart.tasks import open_task
from headstart.types import SPLITS
from headstart.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.mapped import MappedFeatures
    from headstart.heads.approximate import Recall
    from headstart.heads.neighbours import Neighbours
    from headstart.inspection.distances import Pairs
    from headstart.inspection.label_errors import LabelErrors
    from headstart.types import Json

    Rows = NDArray[np.int64]

CHECKS = ("labels", "duplicates", "leaks", "outliers")
TITLES = {
    "label_errors": "labels that are likely wrong",
    "duplicates": "near-duplicates",
    "leaks": "near-duplicates of a train sample in validation or test",
    "group_leaks": "samples in validation or test whose group is in train as well",
    "outliers": "outliers",
}
SHOWN_ROWS = 5


def _known_checks(checks: list[str] | None) -> list[str] | None:
    unknown = [name for name in checks or () if name not in CHECKS]
    if unknown or checks == []:
        raise ConfigError(f"checks: {unknown[0] if unknown else 'none'!r}; choose from: {', '.join(CHECKS)}")
    return checks


class AuditConfig(Config):
    """What `audit` is asked for; without a tap it is the latest with one vector per sample.

    Near-duplicates are told by the cosine of features after the mean of all was subtracted, outliers by robust
    deviations (Iglewicz and Hoaglin 1993).
    """

    function = "audit"
    set: str
    tap: str | None
    backbone: str | None
    label: str | None
    checks: Annotated[list[str] | None, AfterValidator(_known_checks)]
    threshold: Annotated[float, Range(gt=0, le=1)]
    outlier_z: Annotated[float, Range(gt=0)]
    neighbours: Literal["exact", "approximate"]
    corrections: Corrections
    cache: str | None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Leaks:
    """Rows outside train that have a near-duplicate in train, and what they are worth."""

    pairs: dict[str, Pairs]
    """By split, ``test`` and ``validation``: a row of the set, and its nearest in train."""
    metric: str
    """accuracy, micro_f1 or r2; empty if there are no labels to measure with."""
    figures: dict[str, dict[str, float]]
    """By method (``ridge``, ``knn``), the metric on test ``with`` and ``without`` the leaked rows."""


@dataclass(slots=True)
class Audit:
    """What was found, None where it was not looked for; rows are those of ``samples``."""

    config: AuditConfig
    samples: MappedFeatures | WordSamples
    """N samples of all splits that have the feature; where these are sentences, all words of them that have tags."""
    column: str | None
    """The label column; None if the set has none."""
    labels: LabelErrors | None = None
    duplicates: Pairs | None = None
    groups: Rows | None = None
    """Which group of near-duplicates each row is in, -1 if in none, (N,)."""
    near_train: Neighbours | None = None
    """Of each row the ten nearest of train, where all were compared."""
    leaks: Leaks | None = None
    grouped_by: str = ""
    shared_groups: dict[str, Rows] | None = None
    """By split, ``test`` and ``validation``: the rows whose group is in train too; None where there are no groups."""
    outliers: Rows | None = None
    """The farthest first."""
    distance: NDArray[np.float64] | None = None
    """Mean distance to the ten nearest, (N,)."""
    z: NDArray[np.float64] | None = None
    """How many robust deviations that is above the median."""
    recall: Recall | None = None
    """Of an approximate search for neighbours; None of an exact one."""
    seconds: dict[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        found = "; ".join(f"{n} {name}" for name, n, _ in summary_of(audit_report(self)))
        return f"Audit({self.config.set!r}, {counted(len(self.samples), 'sample')}: {found})"

    def _repr_html_(self) -> str:
        report = audit_report(self)
        parts = [
            html_table(f"audit of {self.config.set}", ["check", "found", "of which"], summary_of(report))
        ]
        for name, table in audit_tables(self).items():
            if table.num_rows:
                header = [column for column in table.column_names if not column.endswith("key")]
                title = f"{TITLES[name]}, the first {min(SHOWN_ROWS, table.num_rows)} of {table.num_rows:,}"
                rows = [list(map(_cell, row)) for row in shown_rows(table, SHOWN_ROWS)]
                parts.append(html_table(title, header, rows))
        return "".join(parts)


def _cell(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def audit_tables(found: Audit) -> dict[str, pa.Table]:
    """A table for each check: ``label_errors``, ``duplicates``, ``leaks``, ``outliers``; the worst rows first."""
    tables: dict[str, pa.Table] = {}
    if found.labels is not None:
        tables["label_errors"] = _label_errors(found, found.labels)
    if found.duplicates is not None and found.groups is not None:
        group = column_of(found.groups[found.duplicates.first])
        tables["duplicates"] = _pairs(found, found.duplicates).append_column("group", group)
    if found.leaks is not None:
        leaks = [_pairs(found, pairs) for pairs in found.leaks.pairs.values()]
        tables["leaks"] = pa.concat_tables(leaks) if leaks else pa.table({})
    if found.shared_groups is not None:
        rows = np.concatenate(list(found.shared_groups.values()))
        group = found.samples.table.column(GROUP).take(column_of(rows))
        tables["group_leaks"] = _samples(found, rows).append_column("group", group)
    if found.outliers is not None and found.distance is not None and found.z is not None:
        rows = _samples(found, found.outliers)
        rows = rows.append_column("distance", column_of(found.distance[found.outliers]))
        tables["outliers"] = rows.append_column("z", column_of(found.z[found.outliers]))
    return tables


def audit_report(found: Audit) -> dict[str, Json]:
    """The figures: counts, thresholds, and the metric with and without the rows that leaked."""
    samples, config = found.samples, found.config
    report: dict[str, Json] = {
        "set": config.set,
        "backbone": samples.feature.backbone,
        "tap": display_tap(samples.feature.tap),
        "space": samples.feature.space,
        "label": found.column,
        "n": len(samples),
    }
    if found.labels is not None:
        report["labels"] = {"n": len(found.labels), **_by_split(found, found.labels.row)}
    if found.duplicates is not None and found.groups is not None:
        report["duplicates"] = _duplicates(found, found.duplicates, found.groups)
    if found.leaks is not None:
        report["leaks"] = _leaks(found, found.leaks)
    if found.shared_groups is not None:
        groups = {f"n_{split}": len(rows) for split, rows in found.shared_groups.items()}
        report["group_leaks"] = {"group": found.grouped_by, **groups}
    if found.outliers is not None:
        counts = _by_split(found, found.outliers)
        report["outliers"] = {"z": config.outlier_z, "n": len(found.outliers), **counts}
    if found.recall is not None:
        report["search"] = found.recall.to_json()
    return {**report, "seconds": found.seconds}


def _label_errors(found: Audit, errors: LabelErrors) -> pa.Table:
    table = _samples(found, errors.row)
    suggested = open_task(found.samples.kind).decode(errors.suggested, found.samples.names)
    return table.append_column("suggested", suggested).append_column("score", column_of(errors.score))


def _pairs(found: Audit, pairs: Pairs) -> pa.Table:
    """A row a pair, the columns of its second sample with an ``other_`` before their names."""
    first, second = _samples(found, pairs.first), _samples(found, pairs.second)
    for name in second.column_names:
        first = first.append_column(f"other_{name}", second.column(name))
    first = first.append_column("cosine", column_of(pairs.cosine))
    return first.append_column("exact", mask_of(_exact(found, pairs)))


def _exact(found: Audit, pairs: Pairs) -> NDArray[np.bool_]:
    """Which pairs are of one content: their keys are equal."""
    keys = keys_from_arrow(found.samples.table.column("key"))
    equal: NDArray[np.bool_] = (keys[pairs.first] == keys[pairs.second]).all(axis=1)
    return equal


def _samples(found: Audit, rows: NDArray[np.int64]) -> pa.Table:
    """``id``, ``key`` and ``split`` of some rows, of a word its place in the sentence, and their ``label``."""
    whole = found.samples.table
    places = [WORD] if WORD in whole.column_names else []
    names = ["id", "key", "split", *places, *([LABEL + found.column] if found.column else [])]
    table = whole.select(names).take(column_of(rows))
    return table.rename_columns([name if ":" not in name else "label" for name in names])


def _by_split(found: Audit, rows: NDArray[np.int64]) -> dict[str, int]:
    counts = np.bincount(splits_of(found.samples)[rows], minlength=len(SPLITS))
    return {f"n_{split}": int(n) for split, n in zip(SPLITS, counts, strict=True)}


def _duplicates(found: Audit, pairs: Pairs, groups: NDArray[np.int64]) -> dict[str, Json]:
    splits, y = splits_of(found.samples), found.samples.y
    apart = np.zeros(len(pairs), dtype=bool)
    if found.column and open_task(found.samples.kind).has_names:
        unequal = y[pairs.first] != y[pairs.second]
        apart = unequal if unequal.ndim == 1 else unequal.any(axis=1)
    return {
        "threshold": found.config.threshold,
        "n_pairs": len(pairs),
        "n_exact": int(_exact(found, pairs).sum()),
        "n_samples": int((groups >= 0).sum()),
        "n_groups": int(groups.max(initial=-1)) + 1,
        "n_across_splits": int((splits[pairs.first] != splits[pairs.second]).sum()),
        "n_other_label": int(apart.sum()),
    }


def _leaks(found: Audit, leaks: Leaks) -> dict[str, Json]:
    counts = {f"n_{split}": len(pairs) for split, pairs in leaks.pairs.items()}
    figures = {name: numbers(figure) for name, figure in leaks.figures.items()}
    return {"threshold": found.config.threshold, **counts, "metric": leaks.metric, **figures}


def shown_rows(table: pa.Table, n: int) -> list[list[Any]]:
    """The first rows of a table without keys, as a person reads them."""
    columns = [name for name in table.column_names if not name.endswith("key")]
    return [[_shown(row[name]) for name in columns] for row in table.slice(0, n).to_pylist()]


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return " + ".join(map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def splits_of(samples: MappedFeatures | WordSamples) -> NDArray[np.int8]:
    """The split of each sample, as an index into ``SPLITS``."""
    codes: NDArray[np.int8] = codes_by_name(samples.table.column("split"), SPLITS, np.int8)
    return codes


def summary_of(report: Json) -> list[list[Any]]:
    """A row for each check: how much was found, and of which kind."""
    rows: list[list[Any]] = []
    if labels := report.get("labels"):
        rows.append(["wrong labels", labels["n"], _split_counts(labels)])
    if twins := report.get("duplicates"):
        said = (
            f"{twins['n_exact']:,} exact, {twins['n_across_splits']:,} across splits, "
            f"{twins['n_other_label']:,} with different labels; {twins['n_samples']:,} samples in "
            f"{twins['n_groups']:,} groups"
        )
        rows.append(["duplicate pairs", twins["n_pairs"], said])
    if leaks := report.get("leaks"):
        n_test, n_validation = leaks.get("n_test", 0), leaks.get("n_validation", 0)
        said = f"{n_test:,} test, {n_validation:,} validation{_worth(leaks)}"
        rows.append(["leaks", n_test + n_validation, said])
    if groups := report.get("group_leaks"):
        n_test, n_validation = groups["n_test"], groups["n_validation"]
        said = f"{n_test:,} test, {n_validation:,} validation, by {groups['group']}"
        rows.append(["leaks by group", n_test + n_validation, said])
    if outliers := report.get("outliers"):
        rows.append(["outliers", outliers["n"], _split_counts(outliers)])
    return rows


def _split_counts(counts: Json) -> str:
    return ", ".join(f"{counts[f'n_{split}']:,} {split}" for split in ("train", "validation", "test"))


def _worth(leaks: Json) -> str:
    """The metric on test with and without what leaked."""
    said = [
        f"{name} {leaks['metric']} {_number(leaks[name]['with'])} with, {_number(leaks[name]['without'])} without"
        for name in ("ridge", "knn")
        if name in leaks
    ]
    return "; " + "; ".join(said) if said else ""


def _number(value: float | None) -> str:
    """A figure; a dash where the rows that are left have none (no row, or an R² of one)."""
    return "-" if value is None else f"{value:.4f}"
