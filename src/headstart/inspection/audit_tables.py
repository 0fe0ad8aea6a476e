"""What an audit found, as tables and as figures for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import column_of, keys_from_arrow, mask_of
from headstart.backbones.pooling import display_tap
from headstart.cache.layout import GROUP, LABEL
from headstart.inspection.audit import splits_of
from headstart.inspection.words import WORD
from headstart.metrics.counts import numbers
from headstart.tasks import open_task
from headstart.types import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.inspection.audit import Audit, Leaks
    from headstart.inspection.distances import Pairs
    from headstart.inspection.label_errors import LabelErrors
    from headstart.types import Json


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
