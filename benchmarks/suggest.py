"""What suggestions are worth: accuracy by the number of labels, each strategy against a draw at random.

    python benchmarks/suggest.py FOLDER [--seeds 10] [--only banking77]

FOLDER holds ``banking77/{train,test}.csv`` and ``clothing/{train,test}/<class>/*.jpg``. Each seed hides the labels of
all train samples and keeps 80 % of them, drawn anew: without that, strategies that draw nothing would do the same in
all seeds. A strategy chooses in rounds; after each a logistic head is fitted on what is labelled so far, and judged on
the whole test split. ``margin`` and ``entropy`` begin with what ``random`` or ``typical`` chose in the first round of
the same seed. Differences are against ``random`` of the same seed, with 95 % intervals by Student's t over the seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t

import headstart as hs
from headstart.heads import open_head
from headstart.labelling.config import SuggestConfig
from headstart.labelling.pool import Pool
from headstart.labelling.stage import most_doubtful
from headstart.labelling.strategies import STRATEGIES
from headstart.labelling.uncertain import opinions_of_a_new_head

KEPT = 0.8
PLANS = ("random", "typical", "cover", "random+margin", "random+entropy", "typical+margin", "typical+entropy")
"""How to choose in the first round, and how in the later ones where that is another way."""


@dataclass(frozen=True)
class Trial:
    """A data set with all its labels, and after how many of them a head is judged."""

    name: str
    features: hs.FeatureSet
    sizes: tuple[int, ...]


def main() -> None:
    """Play all, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only")
    parser.add_argument("--plans", default=",".join(PLANS))
    given = parser.parse_args()
    plans = given.plans.split(",")
    for trial in trials(given.folder, given.only):
        found: dict[str, list[list[float]]] = {plan: [] for plan in plans}
        for seed in range(given.seeds):
            for plan in plans:
                found[plan].append(list(play(trial, plan, seed)))
                print(json.dumps([trial.name, seed, plan, found[plan][-1]]), flush=True)
        print(table(trial, {plan: np.array(values) for plan, values in found.items()}), flush=True)


def trials(folder: Path, only: str | None) -> Iterator[Trial]:
    """The data sets, extracted where the cache lacks them."""
    if only in (None, "banking77"):
        bank = hs.extract(folder / "banking77", "bundled:all-minilm-l6-v2", set="bank", text_column="text",
                          label_column="category")  # fmt: skip
        yield Trial("banking77", bank, (80, 160, 320, 640))
    if only in (None, "clothing"):
        clothing = hs.extract(folder / "clothing", "bundled:efficientnet-lite0", set="clothing")
        yield Trial("clothing", clothing, (10, 20, 40, 80, 160))


def play(trial: Trial, plan: str, seed: int) -> Iterator[float]:
    """The accuracy on test after each round."""
    X, y = trial.features.arrays("train")
    test, truth = trial.features.arrays("test")
    names = trial.features.label_names[trial.features.label_column()]
    rows = np.sort(np.random.default_rng(seed).permutation(len(X))[: int(KEPT * len(X))])
    pool, y = hidden(trial.features, X[rows], names), y[rows]
    first, _, later = plan.partition("+")
    for number, size in enumerate(trial.sizes):
        strategy = first if number == 0 else later or first
        chosen = choose(pool, strategy, size - len(pool.labelled), seed)
        labels = pool.y.copy()
        labels[chosen] = y[chosen]
        labelled, left = np.sort([*pool.labelled, *chosen]), np.setdiff1d(pool.open, chosen)
        pool = replace(pool, y=labels, labelled=labelled, open=left)
        yield accuracy(pool, test, truth, seed)


def hidden(features: hs.FeatureSet, X: Any, names: tuple[str, ...]) -> Pool:
    """Samples of which nobody knows a label."""
    n = len(X)
    nothing = np.full(n, -1, dtype=np.int64)
    return Pool(features, features.label_column(), features.feature(), features.samples.slice(0, n), X, nothing, names,
                "single", np.empty(0, dtype=np.int64), np.arange(n), 0, 0)  # fmt: skip


def choose(pool: Pool, strategy: str, n: int, seed: int) -> Any:
    """So many samples, as ``headstart suggest`` chooses them."""
    if strategy in STRATEGIES:
        return STRATEGIES[strategy](pool, n, seed)[0]
    config = SuggestConfig(set="made", strategy=strategy, budget=n, seed=seed)
    return most_doubtful(pool, opinions_of_a_new_head(pool, seed), config)[0]


def accuracy(pool: Pool, test: Any, truth: Any, seed: int) -> float:
    """Of a logistic head on what is labelled; 0 where that is of one class."""
    y = pool.y[pool.labelled]
    if len(np.unique(y)) < 2:
        return float((truth == y[0]).mean())
    head: Any = open_head("logistic", {}, seed)
    names = np.array(pool.names)
    head.fit(pool.X[pool.labelled], names[y])
    return float((head.predict(test) == names[truth]).mean())


def table(trial: Trial, found: dict[str, Any]) -> str:
    """Mean accuracy of each plan, and its difference to random with its interval, in points."""
    lines = [f"| {trial.name} | " + " | ".join(f"{size} labels" for size in trial.sizes) + " |"]
    lines.append("|---" * (1 + len(trial.sizes)) + "|")
    for plan, values in found.items():
        cells = []
        for place in range(len(trial.sizes)):
            apart = 100 * (values[:, place] - found["random"][:, place])
            half = (
                t.ppf(0.975, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
                if len(apart) > 1
                else 0
            )
            low, high = apart.mean() - half, apart.mean() + half
            more = "" if plan == "random" else f" ({apart.mean():+.1f} [{low:+.1f}, {high:+.1f}])"
            cells.append(f"{100 * values[:, place].mean():.1f}{more}")
        lines.append(f"| `{plan}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
