"""Which of several curves is ahead, from how many labels on, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from headstart.curves.marks import figure_of
from headstart.curves.report import NOUNS
from headstart.metrics.intervals import FEWEST_SAMPLES
from headstart.metrics.paired import FEWEST_DIFFERING, SIGNIFICANT, holm
from headstart.metrics.two_way import mean_mark, mean_of_pairs

if TYPE_CHECKING:
    from headstart.curves.record import Curve, Curves, JudgedDraw
    from headstart.curves.report import ProtocolName
    from headstart.groups import Groups
    from headstart.metrics.two_way import MeanMark
    from headstart.types import Figure, Json


@dataclass(frozen=True)
class Lead:
    """How far a curve is ahead of another at one size; below 0 it is behind.

    ``interval`` is of 95 %, None where the test samples cannot say; ``p_holm`` holds for all sizes and curves that were
    looked at together. Of ``is_paired`` draws both had the same train samples.
    """

    size: int
    value: float
    interval: list[float] | None
    p_value: float
    n_draws: int
    is_paired: bool
    p_holm: float = 1.0

    @property
    def sign(self) -> int:
        """Whether it is surely ahead, 1, surely behind, -1, or neither."""
        if self.interval is None or self.interval[0] <= 0 <= self.interval[1] or self.p_holm >= SIGNIFICANT:
            return 0
        return 1 if self.value > 0 else -1


@dataclass(frozen=True)
class Point:
    """A curve at one size: the mean over draws, with its 95 % interval, and how many draws there were."""

    value: float
    interval: list[float] | None
    n_draws: int


@dataclass(frozen=True)
class ComparedCurves:
    """Curves of one protocol on the same test samples, each held against the best at the largest size of most."""

    protocol: ProtocolName
    figure: Figure
    points: Mapping[str, Mapping[int, Point]]
    best: str
    leads: Mapping[str, tuple[Lead, ...]]
    """Of the best over each other curve, at each size that both have."""

    @property
    def noun(self) -> str:
        """What stands after a size."""
        return NOUNS[self.protocol]

    @property
    def axis(self) -> str:
        """What the sizes count."""
        return f"samples {self.noun}" if self.protocol == "shots" else self.noun

    @property
    def sizes(self) -> list[int]:
        """Of any curve."""
        return sorted({size for points in self.points.values() for size in points})

    @property
    def n_tests(self) -> int:
        """How many differences were looked at."""
        return sum(map(len, self.leads.values()))

    @property
    def sentences(self) -> list[str]:
        """Who is ahead of whom, and from how many labels on."""
        return [said_of(self.best, name, leads, self.noun, self.figure) for name, leads in self.leads.items()]


def compare_curves(
    curves: Sequence[Curve], protocol: ProtocolName, figure: Figure, groups: Groups | None
) -> ComparedCurves | None:
    """Hold curves, whose marks are of the same units in one order, against the best of them.

    None where fewer than two have a size in common. Draws of the same train samples are compared in pairs, as test
    samples always are.
    """
    drawn = {
        curve.name: {size: draws for size, draws in curve.of(protocol).items() if draws} for curve in curves
    }
    drawn = {name: sizes for name, sizes in drawn.items() if sizes}
    shared = [
        size for size in {size for sizes in drawn.values() for size in sizes} if _n_with(drawn, size) > 1
    ]
    if not shared:
        return None
    points = {
        name: {size: _point(draws, figure, groups) for size, draws in sizes.items()}
        for name, sizes in drawn.items()
    }
    last = max(shared, key=lambda size: (_n_with(drawn, size), size))
    best = max((name for name in points if last in points[name]), key=lambda name: points[name][last].value)
    leads = {
        name: [
            _lead(drawn[best][size], sizes[size], figure.name, groups)
            for size in sorted(sizes)
            if size in drawn[best]
        ]
        for name, sizes in drawn.items()
        if name != best
    }
    return ComparedCurves(protocol, figure, points, best, _adjusted(leads))


def leads_within(curves: Curves) -> dict[str, Json]:
    """Which of several curves of a run is ahead, for its report: sentences by protocol; nothing of one curve."""
    if len(curves.curves) < 2:
        return {}
    marker = curves.marker
    figure = figure_of(marker.kind, marker.figure)
    compared = [
        compare_curves(curves.curves, protocol.name, figure, marker.groups) for protocol in curves.protocols
    ]
    said: dict[str, Json] = {each.protocol: each.sentences for each in compared if each is not None}
    return {"ahead": said}


def _n_with(drawn: Mapping[str, Mapping[int, object]], size: int) -> int:
    return sum(size in sizes for sizes in drawn.values())


def _adjusted(leads: Mapping[str, Sequence[Lead]]) -> dict[str, tuple[Lead, ...]]:
    """With p-values that hold for all of them together."""
    found = {
        f"{place} {name}": lead.p_value for name, each in leads.items() for place, lead in enumerate(each)
    }
    together = holm(found)
    return {
        name: tuple(replace(lead, p_holm=together[f"{place} {name}"]) for place, lead in enumerate(each))
        for name, each in leads.items()
        if each
    }


def _marks(draws: Sequence[JudgedDraw]) -> np.ndarray:
    return np.stack([draw.marks for draw in draws if draw.marks is not None])


def _point(draws: Sequence[JudgedDraw], figure: Figure, groups: Groups | None) -> Point:
    value = float(np.mean([draw.scores[figure.name] for draw in draws]))
    found = mean_mark(_marks(draws), groups, value)
    return Point(value, found.share_interval() if figure.is_share else found.interval(), len(draws))


def _lead(
    mine: Sequence[JudgedDraw], others: Sequence[JudgedDraw], figure: str, groups: Groups | None
) -> Lead:
    by_seed = {draw.seed: draw for draw in others}
    pairs = [
        (draw, by_seed[draw.seed])
        for draw in mine
        if draw.seed in by_seed and by_seed[draw.seed].drawn == draw.drawn
    ]
    is_paired = len(pairs) > 1 or (len(pairs) == 1 and min(len(mine), len(others)) == 1)
    if is_paired:
        mine, others = [one for one, _ in pairs], [other for _, other in pairs]
    found = mean_of_pairs(_marks(mine), _marks(others), groups, is_paired)
    value = float(np.mean([d.scores[figure] for d in mine]) - np.mean([d.scores[figure] for d in others]))
    found = replace(found, mean=value)
    is_known = _says(found)
    return Lead(
        size=mine[0].size,
        value=value,
        interval=found.interval() if is_known else None,
        p_value=found.p_value() if is_known else 1.0,
        n_draws=found.n_draws,
        is_paired=is_paired,
    )


def _says(found: MeanMark) -> bool:
    """Whether there are enough units, and enough that the two differ on."""
    return found.n_units >= FEWEST_SAMPLES and found.n_differing >= FEWEST_DIFFERING


def said_of(best: str, other: str, leads: Sequence[Lead], noun: str, figure: Figure) -> str:
    """Which of two curves is ahead, size by size.

    Examples
    --------
    >>> from headstart.types import Figure
    >>> leads = [Lead(1, -0.04, [-0.06, -0.02], 0.001, 10, True, 0.002), Lead(4, 0.01, [-0.01, 0.03], 0.3, 10, True),
    ...          Lead(8, 0.03, [0.02, 0.04], 0.001, 10, True, 0.002),
    ...          Lead(16, 0.05, [0.04, 0.06], 0.001, 10, True, 0.002)]
    >>> said_of("ridge", "knn", leads, "of each class", Figure("accuracy", "accuracy", is_share=True)).split("; ")[:2]
    ['From 8 of each class on ridge is ahead of knn, by 3.0 ± 1.0 to 5.0 ± 1.0 points', 'at 4 neither surely is']
    """
    parts = [(sign, list(some)) for sign, some in groupby(leads, key=lambda lead: lead.sign)]
    said: list[str] = []
    for place in range(len(parts) - 1, -1, -1):
        sign, some = parts[place]
        where = _where(some, leads, place == len(parts) - 1, noun if not said else "")
        ahead, behind = (best, other) if sign > 0 else (other, best)
        if not sign:
            said.append(f"{where} neither {'surely is' if said else f'{best} nor {other} is surely ahead'}")
        else:
            whom = "" if said else f" of {behind}"
            said.append(f"{where} {ahead} is ahead{whom}, by {_by_how_much(some, figure)}")
    line = "; ".join(said)
    return f"{line[0].upper()}{line[1:]}."


def _where(some: Sequence[Lead], every: Sequence[Lead], is_last: bool, noun: str) -> str:
    first, last, noun = some[0].size, some[-1].size, f" {noun}" if noun else ""
    if len(some) == 1:
        return f"at {first:,}{noun}"
    return (
        f"from {first:,}{noun} on"
        if is_last and len(some) < len(every)
        else f"from {first:,} to {last:,}{noun}"
    )


def _by_how_much(some: Sequence[Lead], figure: Figure) -> str:
    ends = [some[0]] if len(some) == 1 else [some[0], some[-1]]
    return " to ".join(written_lead(lead, figure, with_unit=lead is ends[-1], signed=False) for lead in ends)


def written_lead(lead: Lead, figure: Figure, with_unit: bool = True, signed: bool = True) -> str:
    """A difference with half the width of its interval: ``+3.0 ± 1.0 points``."""
    scale, precision = (100, ".1f") if figure.is_share else (1, ".3g")
    value = scale * (lead.value if signed else abs(lead.value))
    said = f"{value:{'+' if signed else ''}{precision}}"
    if lead.interval is not None:
        half = scale * (lead.interval[1] - lead.interval[0]) / 2
        said += f" ± {half:{'.1f' if figure.is_share else '.2g'}}"
    return said + (" points" if figure.is_share and with_unit else "")
