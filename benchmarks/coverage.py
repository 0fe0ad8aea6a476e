"""How often 95 % intervals hold the truth, of every figure of a report: at 10, 50 and 500 samples, poor to perfect.

    python benchmarks/coverage.py              the table, some minutes
    python benchmarks/coverage.py --trials 100 the same, coarser

Expect at least 0.93 for proportions and 0.90 for all others; behind it stands the share of trials whose samples have an
interval. Samples are drawn from a model whose own figures are measured on 200,000 of them. Of models in groups all
samples of a group have one label, and their noise is alike: how often they are right has an intraclass correlation of
about a half, and intervals that take no notice of groups hold the truth of accuracy in three of four cases.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.groups import Groups
from headstart.metrics.multi import evaluate_multi
from headstart.metrics.regression import evaluate_regression
from headstart.metrics.single import evaluate_single

SIZES = (10, 50, 500)
N_TRUTH = 200_000
PROPORTIONS = (
    "accuracy", "top5_accuracy", "micro_precision", "micro_recall", "micro_f1", "weighted_recall", "recall", "precision"
)  # fmt: skip
LEAST = {True: 0.93, False: 0.90}
"""Of proportions, and of others."""

Report = dict[str, Any]
Draw = Callable[[int, np.random.Generator], Callable[[int], Report]]


ALIKE = 0.8
"""The share of the noise that samples of a group have in common."""


def in_groups(n: int, of_group: int) -> Groups | None:
    """Which of n samples belong together."""
    return None if of_group == 1 else Groups(np.arange(n) // of_group)


def noise(rng: np.random.Generator, shape: tuple[int, ...], groups: Groups | None) -> NDArray[np.float64]:
    """Of samples, alike within groups."""
    own = rng.normal(size=shape)
    if groups is None:
        return own
    common: NDArray[np.float64] = rng.normal(size=(len(groups), *shape[1:]))[groups.codes]
    return ALIKE**0.5 * common + (1 - ALIKE) ** 0.5 * own


def first_of(values: NDArray[Any], groups: Groups | None) -> NDArray[Any]:
    """The value of the first sample of each group, for all of it."""
    return values if groups is None else values[np.unique(groups.codes, return_index=True)[1]][groups.codes]


def draw_single(
    n_classes: int, apart: float, shares: NDArray[Any] | None = None, of_group: int = 1, told: bool = True
) -> Draw:
    """Samples of a model of so many classes, whose scores are the likelier right the further apart they are.

    Not ``told``, intervals take no notice of groups.
    """

    def draw(n: int, rng: np.random.Generator) -> Callable[[int], Report]:
        groups = in_groups(n, of_group)
        y = first_of(rng.choice(n_classes, n, p=shares), groups)
        logits = apart * (noise(rng, (n, n_classes), groups) + apart * np.eye(n_classes)[y])
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        names = [f"c{code}" for code in range(n_classes)]
        true = np.array(names)[y]
        return lambda resamples: evaluate_single(
            true, probabilities, names, names, resamples=resamples, groups=groups if told else None
        )

    return draw


def draw_multi(n_labels: int, apart: float, of_group: int = 1) -> Draw:
    """The same of labels that are there in one of three samples."""

    def draw(n: int, rng: np.random.Generator) -> Callable[[int], Report]:
        groups = in_groups(n, of_group)
        truth = first_of(rng.random((n, n_labels)) < 1 / 3, groups)
        logits = apart * (noise(rng, truth.shape, groups) + apart * (truth - 0.5))
        names = [f"l{place}" for place in range(n_labels)]
        return lambda resamples: evaluate_multi(
            truth, 1 / (1 + np.exp(-logits)), names, resamples=resamples, groups=groups
        )

    return draw


def draw_numbers(r2: float, of_group: int = 1) -> Draw:
    """Numbers, and predictions that explain so much of them."""

    def draw(n: int, rng: np.random.Generator) -> Callable[[int], Report]:
        groups = in_groups(n, of_group)
        true = noise(rng, (n,), groups)
        said = true + noise(rng, (n,), groups) * (1 - r2) ** 0.5
        return lambda resamples: evaluate_regression(true, said, resamples=resamples, groups=groups)

    return draw


MODELS: dict[str, Draw] = {
    **{f"2 classes, {said}": draw_single(2, apart) for said, apart in (("0.5", 0.1), ("0.9", 1.8), ("1.0", 5.0))},
    **{f"3 classes, {said}": draw_single(3, apart) for said, apart in (("0.5", 0.75), ("0.9", 2.15), ("1.0", 5.0))},
    "rare class, 0.9": draw_single(2, 1.5, np.array([0.85, 0.15])),
    **{f"labels, {said}": draw_multi(3, apart) for said, apart in (("0.5", 1.8), ("0.9", 3.6), ("1.0", 9.0))},
    **{f"numbers, {r2}": draw_numbers(r2) for r2 in (0.5, 0.9, 0.999)},
    **{f"2 classes in groups, {said}": draw_single(2, apart, of_group=5)
       for said, apart in (("0.5", 0.1), ("0.9", 1.8), ("1.0", 5.0))},
    "3 classes in groups, 0.9": draw_single(3, 2.15, of_group=5),
    "labels in groups, 0.9": draw_multi(3, 3.6, of_group=5),
    "numbers in groups, 0.9": draw_numbers(0.9, of_group=5),
}  # fmt: skip
UNTOLD = draw_single(2, 1.8, of_group=5, told=False)
"""Groups of which intervals know nothing: what they do not hold."""


def coverage(
    draw: Draw, n: int, trials: int, seed: int = 0, resamples: int = 300
) -> dict[str, tuple[float, float]]:
    """By figure, in what share of the trials that gave an interval it held the truth, and what share gave one."""
    truth = dict(_flat(draw(N_TRUTH, np.random.default_rng([seed, 0]))(0)))
    held, given = defaultdict(int), defaultdict(int)
    for trial in range(trials):
        report = draw(n, np.random.default_rng([seed, trial + 1]))(resamples)
        for name, interval in _intervals(report):
            given[name] += interval is not None
            if interval is not None and truth.get(name) is not None:
                held[name] += interval[0] - 1e-3 <= truth[name] <= interval[1] + 1e-3
    return {name: (held[name] / max(n_given, 1), n_given / trials) for name, n_given in given.items()}


def is_enough(name: str, held: float, given: float, trials: int, slack: float = 2.0) -> bool:
    """Whether the coverage is what it must be, but for so many deviations of chance; a dash is."""
    least = LEAST[name.split(" ")[0] in PROPORTIONS]
    n_given = given * trials
    return n_given == 0 or held >= least - slack * (least * (1 - least) / n_given) ** 0.5


def _flat(report: Report) -> Iterator[tuple[str, float]]:
    yield from ((name, value) for name, value in report.items() if isinstance(value, float))
    for label, figures in report.get("per_class", {}).items():
        yield from ((f"{name} of {label}", figures[name]) for name in ("precision", "recall"))


def _intervals(report: Report) -> Iterator[tuple[str, Any]]:
    yield from report["intervals"].items()
    for label, figures in report.get("per_class", {}).items():
        yield from ((f"{name} of {label}", found) for name, found in figures["intervals"].items())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--models", default="", help="only models whose name holds this")
    asked = parser.parse_args()
    for model, draw in MODELS.items():
        for n in SIZES if asked.models in model else ():
            found = coverage(draw, n, asked.trials)
            print(f"\n{model}, {n} samples")
            for name, (held, given) in sorted(found.items()):
                mark = "" if is_enough(name, held, given, asked.trials) else "  too low"
                print(f"  {name:28} {held:.3f} of {given:.2f}{mark}" if given else f"  {name:28} -")


if __name__ == "__main__":
    main()
