"""Which run to take, and what limits that: sentences that follow from the numbers of a comparison alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from headstart.comparison.comparison import BreakEven
from headstart.comparison.costs import pays_from, share_of_time, written_seconds
from headstart.errors import StorageError
from headstart.metrics.intervals import FEWEST_SAMPLES

if TYPE_CHECKING:
    from headstart.comparison.comparison import ComparedRun
    from headstart.comparison.costs import Cost
    from headstart.metrics.paired import Paired, Versus
    from headstart.registry.run import Run
    from headstart.types import Figure, Json

CLEARLY_LESS = 0.8
"""The share of a time below which another is worth naming: times of the same work differ by some percent."""
WORTH_SECONDS = 10.0
"""What must be saved for a figure to be given away: nobody waits for less."""
MOST_LOST = 0.02
"""What of a figure may be given away for time: two points of a share, two percent of a number."""
MUCH_LESS, MUCH_SECONDS = 0.1, 60.0
"""A share of the time, and what must be saved, for which more may be given away that is not measurable."""
ABOUT_AS_MANY = 0.9
"""The share of another's train samples from which on two runs are held against each other as methods."""

SHOWN = 5
"""How many runs a note names."""


def break_evens(runs: Sequence[ComparedRun], paired: Paired, figure: Figure) -> tuple[BreakEven, ...]:
    """Every fine-tuned run beside every head on cached features."""
    pairs = [(tuned, cached) for tuned in runs if not tuned.is_cached for cached in runs if cached.is_cached]
    return tuple(_break_even(cached, tuned, paired, figure) for tuned, cached in pairs)


def _break_even(cached: ComparedRun, tuned: ComparedRun, paired: Paired, figure: Figure) -> BreakEven:
    versus = paired.versus(tuned.name, cached.name)
    above, below = tuned.cost.fit_seconds, cached.cost.fit_seconds
    gain, interval = gain_of(versus, figure)
    return BreakEven(
        cached=cached.name,
        tuned=tuned.name,
        gain=gain,
        interval=interval,
        is_measurable=versus.is_significant(figure.name),
        time_ratio=above / below if above is not None and below else None,
        experiments=pays_from(cached.cost, tuned.cost),
    )


def gain_of(versus: Versus, figure: Figure) -> tuple[float, list[float] | None]:
    """A difference so that more is better, whatever the figure, and its interval."""
    difference = versus.differences[figure.name]
    if figure.larger_is_better:
        return difference.value, difference.interval
    interval = difference.interval
    return -difference.value, None if interval is None else [-interval[1], -interval[0]]


def advise(
    runs: Sequence[ComparedRun],
    best: str,
    cheapest: str | None,
    evens: Sequence[BreakEven],
    figure: Figure,
    n: int,
) -> list[str]:
    """What to take, by the figure that decides; what fine-tuning gains; when the cache has paid for itself.

    Where the test samples cannot tell the runs apart whatever they are, that is all there is to say.
    """
    if n < FEWEST_SAMPLES or any(run.figures[figure.name] is None for run in runs):
        return [_nothing_to_say(runs, n, figure)]
    by_name = {run.name: run for run in runs}
    sentences = [_what_to_take(by_name, best, cheapest, figure)]
    if pair := _best_of_both(runs, evens, figure):
        if other := _on_other_numbers(by_name[pair.cached], by_name[pair.tuned]):
            sentences.append(other)
        else:
            sentences += [_what_tuning_gains(pair, by_name, figure), _when_the_cache_pays(pair, by_name)]
    return sentences


def gained(gain: float, interval: Sequence[float] | None, figure: Figure) -> str:
    """A gain with half the width of its interval.

    Examples
    --------
    >>> from headstart.types import Figure
    >>> accuracy, mae = Figure("accuracy", "accuracy", is_share=True), Figure("mae", "mean absolute error")
    >>> gained(0.008, [0.003, 0.013], accuracy), gained(-0.25, [-0.5, 0.0], mae)
    ('0.8 ± 0.5 points', '-0.25 ± 0.25 of mean absolute error')
    """
    half = (interval[1] - interval[0]) / 2 if interval else None
    if figure.is_share:
        return f"{100 * gain:.1f}{'' if half is None else f' ± {100 * half:.1f}'} points"
    return f"{gain:.3g}{'' if half is None else f' ± {half:.2g}'} of {figure.title}"


