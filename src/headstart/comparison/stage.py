"""compare: several runs on the same test samples. Which is better, what did each cost, which one to take?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headstart.comparison.advice import advise, break_evens, notes_on
from headstart.comparison.by_label import LabelComparisons
from headstart.comparison.comparison import ComparedRun, Comparison
from headstart.comparison.costs import costs_of, shared_extraction
from headstart.comparison.curves import curves_of
from headstart.comparison.runs import match_rows, open_by_label
from headstart.groups import groups_in
from headstart.metrics.paired import Paired
from headstart.metrics.resampling import RESAMPLES
from headstart.registry.machine import provenance
from headstart.tasks import open_task

if TYPE_CHECKING:
    import os

    from headstart.comparison.costs import Cost
    from headstart.comparison.runs import AnyRun, NamedRun
    from headstart.metrics.paired import Versus
    from headstart.types import Figure


def compare(
    runs: Sequence[AnyRun],
    cache: str | os.PathLike[str] | None = None,
    seed: int = 0,
    on: str | None = None,
    label: str | None = None,
) -> Comparison | LabelComparisons:
    """Compare two runs or more on the samples that they all were judged on; see `headstart.compare`."""
    found = {
        name: compare_opened(opened, cache, seed, with_curves=on is None)
        for name, opened in open_by_label(runs, on, label).items()
    }
    if on is not None:
        said = f"the samples are those of the evaluation {on!r} of each run, and not of the test split"
        found = {name: replace(one, notes=(said, *one.notes)) for name, one in found.items()}
    return next(iter(found.values())) if len(found) == 1 else LabelComparisons(found)


def compare_opened(
    opened: Sequence[NamedRun],
    cache: str | os.PathLike[str] | None = None,
    seed: int = 0,
    with_curves: bool = True,
) -> Comparison:
    """The same of runs that are open, on whatever samples their predictions are for; see `compare`.

    Their curves are of the test samples of their set alone.
    """
    tables = match_rows(opened)
    task = open_task(opened[0].task)
    judged = task.judge({run.name: table for run, table in zip(opened, tables, strict=True)})
    n, groups = tables[0].num_rows, groups_in(tables[0])
    paired = Paired(judged, n, RESAMPLES, seed, groups)
    costs = dict(zip(judged, costs_of([each.run for each in opened], cache), strict=True))
    best, cheapest = choose_best(paired, task.figures[0], costs), choose_cheapest(costs)
    against = [{} if name is None else paired.against(name) for name in (best, cheapest)]
    compared = tuple(_compared(run, paired, costs[run.name], *against) for run in opened)
    evens = break_evens(compared, paired, task.figures[0])
    curves, left_out = curves_of(opened, tables, groups) if with_curves else ((), [])
    ahead = [sentence for each in curves for sentence in each.sentences]
    return Comparison(
        runs=compared,
        task=opened[0].task,
        label=str(opened[0].run.labels.get("column", "")),
        n=n,
        n_groups=None if groups is None else len(groups),
        best=best,
        cheapest=cheapest,
        extract_seconds=shared_extraction(list(costs.values())),
        break_even=evens,
        curves=curves,
        advice=(*advise(compared, best, cheapest, evens, task.figures[0], n), *ahead),
        notes=(*notes_on([each.run for each in opened], compared, paired, task.figures), *left_out),
        provenance=provenance(resamples=RESAMPLES, seed=seed),
    )


def choose_best(paired: Paired, figure: Figure, costs: Mapping[str, Cost]) -> str:
    """The run with the best deciding figure; of equals the cheaper one."""
    sign = -1 if figure.larger_is_better else 1

    def rank(name: str) -> tuple[float, float]:
        seconds = costs[name].fit_seconds
        return sign * paired.judged[name].figures[figure.name], math.inf if seconds is None else seconds

    return min(paired.judged, key=rank)


def choose_cheapest(costs: Mapping[str, Cost]) -> str | None:
    """The run that took the least time, extraction included where it is known of all; None: no time is known."""
    known = [name for name, cost in costs.items() if cost.fit_seconds is not None]
    if not known:
        return None
    totals = {name: costs[name].seconds() for name in known}
    if any(total is None for total in totals.values()):
        totals = {name: costs[name].fit_seconds for name in known}
    return min(known, key=lambda name: totals[name] or 0.0)


def _compared(
    named: NamedRun,
    paired: Paired,
    cost: Cost,
    against_best: Mapping[str, Versus],
    against_cheapest: Mapping[str, Versus],
) -> ComparedRun:
    figures, intervals = paired.judged[named.name].figures, paired.intervals(named.name)
    names = [figure.name for figure in open_task(named.task).figures]
    run, n_train = named.run, named.run.part("data").get("n_train")
    return ComparedRun(
        name=named.name,
        path=run.path,
        method=run.strategy,
        head=run.head_name,
        backbone=run.backbone,
        tap=run.tap,
        set=run.set,
        n_train=n_train if isinstance(n_train, int) else None,
        figures={name: _finite(figures[name]) for name in names},
        intervals={name: intervals.get(name) for name in names},
        cost=cost,
        no_interval={
            name: why
            for name in names
            if (why := paired.reason(named.name, name)) is not None and math.isfinite(figures[name])
        },
        against_best=against_best.get(named.name),
        against_cheapest=against_cheapest.get(named.name),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
