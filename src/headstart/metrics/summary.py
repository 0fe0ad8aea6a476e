"""Figures of several runs (seeds, folds, shots) as means and deviations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from headstart.types import Json


def summarise(reports: Sequence[Mapping[str, Json]]) -> dict[str, dict[str, Json]]:
    """The mean and the deviation of every figure over several reports.

    Parameters
    ----------
    reports : sequence of mapping
        As `evaluate_single` and its kin give them. What is no number is passed over, and so is
        a None of one report in the figures of the others.

    Returns
    -------
    dict
        {name: {mean, deviation, values}}; the deviation is that of a sample (n - 1), None for one
        value.

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