def _what_to_take(runs: Mapping[str, ComparedRun], best: str, cheapest: str | None, figure: Figure) -> str:
    if cheapest is None:
        return f"{best} is the best; what the runs took is unknown."
    if best == cheapest:
        return f"Take {best}: it is the best of {len(runs)}, and the cheapest."
    ratios = {run.name: _ratio(run.cost, runs[best].cost) for run in runs.values() if run.against_best}
    cheaper = sorted((name for name in ratios if ratios[name] < CLEARLY_LESS), key=lambda name: ratios[name])
    if not cheaper:
        return f"Take {best}: it is the best of {len(runs)}, and no other takes clearly less time."
    level = [name for name in cheaper if not _against_best(runs[name]).is_significant(figure.name)]
    worth = [name for name in level if _is_worth_it(runs[name], runs[best], figure)]
    take = runs[next(iter([*worth, *level, *cheaper]))]
    gain, interval = gain_of(_against_best(take), figure)
    said, share = gained(gain, interval, figure), share_of_time(take.cost, runs[best].cost)
    if worth:
        return f"Take {take.name}: it does not differ measurably from the best, {best} ({said}), for {share}."
    if level:
        return (
            f"Take {best}: it is the best of {len(runs)}. These test samples cannot tell {take.name} from it "
            f"({said}), which took {share}: too little is saved, or too much may be lost, to take that instead."
        )
    return (
        f"Take {best} if the figures matter: it is measurably better than every run that takes clearly less time, and "
        f"gains {gained(-gain, interval, figure)} over the cheapest of them, {take.name}, "
        f"for {share_of_time(runs[best].cost, take.cost)}."
    )


def _nothing_to_say(runs: Sequence[ComparedRun], n: int, figure: Figure) -> str:
    lacking = [run.name for run in runs if run.figures[figure.name] is None]
    if n >= FEWEST_SAMPLES:
        return f"Nothing can be said of which run to take: there is no {figure.title} of {_some(lacking)}."
    noun = "test sample" if n == 1 else "test samples"
    return (
        f"Nothing can be said of which run to take: {n:,} {noun} cannot tell them apart; judge them on "
        f"{FEWEST_SAMPLES} or more, better on hundreds."
    )


def _is_worth_it(take: ComparedRun, best: ComparedRun, figure: Figure) -> bool:
    """Whether a run may stand for the best: it saves time that somebody waits for, and gives next to nothing away."""
    gain, _ = gain_of(_against_best(take), figure)
    scale = 1.0 if figure.is_share else abs(best.figures[figure.name] or 0.0)
    own, other = take.cost.fit_seconds or 0.0, best.cost.fit_seconds or 0.0  # of each experiment
    if -gain <= MOST_LOST * scale:
        return gain == 0 or other - own >= WORTH_SECONDS
    return other - own >= MUCH_SECONDS and own <= MUCH_LESS * other


def _against_best(run: ComparedRun) -> Versus:
    assert run.against_best is not None  # only the best run has none
    return run.against_best


def _ratio(cost: Cost, other: Cost) -> float:
    """How many times as long a run took as another, without the extraction that they share; infinite: unknown."""
    times = [_apart(cost, other), _apart(other, cost)]
    if None in times or not times[1]:
        return math.inf
    return (times[0] or 0.0) / times[1]


def _apart(cost: Cost, other: Cost) -> float | None:
    """The time that a run would take where what another one needs is extracted already; None: unknown."""
    if cost.fit_seconds is None:
        return None
    if cost.extractions is None or other.extractions is None:
        return cost.fit_seconds
    own = [each.seconds for each in cost.extractions if each not in other.extractions]
    return math.fsum([cost.fit_seconds, *own])


