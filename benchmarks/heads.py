"""Closed-form heads beside scikit-learn, taking turns in one process.

    python benchmarks/heads.py logistic --features banking77.npz
    python benchmarks/heads.py path --set banking77 [--values 24 --folds 5] [--rounds 1]
    python benchmarks/heads.py sweeps --set banking77
    python benchmarks/heads.py ridge

``--features`` is an .npz with X_train, y_train, X_test and y_test (`features.arrays(split)` of a set gives them);
without it they are drawn. What to expect on two cores: logistic two to five times as fast as LogisticRegression
at an objective that is the same or lower, paths of 6 x 3 and of 24 x 5 more than five times as fast as
LogisticRegressionCV, ridge more than five times as fast as RidgeClassifierCV with the same alpha.
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
    """`hs.fit_head(sweep={"C": …}, folds=…)` on a set, from the call to its report, beside LogisticRegressionCV."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import headstart as hs

    features = hs.open_set(args.set)
    parts = [features.arrays(split) for split in ("train", "validation")]
    X, y = (np.concatenate(each) for each in zip(*parts, strict=True))  # a search with folds takes both
    X_test, y_test = features.arrays("test")
    hs.fit_head(features, head="centroid", plots="none")  # imports what every call needs
    for values, folds in ((6, 3), (24, 5)) if args.values is None else ((args.values, args.folds),):
        grid = np.logspace(-2, 3, values)
        for scaling in ("none", "standard"):
            model: Any = LogisticRegressionCV(Cs=grid, cv=folds, max_iter=args.max_iter)
            theirs = make_pipeline(StandardScaler(), model) if scaling == "standard" else model
            found: dict[str, float] = {}

            def ours(
                grid: Any = grid, scaling: str = scaling, folds: int = folds, found: Any = found
            ) -> None:
                run = hs.fit_head(
                    features, head="logistic", params={"scaling": scaling}, sweep={"C": grid.tolist()},
                    folds=folds, plots="none",
                )  # fmt: skip
                found["ours"] = run.report["metrics"]["test"]["accuracy"]

            def other(theirs: Any = theirs, found: Any = found) -> None:
                theirs.fit(X, y)
                found["theirs"] = float(theirs.score(X_test, y_test))

            times = race(args.rounds, ours, other)
            print(
                f"{values} values of C x {folds} folds, scaling {scaling}: {told(times)}; test accuracy "
                f"{found['ours']:.4f} and {found['theirs']:.4f}"
            )


def sweeps(args: argparse.Namespace) -> None:
    """Alphas and ks over folds beside one fit a fold; shots and seeds; each a call of `hs.fit_head`."""
    import headstart as hs

    features = hs.open_set(args.set)
    alphas, ks = np.logspace(-1, 5, 15).tolist(), [1, 3, 5, 10, 20, 50]
    calls: dict[str, dict[str, Any]] = {
        "ridge, 15 alphas x 3 folds": {"head": "ridge", "sweep": {"alpha": alphas}, "folds": 3},
        "ridge, 1 alpha x 3 folds": {"head": "ridge", "sweep": {"alpha": [1.0]}, "folds": 3},
        "knn, 6 k x 3 folds": {"head": "knn", "sweep": {"k": ks}, "folds": 3},
        "knn, 1 k x 3 folds": {"head": "knn", "sweep": {"k": [5]}, "folds": 3},
        **{f"{head}, shots 1,2,4,8,16 x 10 seeds": {"head": head, "shots": [1, 2, 4, 8, 16], "seeds": 10}
           for head in ("logistic", "ridge", "centroid")},
    }  # fmt: skip
    contestants = {
        name: Contestant(name, stopwatch(partial(hs.fit_head, features, plots="none", **options)))
        for name, options in calls.items()
    }
    for name, timing in take_turns(contestants, args.rounds).items():
        print(f"{name}: {timing.median:.2f} s")


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
    parser.add_argument(
        "what", nargs="?", choices=("logistic", "path", "sweeps", "ridge", "all"), default="all"
    )
    parser.add_argument("--features", help=".npz with X_train, y_train, X_test, y_test")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--set", default="banking77", help="a set of this machine's cache, for path and sweeps"
    )
    parser.add_argument("--values", type=int, help="values of C on the path; default: 6 and 24")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--max-iter", type=int, default=1000, help="of LogisticRegressionCV")
    parser.add_argument("--rows", type=int, default=50_000, help="of the large ridge problem")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", module="sklearn")  # of what the next version changes
    for name, part in (("logistic", logistic), ("path", path), ("sweeps", sweeps), ("ridge", ridge)):
        if args.what in (name, "all"):
            part(args)


if __name__ == "__main__":
    main()
