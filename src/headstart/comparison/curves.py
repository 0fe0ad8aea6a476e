"""Few-shot protocols and learning curves of several runs side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.arrow import positions_in
from headstart.columns import with_interval
from headstart.curves.ahead import compare_curves, written_lead
from headstart.curves.marks import figure_of
from headstart.curves.record import KeptCurves
from headstart.curves.report import NOUNS

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.comparison.runs import NamedRun
    from headstart.curves.ahead import ComparedCurves, Point
    from headstart.groups import Groups
    from headstart.plots import Plot
    from headstart.types import Json


def curves_of(
    opened: Sequence[NamedRun], tables: Sequence[pa.Table], groups: Groups | None
) -> tuple[tuple[ComparedCurves, ...], list[str]]:
    """The curves of runs, held against each other, and notes on what could not be.

    ``tables`` are the predictions of the runs for the same test samples in one order, ``groups`` of these.
    """
    kept, notes = list[KeptCurves](), list[str]()
    for run, table in zip(opened, tables, strict=True):
        marks = run.run.marks
        if marks is None:
            continue
        found = KeptCurves.read(marks, f"draws.parquet of run {run.name}")
        reason = _why_not(found, table, kept)
        if reason:
            notes.append(f"the curves of {run.name} are left out: {reason}")
        else:
            kept.append(_ordered(found, table, run.name))
    if not kept:
        return (), notes
    curves = [curve for each in kept for curve in each.curves]
    figure, of_samples = figure_of(opened[0].task, kept[0].figure), kept[0].of_samples
    compared = [compare_curves(curves, name, figure, groups if of_samples else None) for name in NOUNS]
    return tuple(each for each in compared if each is not None), notes


def _why_not(found: KeptCurves, table: pa.Table, others: Sequence[KeptCurves]) -> str | None:
    """Why the curves of a run cannot be compared; None if they can."""
    if found.split != "test":
        return f"they were judged on {found.split}"
    if others and (found.figure, len(found.units)) != (others[0].figure, len(others[0].units)):
        return "they are of other test samples"
    if found.of_samples and (
        len(found.units) != table.num_rows or (positions_in(found.units, table.column("id")) < 0).any()
    ):
        return "they are not of all test samples"
    return None


def _ordered(found: KeptCurves, table: pa.Table, run: str) -> KeptCurves:
    """With marks in the order of the table, and curves called after the run."""
    rows = np.arange(len(found.units))
    if found.of_samples:
        rows = positions_in(table.column("id"), found.units)
    return replace(
        found,
        curves=tuple(
            replace(
                curve,
                name=run if len(found.curves) == 1 else f"{run} {curve.name}",
                draws=tuple(
                    replace(draw, marks=draw.marks[rows]) for draw in curve.draws if draw.marks is not None
                ),
            )
            for curve in found.curves
        ),
    )


def curve_tables(curves: Sequence[ComparedCurves]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Each curve at each size, and what the best is ahead by: a title, the names of the columns, and the rows."""
    for each in curves:
        names = list(each.points)
        yield (
            f"{each.protocol}: {each.figure.title} by {each.axis}; in brackets 95 % intervals over draws and "
            "test samples",
            [each.noun, *names],
            [[f"{size:,}", *(_cell(each.points[name].get(size)) for name in names)] for size in each.sizes],
        )
        by_size = {name: {lead.size: lead for lead in leads} for name, leads in each.leads.items()}
        yield (
            f"what {each.best} is ahead by; ± half the 95 % interval, *: p < 0.05 after Holm over all {each.n_tests}",
            [each.noun, *by_size],
            [
                [
                    f"{size:,}",
                    *(
                        written_lead(lead, each.figure) + (" *" if lead.sign else "")
                        if (lead := leads.get(size))
                        else "-"
                        for leads in by_size.values()
                    ),
                ]
                for size in each.sizes
            ],
        )


def _cell(point: Point | None) -> str:
    if point is None:
        return "-"
    return with_interval({"value": point.value, "intervals": {"value": point.interval}}, "value")


def curves_json(curves: Sequence[ComparedCurves]) -> list[dict[str, Json]]:
    """For machines."""
    return [
        {
            "protocol": each.protocol,
            "figure": each.figure.name,
            "best": each.best,
            "curves": {
                name: [{"size": size, **asdict(point)} for size, point in sorted(points.items())]
                for name, points in each.points.items()
            },
            "leads": {
                name: [{**asdict(lead), "is_sure": bool(lead.sign)} for lead in leads]
                for name, leads in each.leads.items()
            },
        }
        for each in curves
    ]


def curve_plots(curves: Sequence[ComparedCurves]) -> dict[str, Plot]:
    """A picture of each protocol."""
    from headstart.plots import learning_curve_plot

    found: dict[str, Plot] = {}
    for each in curves:
        is_shots = each.protocol == "shots"
        given = {
            name: (sorted(points), [[points[size].value] for size in sorted(points)])
            for name, points in each.points.items()
        }
        intervals = {name: _band(points) for name, points in each.points.items()}
        found[each.protocol] = learning_curve_plot(
            given,
            each.figure.title,
            each.axis,
            "Few shots" if is_shots else "Learning curve",
            2 if is_shots else 10,
            intervals,
        )
    return found


def _band(points: Mapping[int, Point]) -> list[list[float]]:
    return [points[size].interval or [np.nan, np.nan] for size in sorted(points)]