def _best_of_both(
    runs: Sequence[ComparedRun], evens: Sequence[BreakEven], figure: Figure
) -> BreakEven | None:
    """The best fine-tuned run beside the best head on cached features; None: one of them is not there."""
    if not evens:
        return None
    sign = -1 if figure.larger_is_better else 1

    def best(is_cached: bool) -> str:
        mine = [run for run in runs if run.is_cached == is_cached]
        return min(mine, key=lambda run: sign * (run.figures[figure.name] or 0.0)).name

    cached, tuned = best(is_cached=True), best(is_cached=False)
    return next(even for even in evens if (even.cached, even.tuned) == (cached, tuned))


def _on_other_numbers(cached: ComparedRun, tuned: ComparedRun) -> str | None:
    """Why two runs do not say what fine-tuning gains, where they were trained on other numbers of samples."""
    n, of_tuned = cached.n_train, tuned.n_train
    if n is None or of_tuned is None or min(n, of_tuned) >= ABOUT_AS_MANY * max(n, of_tuned):
        return None
    return (
        f"These two do not say what fine-tuning gains: {tuned.name} was trained on {of_tuned:,} samples and "
        f"{cached.name} on {n:,}; `--shots` and `--curve` give both the same ones."
    )


def _what_tuning_gains(even: BreakEven, runs: Mapping[str, ComparedRun], figure: Figure) -> str:
    cached, tuned = runs[even.cached], runs[even.tuned]
    interval = even.interval
    said = gained(abs(even.gain), interval, figure)
    time = share_of_time(tuned.cost, cached.cost)
    if not even.is_measurable:
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


def notes_on(
    opened: Sequence[Run], runs: Sequence[ComparedRun], paired: Paired, figures: Sequence[Figure]
) -> list[str]:
    """What limits a comparison: few samples, other training, other machines, times that are unknown or estimated."""
    return [
        *_without_interval(runs, paired, figures),
        *_other_training(runs),
        *_taught(opened, runs),
        *_other_machines(opened),
        *_named("how long extraction took is unknown of", [r for r in runs if r.cost.extractions is None]),
        *_named(
            "how long extraction took is estimated, from the rate in this cache, for",
            [r for r in runs if r.cost.is_estimated],
        ),
        *_named("how long training took is unknown of", [r for r in runs if r.cost.fit_seconds is None]),
    ]


def _without_interval(runs: Sequence[ComparedRun], paired: Paired, figures: Sequence[Figure]) -> list[str]:
    """Which figures have a dash for an interval, and why."""
    why: dict[str, dict[str, None]] = {}
    for figure in figures:
        for run in runs:
            reason = paired.reason(run.name, figure.name)
            if reason is not None and run.figures[figure.name] is not None:
                why.setdefault(reason, {})[figure.title] = None
    return [f"no interval of {', '.join(titles)}: {reason}" for reason, titles in why.items()]


def _named(what: str, runs: Sequence[ComparedRun]) -> list[str]:
    return [f"{what} {_some([run.name for run in runs])}"] if runs else []


def _some(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _taught(opened: Sequence[Run], runs: Sequence[ComparedRun]) -> list[str]:
    """Who learnt from whom, for nobody pays for a student alone."""
    said = []
    for run, compared in zip(opened, runs, strict=True):
        lessons = run.part("distillation")
        if "teacher" in lessons:
            n = lessons.get("n_unlabelled") or 0
            more = f", on {n:,} samples without a label too" if n else ""
            said.append(f"{compared.name} was taught by {lessons['teacher']}{more}")
    return said


def _other_training(runs: Sequence[ComparedRun]) -> list[str]:
    counts = {run.n_train for run in runs}
    if len(counts - {None}) < 2:
        return []
    said = _some([f"{run.name} {run.n_train:,}" for run in runs if run.n_train is not None])
    return [f"the runs were trained on different numbers of samples: {said}"]


def _other_machines(opened: Sequence[Run]) -> list[str]:
    machines = {machine for run in opened if (machine := _machine(run)) is not None}
    said = "the runs were made on different machines, so their times do not compare"
    return [said] if len(machines) > 1 else []


def _machine(run: Run) -> Json:
    """What tells machines apart; None: the run does not say."""
    if run.path is None:
        return None
    try:
        return tuple(run.environment.get(name) for name in ("platform", "machine", "cores"))
    except StorageError:
        return None
