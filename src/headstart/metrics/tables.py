"""Tables that show where a head is wrong, and how far several of one kind differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.metrics.clusters import share_of
from headstart.metrics.intervals import wilson

if TYPE_CHECKING:
    from headstart.groups import Groups
    from headstart.types import Json

MOST_VALUES = 50
NUMERIC_BINS = 10


def most_confident_mistakes(
    ids: Sequence[str] | NDArray[Any],
    y_true: NDArray[Any],
    probabilities: NDArray[Any],
    classes: Sequence[str],
    n: int = 50,
) -> list[dict[str, Json]]:
    """The samples that the head is surest of and wrong about, the surest first: often they are label errors.

    Probabilities are (N, C). ``label_confidence`` is the probability of the true label, 0 for one that the head does
    not know.
    """
    known = np.asarray(classes, dtype=np.str_)
    truth = np.asarray(y_true, dtype=np.str_)
    best = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(len(best)), best]
    wrong = np.flatnonzero(known[best] != truth)
    rows = wrong[np.argsort(-confidence[wrong], kind="stable")[:n]]
    column = {name: place for place, name in enumerate(known.tolist())}
    return [
        {
            "id": str(ids[row]),
            "label": label,
            "prediction": str(known[best[row]]),
            "confidence": float(confidence[row]),
            "label_confidence": float(probabilities[row, column[label]]) if label in column else 0.0,
        }
        for row, label in zip(rows.tolist(), truth[rows].tolist(), strict=True)
    ]


@dataclass(frozen=True)
class Outcomes:
    """Which of N samples are right, and which belong together."""

    is_right: NDArray[np.bool_]
    groups: Groups | None

    def row(self, value: str, among: NDArray[np.bool_]) -> dict[str, Json]:
        """What is known of some of the samples."""
        right = self.is_right[among]
        n, hits = len(right), int(right.sum())
        counted = share_of(right, None if self.groups is None else self.groups.among(among))
        interval = [max(end, 0.0) for end in wilson(*counted)] if counted[1] else [0.0, 1.0]
        return {
            "value": value,
            "n": n,
            "accuracy": hits / n,
            "interval": [interval[0], min(interval[1], 1.0)],
        }


def errors_by(
    columns: Mapping[str, NDArray[Any]], is_right: NDArray[Any], groups: Groups | None = None
) -> dict[str, list[dict[str, Json]]]:
    """The accuracy among the samples with each value of each column.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (N,)
        Of str, bool or numbers. Strings that are all numbers count as numbers; an empty string or
        NaN is "(missing)". More than 10 different numbers are put in 10 bins with as many samples
        each. A column of names that are nearly all different tells nothing and is left out.
    is_right : ndarray of bool, shape (N,)
    groups : Groups, optional
        Which samples belong together. Those of one group alone say nothing of others: [0, 1].

    Returns
    -------
    dict
        {column: [{value, n, accuracy, interval: [low, high]}]}: the 50 most frequent values, then
        "(others)"; bins in their order. The interval is Wilson's, 95 %.
    """
    right = Outcomes(np.asarray(is_right, dtype=bool), groups)
    tables = {name: _by_value(np.asarray(values), right) for name, values in columns.items()}
    return {name: table for name, table in tables.items() if table}


def _by_value(values: NDArray[Any], right: Outcomes) -> list[dict[str, Json]]:
    numeric = _as_numbers(values)
    if numeric is not None and len(np.unique(numeric[np.isfinite(numeric)])) > NUMERIC_BINS:
        return _by_bin(numeric, right)
    names = np.asarray(values, dtype=np.str_)
    names = np.where(np.isin(names, ["", "nan", "None"]), "(missing)", names)
    distinct, codes = np.unique(names, return_inverse=True)
    if len(distinct) > max(MOST_VALUES, len(names) // 2):
        return []
    counts = np.bincount(codes)
    order = np.argsort(-counts, kind="stable")
    rows = [right.row(str(distinct[code]), codes == code) for code in order[:MOST_VALUES]]
    others = np.isin(codes, order[MOST_VALUES:])
    return [*rows, right.row("(others)", others)] if others.any() else rows


def _by_bin(numeric: NDArray[np.float64], right: Outcomes) -> list[dict[str, Json]]:
    known = np.isfinite(numeric)
    edges = np.unique(np.quantile(numeric[known], np.linspace(0, 1, NUMERIC_BINS + 1)))
    bin_of = np.clip(np.searchsorted(edges, numeric, side="right") - 1, 0, max(len(edges) - 2, 0))
    rows = [
        right.row(f"{numeric[inside].min():.6g} to {numeric[inside].max():.6g}", inside)
        for place in range(max(len(edges) - 1, 1))
        if (inside := known & (bin_of == place)).any()
    ]
    return rows if known.all() else [*rows, right.row("(missing)", ~known)]


def _as_numbers(values: NDArray[Any]) -> NDArray[np.float64] | None:
    """Numbers with NaN for what is missing; None if some value is a name."""
    if values.dtype.kind in "iuf":
        return values.astype(np.float64)
    if values.dtype.kind == "b":
        return None
    names = np.asarray(values, dtype=np.str_)
    try:
        return np.where(np.isin(names, ["", "None"]), "nan", names).astype(np.float64)
    except ValueError:
        return None


def summarise(reports: Sequence[Mapping[str, Json]]) -> dict[str, dict[str, Json]]:
    """The mean, the deviation and the values of every figure over several reports (seeds, folds, shots).

    What is no number is passed over, and so is a None of one report in the figures of the others. The deviation is
    that of a sample (n - 1), None for one value.

    Examples
    --------
    >>> summarise([{"accuracy": 0.5}, {"accuracy": 0.75}])["accuracy"]["mean"]
    0.625
    """
    names = dict.fromkeys(name for report in reports for name, value in report.items() if _is_number(value))
    columns = {name: [report[name] for report in reports if _is_number(report.get(name))] for name in names}
    return {
        name: {
            "mean": float(np.mean(values)),
            "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "values": values,
        }
        for name, values in columns.items()
    }


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
