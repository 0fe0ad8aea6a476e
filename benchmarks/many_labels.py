"""What heads of several labels share: fitted beside each other, and one by one.

Usage: python benchmarks/many_labels.py

Prints the processor seconds of both, for eight labels of five classes each on 9,000 samples with 384 features. Set
OMP_NUM_THREADS=1 for times of one core.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from headstart.heads import open_head

N_SAMPLES, N_FEATURES, N_LABELS, N_CLASSES = 9_000, 384, 8, 5


def seconds_of(work: Callable[[], Any]) -> float:
    """The processor time of some work."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Measure ridge and logistic heads."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_SAMPLES, N_FEATURES)).astype(np.float32)
    labels = [np.array([f"c{c}" for c in rng.integers(N_CLASSES, size=N_SAMPLES)]) for _ in range(N_LABELS)]
    for name in ("ridge", "logistic"):
        alone: list[Any] = [open_head(name, {}, 0) for _ in labels]
        beside: list[Any] = [open_head(name, {}, 0) for _ in labels]
        alone[0].fit(X, labels[0])  # imports are no part of it
        one_by_one = seconds_of(lambda: [head.fit(X, y) for head, y in zip(alone, labels, strict=True)])  # noqa: B023
        together = seconds_of(lambda: beside[0].fit_beside(beside, X, [(y, None, None) for y in labels]))  # noqa: B023
        print(f"{name}: {one_by_one:.2f} s one by one, {together:.2f} s beside each other")


if __name__ == "__main__":
    main()
