"""Closed-form heads beside scikit-learn, taking turns in one process.

    python benchmarks/heads.py logistic --features banking77.npz
    python benchmarks/heads.py path --features banking77.npz [--values 24] [--rounds 1]
    python benchmarks/heads.py ridge

``--features`` is an .npz with X_train, y_train, X_test and y_test (`features.arrays(split)` of a set gives them);
without it they are drawn. What to expect on two cores: logistic two to five times as fast as LogisticRegression
at an objective that is the same or lower, a path of 24 x 5 more than five times as fast as LogisticRegressionCV,
ridge more than five times as fast as RidgeClassifierCV with the same alpha.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rounds import Contestant, Timing, stopwatch, take_turns

Arrays = tuple[NDArray[np.float32], NDArray[Any], NDArray[np.float32], NDArray[Any]]


def drawn(n: int, width: int, n_classes: int, seed: int = 0) -> Arrays:
    """Overlapping classes on directions of unequal variance; a quarter as many test samples."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_classes, width)) / 4
    scale = np.logspace(0, -2, width)

    def split(size: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
        codes = rng.integers(n_classes, size=size)
        return ((centres[codes] + rng.normal(size=(size, width))) * scale).astype(np.float32), codes

    return (*split(n), *split(n // 4))


def read(path: str | None, n: int, width: int, n_classes: int) -> Arrays:
    """Features of a file, or drawn ones."""
    if path is None:
        return drawn(n, width, n_classes)
    file = np.load(path)
    return file["X_train"], file["y_train"], file["X_test"], file["y_test"]


def logistic(args: argparse.Namespace) -> None:
    """One C at a time, unscaled: seconds, objective, accuracy."""
    from sklearn.linear_model import LogisticRegression

    from headstart.heads.logistic import LogisticHead

    X, y, X_test, y_test = read(args.features, 10_003, 384, 77)
    for C in (1.0, 10.0, 100.0):
        ours = LogisticHead(C=C, scaling="none")
        theirs = LogisticRegression(C=C, max_iter=1000)
        times = race(args.rounds, partial(ours.fit, X, y), partial(theirs.fit, X, y))
        objectives = [objective(model, X, y, C) for model in (ours, theirs)]
        scores = [model.score(X_test, y_test) for model in (ours, theirs)]
        print(
            f"C = {C:g}: {told(times)}; objective {objectives[0] / objectives[1] - 1:+.1e} relative; "
            f"accuracy {scores[0]:.4f} and {scores[1]:.4f}"
        )


def path(args: argparse.Namespace) -> None:
    """Cross-validated accuracy over C."""
    from sklearn.linear_model import LogisticRegressionCV

    from headstart.heads.logistic import logistic_path_cv

    X, y, *_ = read(args.features, 10_003, 384, 77)
    grid = np.logspace(-2, 3, args.values)
    theirs = LogisticRegressionCV(Cs=grid, cv=args.folds, max_iter=args.max_iter)
    found: dict[str, Any] = {}
    times = race(
        args.rounds,
        lambda: found.update(ours=logistic_path_cv(X, y, grid, args.folds)),
        lambda: theirs.fit(X, y),
    )
    means = found["ours"].mean(axis=0)
    scores = np.asarray(next(iter(theirs.scores_.values()))).reshape(args.folds, -1).mean(axis=0)
    print(
        f"{args.values} x {args.folds}: {told(times)}; best mean accuracy {means.max():.4f} at "
        f"C = {grid[means.argmax()]:.3g} and {scores.max():.4f} at {grid[scores.argmax()]:.3g}; "
        f"largest difference of a mean {np.abs(means - scores).max():.4f}"
    )


def ridge(args: argparse.Namespace) -> None:
    """All alphas with leave-one-out errors: in double precision at 5,000, and at 50,000 x 768 x 100."""
    from sklearn.linear_model import RidgeClassifierCV

    from headstart.heads.ridge import RidgeHead

    alphas = np.logspace(-1, 5, 15)
    for n in (5_000, args.rows):
        X, y, X_test, y_test = drawn(n, 768, 100)
        X, X_test = (X, X_test) if n == args.rows else (X.astype(np.float64), X_test.astype(np.float64))
        ours = RidgeHead(alphas=alphas.tolist(), scaling="none")
        theirs = RidgeClassifierCV(alphas=alphas)
        times = race(args.rounds, partial(ours.fit, X, y), partial(theirs.fit, X, y))
        gap = ours.loo_error_ / -theirs.best_score_ - 1
        print(
            f"{n:,} x 768, 100 classes, 15 alphas: {told(times)}; alpha {ours.alpha_:g} and {theirs.alpha_:g}; "
            f"leave-one-out error {gap:+.1e} relative; accuracy {ours.score(X_test, y_test):.4f} and "
            f"{theirs.score(X_test, y_test):.4f}"
        )


def objective(model: Any, X: NDArray[Any], y: NDArray[Any], C: float) -> float:
    """C times the sum of the losses plus half the squared norm, in double precision."""
    coef = model.coef_.astype(np.float64)
    logits = X.astype(np.float64) @ coef.T + model.intercept_
    top = logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    losses -= logits[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    return float(C * losses.sum() + 0.5 * np.square(coef).sum())


def race(rounds: int, ours: Callable[[], Any], theirs: Callable[[], Any]) -> dict[str, Timing]:
    """Medians of turns taken one after the other."""
    return take_turns(
        {
            "ours": Contestant("ours", stopwatch(ours)),
            "theirs": Contestant("scikit-learn", stopwatch(theirs)),
        },
        rounds,
    )


def told(times: dict[str, Timing]) -> str:
    """Both medians and their ratio."""
    ours, theirs = times["ours"].median, times["theirs"].median
    return f"{ours:.2f} s, scikit-learn {theirs:.2f} s ({theirs / ours:.1f} x)"


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=("logistic", "path", "ridge", "all"), default="all")
    parser.add_argument("--features", help=".npz with X_train, y_train, X_test, y_test")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--values", type=int, default=24, help="values of C on the path")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--max-iter", type=int, default=1000, help="of LogisticRegressionCV")
    parser.add_argument("--rows", type=int, default=50_000, help="of the large ridge problem")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", module="sklearn")  # of what the next version changes
    for name, part in (("logistic", logistic), ("path", path), ("ridge", ridge)):
        if args.what in (name, "all"):
            part(args)


if __name__ == "__main__":
    main()
