"""Multinomial logistic regression, with its penalty chosen on validation data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.heads.affine import AffineClassifier
from headstart.heads.arrays import fetched
from headstart.heads.devices import pick_gpu, seed_of
from headstart.heads.estimators import CLASS_WEIGHTS, SCALINGS
from headstart.heads.grids import numbers_of
from headstart.heads.holdout import held_out
from headstart.heads.parameters import SEEDS, Interval
from headstart.heads.scaling import standardise

if TYPE_CHECKING:
    import torch

    from headstart.heads.logistic_path import PathSolver, Problem, Solution

STRENGTHS = np.logspace(-4, 1.5, 12)
"""What ``auto`` tries on features of variance 1; on others, divided by their mean variance."""
WORSE = 1.02
"""By how much the loss must have risen above its least for the path to end."""


class LogisticHead(AffineClassifier):
    """Multinomial logistic regression with an L2 penalty; with several labels a sample, one for each.

    Solved by L-BFGS, in single precision where the features are: in numpy, or in torch on a GPU. The objective is
    that of scikit-learn's LogisticRegression.

    Parameters
    ----------
    C : float in (0, inf) or "auto"
        Inverse strength of the penalty. Features are standardised, so that a good value is far below
        scikit-learn's 1. ``auto`` goes from a strong penalty to a weak one and takes the C with the least
        log loss on validation data: accuracy would do, but has ties and jumps where samples are few. Without
        validation data a fifth of the samples is held out, stratified, and all are fitted in the end.
    Cs : sequence of float, optional
        What ``auto`` chooses from; on a command line ``0.01,0.1,1``. Without it, 12 values from 1e-4 to 30,
        divided by the mean variance of the features (1 where they are standardised).
    max_iter : int in [1, inf)
        For each C.
    tol : float in (0, 1)
        The solver ends where the objective fell by less than this share in its last five iterations.
    class_weight : {"none", "balanced"}
        Balanced: all classes count alike, however many samples they have.
    label_smoothing : float in [0, 1)
        The share of each target that is spread over all classes.
    scaling : {"standard", "none"}
    random_state : int
        Decides which samples are held out.
    device : str
        ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` …

    Attributes
    ----------
    C_ : float
    path_ : list of dict
        ``C``, ``validation_loss`` and ``validation_accuracy`` of all that were tried; empty for a given C.
        It ends early where the loss only rises.
    objective_ : float
        C times the sum of the losses, plus half the squared norm of the matrix.
    n_iter_ : int
        How many iterations it took at ``C_``.
    converged_ : bool
        False where it stopped at ``max_iter`` or could not improve any more.

    Examples
    --------
    >>> head = LogisticHead(C=1.0).fit([[0.0], [1.0], [2.0], [3.0]], ["cat", "cat", "dog", "dog"])
    >>> head.predict([[0.5], [9.0]]).tolist()
    ['cat', 'dog']
    """

    kind: ClassVar[str] = "logistic"
    intervals: ClassVar = {
        "C": Interval(0, open_low=True, auto=True),
        "max_iter": Interval(1),
        "tol": Interval(0, 1, open_low=True),
        "label_smoothing": Interval(0, 1),
        "random_state": SEEDS,
    }
    choices: ClassVar = {"scaling": SCALINGS, "class_weight": CLASS_WEIGHTS}
    fitted: ClassVar = (*AffineClassifier.fitted, "C_", "path_", "objective_", "n_iter_", "converged_")

    C_: float
    path_: list[dict[str, float]]
    objective_: float
    n_iter_: int
    converged_: bool

    def __init__(
        self,
        C: float | str = "auto",
        Cs: Sequence[float] | None = None,
        max_iter: int = 1000,
        tol: float = 5e-5,
        class_weight: str = "none",
        label_smoothing: float = 0.0,
        scaling: str = "standard",
        random_state: Any = 0,
        device: str = "auto",
    ) -> None:
        self.C = C
        self.Cs = Cs
        self.max_iter = max_iter
        self.tol = tol
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.scaling = scaling
        self.random_state = random_state
        self.device = device

    def fit(
        self, X: ArrayLike, y: ArrayLike, X_val: ArrayLike | None = None, y_val: ArrayLike | None = None
    ) -> Self:
        """Fit on features (N, D) and classes (N,) or labels 0/1 (N, L).

        Raises
        ------
        ConfigError
            A parameter cannot have this value.
        DataError
            There is only one class.
        """
        features, labels = self._begin(X, y)
        codes = self._learn_classes(labels)
        validation = self._validation(X_val, y_val)
        # The penalty leaves the intercepts alone, so that centred features have the same solution; and
        # L-BFGS finds it in far fewer steps.
        centre = self.mean_ if self.scaling == "standard" else features.mean(axis=0, dtype=np.float64)
        Z, gpu = standardise(features, centre, self.scale_), pick_gpu(self.device)
        self.path_ = []
        problem = self._problem(Z, codes, gpu)
        if self.C != "auto":
            solution = self._solver(problem).solve(float(self.C))
        elif validation is None:
            solution = self._choose_by_holdout(problem, codes)
        else:
            Z_val = standardise(validation[0], centre, self.scale_)
            held = self._problem(Z_val, self._codes(validation[1]), gpu, judges=True)
            solution = self._choose(problem, held)[0]
        self._take(solution, centre, features.dtype)
        return self

    def _problem(
        self, Z: NDArray[Any], codes: NDArray[Any], gpu: torch.device | None, judges: bool = False
    ) -> Problem:
        """What is fitted; or, without weights and smoothing, what judges a fit."""
        from headstart.heads.logistic_path import problem_of

        n_classes = len(self.classes_)
        if judges:
            seen = codes.reshape(len(codes), -1)[:, 0] >= 0
            return problem_of(Z[seen], codes[seen], n_classes, gpu)
        return problem_of(Z, codes, n_classes, gpu, self.class_weight, float(self.label_smoothing))

    def _solver(self, problem: Problem, guide: list[Any] | None = None) -> PathSolver:
        from headstart.heads.logistic_path import PathSolver

        return PathSolver(problem, int(self.max_iter), float(self.tol), guide)

    def _choose_by_holdout(self, problem: Problem, codes: NDArray[Any]) -> Solution:
        train, held = held_out(codes, seed_of(self.random_state))
        chosen, route = self._choose(problem.rows(train), self._without_weights(problem.rows(held)))
        return self._solver(problem, route).solve(chosen.C)

    @staticmethod
    def _without_weights(problem: Problem) -> Problem:
        from dataclasses import replace

        return replace(problem, weights=None, smoothing=0.0)

    def _choose(self, problem: Problem, held: Problem) -> tuple[Solution, list[Any]]:
        """The solution with the least log loss on what was held out, and the route to it."""
        from headstart.heads.logistic_path import losses_of

        solver, best, least = self._solver(problem), None, np.inf
        for C in self._strengths(problem):
            solution = solver.solve(C)
            loss, accuracy = losses_of(solution, held)
            self.path_.append({"C": C, "validation_loss": loss, "validation_accuracy": accuracy})
            if best is None or loss < least:
                best, least = solution, loss
            elif loss > WORSE * least and self.path_[-2]["validation_loss"] > least:
                break
        assert best is not None
        return best, solver.route

    def _strengths(self, problem: Problem) -> list[float]:
        given = numbers_of("Cs", self.Cs)
        if given is not None:
            return sorted(given.tolist())
        variance = float((problem.X**2).mean()) if len(problem.X) else 1.0
        strengths: list[float] = (STRENGTHS / (variance or 1.0)).tolist()
        return strengths

    def _take(self, solution: Solution, centre: NDArray[np.float64], dtype: Any) -> None:
        self.C_, self.objective_ = solution.C, solution.objective
        self.n_iter_, self.converged_ = solution.n_iter, solution.converged
        coef, intercept = fetched(solution.coef), fetched(solution.intercept)
        if self.scaling == "none":
            intercept = intercept - coef.astype(np.float64) @ centre
        self._keep(coef, intercept, dtype)
