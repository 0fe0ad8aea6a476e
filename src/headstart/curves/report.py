"""What a report says of curves, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from headstart.columns import cell, columns, with_deviation

if TYPE_CHECKING:
    from headstart.columns import Cell
    from headstart.types import Json

ProtocolName: TypeAlias = Literal["shots", "curve"]
NOUNS: Mapping[ProtocolName, str] = {"shots": "of each class", "curve": "train samples"}
"""What stands after a size."""
MOST_NAMED = 5
"""Rare classes that a line names."""


def rows_by_curve(report: Mapping[str, Json], protocol: str) -> dict[str, list[Mapping[str, Json]]]:
    """The rows of a protocol, ``shots`` or ``curve``, of each curve of a report; one without a name is the head's."""
    if "curves" in report:
        found = {str(curve["name"]): curve.get(protocol) or [] for curve in report["curves"]}
    else:
        found = {str(report.get("head", {}).get("name", "")): report.get(protocol) or []}
    return {name: rows for name, rows in found.items() if rows}


def curve_lines(report: Mapping[str, Json]) -> list[str]:
    """Tables of all protocols of a report: a row for each curve and size, and which classes have fewer samples."""
    lines: list[str] = []
    for protocol, noun in NOUNS.items():
        found = rows_by_curve(report, protocol)
        if found:
            ahead = report.get("ahead", {}).get(protocol, [])
            lines += ["", *_table(protocol, noun, found), *(cell(sentence, None) for sentence in ahead)]
    return lines


def _table(protocol: str, noun: str, curves: Mapping[str, Sequence[Mapping[str, Json]]]) -> list[str]:
    every = [row for rows in curves.values() for row in rows]
    figures = list(dict.fromkeys(figure for row in every for figure in row["mean"]))
    sure = [figure for figure in figures if any(row.get("interval", {}).get(figure) for row in every)]
    several = len(curves) > 1
    header = [*(["head"] if several else []), noun, "draws"]
    for figure in figures:
        header += [figure.replace("_", " "), *(["95 %"] if figure in sure else [])]
    table = [
        [*([cell(name)] if several else []), *_cells(row, figures, sure)]
        for name, rows in curves.items()
        for row in rows
    ]
    covers = dict.fromkeys(str(row["covers"]) for row in every if "covers" in row)
    over = [f"95 % intervals over {' or '.join(covers)}"] if covers else []
    rare = {row["size"]: row["rare"] for row in every if row.get("rare")}
    return [
        f"{protocol}, on {every[0]['split']}",
        *columns(header, table),
        *over,
        *(f"{size:,} {noun}: {rare_said(found)}" for size, found in rare.items()),
    ]


def _cells(row: Mapping[str, Json], figures: Sequence[str], sure: Sequence[str]) -> list[Cell]:
    cells: list[Cell] = [
        f"{row['size']:,} ({row['share']})" if "share" in row else row["size"],
        row.get("n", len(next(iter(row["values"].values()), []))),
    ]
    for figure in figures:
        cells.append(with_deviation(row["mean"].get(figure), row["deviation"].get(figure)))
        if figure in sure:
            interval = row.get("interval", {}).get(figure)
            cells.append(f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else None)
    return cells


def rare_said(rare: Mapping[str, int]) -> str:
    """Classes that have fewer samples than were asked for.

    Examples
    --------
    >>> rare_said({"lost card": 3, "fee": 7})
    '2 classes have fewer in train, of which all are taken: fee (7), lost card (3)'
    """
    named = [f"{cell(name)} ({n:,})" for name, n in sorted(rare.items())]
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    verb = "class has" if len(named) == 1 else "classes have"
    said = f"{len(named):,} {verb} fewer in train, of which all are taken"
    return f"{said}: {', '.join(named[:MOST_NAMED])}{more}"
