"""The curves of a run on its page: each head at each size, as its report has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from headstart.columns import cell
from headstart.curves.report import NOUNS, rare_said, rows_by_curve

if TYPE_CHECKING:
    from headstart.registry.run import Run
    from headstart.types import Json

Rows = Sequence[Mapping[str, "Json"]]


def curves_of(run: Run) -> list[dict[str, Json]]:
    """A table for each protocol of a run, and what is to be kept in mind of it; empty for a run without draws."""
    found = ((protocol, noun, rows_by_curve(run.report, protocol)) for protocol, noun in NOUNS.items())
    return [
        _table(protocol, noun, curves, run.part("ahead").get(protocol) or [])
        for protocol, noun, curves in found
        if curves
    ]


def _table(protocol: str, noun: str, curves: Mapping[str, Rows], ahead: Sequence[str]) -> dict[str, Json]:
    every = [row for rows in curves.values() for row in rows]
    figures = list(dict.fromkeys(figure for row in every for figure in row["mean"]))
    covers = dict.fromkeys(str(row["covers"]) for row in every if "covers" in row)
    rare = {row["size"]: row["rare"] for row in every if row.get("rare")}
    return {
        "title": "Few shots" if protocol == "shots" else "Learning curve",
        "noun": noun,
        "split": str(every[0]["split"]),
        "figures": [figure.replace("_", " ") for figure in figures],
        "rows": [_row(cell(name), row, figures) for name, rows in curves.items() for row in rows],
        "notes": [
            *([f"95 % intervals over {' or '.join(covers)}"] if covers else []),
            *(cell(sentence, None) for sentence in ahead),
            *(f"{size:,} {noun}: {rare_said(classes)}" for size, classes in rare.items()),
        ],
    }


def _row(name: str, row: Mapping[str, Json], figures: Sequence[str]) -> dict[str, Json]:
    intervals = row.get("interval", {})
    return {
        "name": name,
        "size": row["size"],
        "share": str(row["share"]) if "share" in row else None,
        "draws": row.get("n", len(next(iter(row["values"].values()), []))),
        "values": [
            {
                "mean": row["mean"].get(each),
                "deviation": row["deviation"].get(each),
                "interval": intervals.get(each),
            }
            for each in figures
        ],
    }
