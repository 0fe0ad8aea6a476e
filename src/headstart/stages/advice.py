"""Which run to take: sentences that follow from the numbers of a comparison, and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from headstart.files import read_json
from headstart.stages.comparison import LOWER_IS_BETTER, BreakEven
from headstart.stages.costs import pays_from
from headstart.stages.wording import gained, share_of_time, written_seconds

if TYPE_CHECKING:
    from headstart.evaluation.paired import Difference, Paired
    from headstart.stages.compared import OpenedRun
    from headstart.stages.comparison import ComparedRun
    from headstart.types import Json


def deciding_figure(run: ComparedRun) -> str:
    """The figure that decides."""
    return next(iter(run.figures))


def break_evens(runs: Sequence[ComparedRun], paired: Paired) -> tuple[BreakEven, ...]:
    """Every fine-tuned run beside every head on cached features."""
    return tuple(
        _break_even(cached, tuned, paired)
        for tuned in runs
        if not tuned.is_cached
        for cached in runs
        if cached.is_cached
    )


def _break_even(cached: ComparedRun, tuned: ComparedRun, paired: Paired) -> BreakEven:
    gain, interval = gain_of(paired.difference(tuned.name, cached.name, deciding_figure(tuned)), tuned)
    return BreakEven(
        cached=cached.name,
        tuned=tuned.name,
        gain=gain,
        interval=interval,
        time_ratio=_ratio(tuned.cost.fit_seconds, cached.cost.fit_seconds),
        experiments=pays_from(cached.cost, tuned.cost),
    )


def gain_of(difference: Difference, run: ComparedRun) -> tuple[float, list[float] | None]:
    """A difference so that more is better, whatever the figure, and its interval."""
    if deciding_figure(run) not in LOWER_IS_BETTER:
        return difference.value, difference.interval
    interval = difference.interval
    return -difference.value, None if interval is None else [-interval[1], -interval[0]]


def advise(
    runs: Sequence[ComparedRun],
    paired: Paired,
    best: str,
    cheapest: str | None,
    evens: Sequence[BreakEven],
) -> list[str]:
    """What to take; what fine-tuning gains; when the cache has paid for itself.

    Parameters
    ----------
    runs : sequence of ComparedRun
    paired : Paired
    best, cheapest : str
        Names of runs; None: no time is known.
    evens : sequence of BreakEven
    """
    by_name = {run.name: run for run in runs}
    sentences = [_what_to_take(by_name, paired, best, cheapest)]
    if pair := _best_of_both(runs, evens):
        sentences += [_what_tuning_gains(pair, by_name), _when_the_cache_pays(pair, by_name)]
    return sentences


def _what_to_take(runs: Mapping[str, ComparedRun], paired: Paired, best: str, cheapest: str | None) -> str:
    if cheapest is None:
        return f"{best} is the best; what the runs took is unknown."
    if best == cheapest:
        return f"Take {best}: it is the best of {len(runs)}, and the cheapest."
    figure = deciding_figure(runs[best])
    level = [
        run for run in runs.values()
        if run.name != best and _time(run) < _time(runs[best])
        and not paired.difference(run.name, best, figure).is_significant
    ]  # fmt: skip
    if level:
        take = min(level, key=_time)
        difference = paired.difference(take.name, best, figure)
        return (
            f"Take {take.name}: it does not differ measurably from the best, {best} "
            f"({gained(*gain_of(difference, take), figure)}), for {share_of_time(take.cost, runs[best].cost)}."
        )
    gain, interval = gain_of(paired.difference(best, cheapest, figure), runs[best])
    return (
        f"Take {best} if the figures matter: it is measurably better than every cheaper run, and gains "
        f"{gained(gain, interval, figure)} over the cheapest, {cheapest}, "
        f"for {share_of_time(runs[best].cost, runs[cheapest].cost)}."
    )


def _time(run: ComparedRun) -> float:
    seconds = run.cost.seconds()
    if seconds is None:
        seconds = run.cost.fit_seconds
    return math.inf if seconds is None else seconds


def _best_of_both(runs: Sequence[ComparedRun], evens: Sequence[BreakEven]) -> BreakEven | None:
    """The best fine-tuned run beside the best head on cached features; None: one of them is not there."""
    if not evens:
        return None
    sign = 1 if deciding_figure(runs[0]) in LOWER_IS_BETTER else -1

    def best(is_cached: bool) -> str:
        mine = [run for run in runs if run.is_cached == is_cached]
        return min(mine, key=lambda run: sign * (run.figures[deciding_figure(run)] or 0.0)).name

    cached, tuned = best(is_cached=True), best(is_cached=False)
    return next(even for even in evens if (even.cached, even.tuned) == (cached, tuned))


def _what_tuning_gains(even: BreakEven, runs: Mapping[str, ComparedRun]) -> str:
    cached, tuned = runs[even.cached], runs[even.tuned]
    figure, interval = deciding_figure(tuned), even.interval
    said = gained(abs(even.gain), interval, figure)
    time = share_of_time(tuned.cost, cached.cost)
    if interval is None or interval[0] <= 0 <= interval[1]:
        return (
            f"Fine-tuning gains nothing measurable: {tuned.name} is {gained(even.gain, interval, figure)} from the "
            f"best head, {cached.name}, for {time}."
        )
    if even.gain > 0:
        return f"Fine-tuning gains {said}: {tuned.name} over the best head, {cached.name}, for {time}."
    return f"Fine-tuning loses {said}: {tuned.name} to the best head, {cached.name}, for {time}."


def _when_the_cache_pays(even: BreakEven, runs: Mapping[str, ComparedRun]) -> str:
    cached, tuned = runs[even.cached].cost, runs[even.tuned].cost
    once, each, other = cached.extract_seconds, cached.fit_seconds, tuned.fit_seconds
    if once is None or each is None or other is None or tuned.extract_seconds is None:
        return "From when on the cache pays for itself is unknown: a time is missing."
    times = (
        f"{written_seconds(once)} of extraction and {written_seconds(each)} an experiment with {even.cached}, "
        f"{written_seconds(other)} an experiment with {even.tuned}"
    )
    if even.experiments is None:
        return f"The cache never pays for itself here: {times}."
    return f"The cache pays for itself from the {_ordinal(even.experiments)} experiment on: {times}."


def _ordinal(number: int) -> str:
    words = ("first", "second", "third", "fourth", "fifth")
    if number <= len(words):
        return words[number - 1]
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, "th")
    return f"{number:,}{ending}"


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def notes_on(opened: Sequence[OpenedRun], runs: Sequence[ComparedRun]) -> list[str]:
    """What limits a comparison: other training samples, other machines, times that are unknown or estimated."""
    return [
        *_other_training(runs),
        *_other_machines(opened),
        *_named("how long extraction took is unknown of", [r for r in runs if r.cost.extractions is None]),
        *_named(
            "how long extraction took is estimated, from the rate in this cache, for",
            [r for r in runs if r.cost.is_estimated],
        ),
        *_named("how long training took is unknown of", [r for r in runs if r.cost.fit_seconds is None]),
    ]


def _named(what: str, runs: Sequence[ComparedRun]) -> list[str]:
    return [f"{what} {', '.join(run.name for run in runs)}"] if runs else []


def _other_training(runs: Sequence[ComparedRun]) -> list[str]:
    counts = {run.n_train for run in runs}
    if len(counts - {None}) < 2:
        return []
    said = ", ".join(f"{run.name} {run.n_train:,}" for run in runs if run.n_train is not None)
    return [f"the runs were trained on different numbers of samples: {said}"]


def _other_machines(opened: Sequence[OpenedRun]) -> list[str]:
    machines = {machine for run in opened if (machine := _machine(run)) is not None}
    return (
        ["the runs were made on different machines, so their times do not compare"]
        if len(machines) > 1
        else []
    )


def _machine(run: OpenedRun) -> Json:
    """What tells machines apart; None: the run does not say."""
    if run.path is None:
        return None
    try:
        said = read_json(run.path / "environment.json")
        return said["platform"], said["machine"], said["cores"]
    except Exception:
        return None
