"""Multinomial logistic regression, with its penalty chosen on validation data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from headstart.devices import Array, array_namespace, fetched, moved, pick_gpu, seed_of
from headstart.heads.answers import Floats
from headstart.heads.estimators import CLASS_WEIGHTS, SCALINGS, AffineHead, Classifier, held_out
from headstart.heads.lbfgs import Minimiser
from headstart.heads.logistic_losses import SigmoidLoss, SoftmaxLoss, softplus
from headstart.heads.parallel import side_by_side
from headstart.heads.parameters import SEEDS, Interval, numbers_of
from headstart.heads.rows import blocks, standardise

if TYPE_CHECKING:
    import torch

STRENGTHS = np.logspace(-4, 1.5, 12)
"""What ``auto`` tries on features of variance 1; on others, divided by their mean variance."""
WORSE, FAR_WORSE = 1.02, 1.05
"""By how much the loss must have risen above its least for the path to end: at the second value of C, or at one."""
ROWS_PER_AXIS, ROWS_FOR_AXES = 2, 50_000
"""Samples for each dimension, with fewer of which principal axes are chance, and as many as are enough."""
WIDTH_PER_OUTPUT = 16
"""The most dimensions for each output with which turning the features costs as much as eight iterations."""
Route: TypeAlias = list[tuple[float, Array]]
"""Values of C with where the minimum was, in the order they were solved."""


class LogisticHead(Classifier, AffineHead):
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
    path_parameter: ClassVar[str] = "C"
    intervals: ClassVar = {
        "C": Interval(0, open_low=True, auto=True),
        "max_iter": Interval(1),
        "tol": Interval(0, 1, open_low=True),
        "label_smoothing": Interval(0, 1),
        "random_state": SEEDS,
    }
    choices: ClassVar = {"scaling": SCALINGS, "class_weight": CLASS_WEIGHTS}
    fitted: ClassVar = (*Classifier.fitted, "C_", "path_", "objective_", "n_iter_", "converged_")

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

    def _fit(self, features: Floats, targets: NDArray[Any], held: tuple[Any, Any]) -> None:
        validation = self._validation(held)
        with side_by_side():
            self._choose_and_solve(features, targets, validation)

    def _choose_and_solve(
        self, features: Floats, targets: NDArray[Any], validation: tuple[Floats, NDArray[Any]] | None
    ) -> None:
        centre, problem = self._problem(features, targets)
        basis = problem.basis
        self.path_ = []
        if self.C != "auto":
            solution = self._solver(problem).solve(float(self.C))
        elif validation is None:
            train, rest = held_out(targets, seed_of(self.random_state))
            judge = replace(problem.rows(rest), weights=None, smoothing=0.0)
            chosen, route = self._choose(problem.rows(train), judge)
            solution = self._solver(problem, route).solve(chosen.C)
        else:
            Z_val, val = standardise(validation[0], centre, self.scale_), validation[1]
            seen = val.reshape(len(val), -1)[:, 0] >= 0
            gpu = pick_gpu(self.device)
            judge = problem_of(Z_val[seen], val[seen], len(self.classes_), gpu).turned(basis)
            solution, _ = self._choose(problem, judge)
        self._take(solution, basis, centre, features.dtype)

    def _fit_along(
        self, heads: Sequence[Self], features: Floats, targets: NDArray[Any], guides: Sequence[Any]
    ) -> Sequence[Any]:
        names = tuple(heads[0].classes_.tolist())
        known = [guide for guide in guides if guide and guide.classes == names]
        centre, problem = heads[0]._problem(features, targets, known[0] if known else None)
        solver = heads[0]._solver(problem, [(guide.C, guide.at) for guide in known])
        with side_by_side():
            for head in heads:
                head.path_ = []
                head._take(solver.solve(float(head.C)), problem.basis, centre, features.dtype)
        return [Guide(names, problem.basis, C, at) for C, at in solver.route]

    def _problem(
        self, features: Floats, targets: NDArray[Any], guide: Guide | None = None
    ) -> tuple[NDArray[np.float64], Problem]:
        """The mean of the features, and what is solved: of centred features."""
        # The penalty leaves the intercepts alone, so that centred features have the same solution; and
        # L-BFGS finds it in far fewer steps.
        centre, n_classes = self._centre(features), len(self.classes_)
        Z, gpu = standardise(features, centre, self.scale_), pick_gpu(self.device)
        weight, smoothing = self.class_weight, float(self.label_smoothing)
        problem = problem_of(Z, targets, n_classes, gpu, weight, smoothing)
        return centre, problem.turned(guide.basis if guide else principal_axes(problem.X, problem.n_outputs))

    def _solver(self, problem: Problem, guide: Route | None = None) -> PathSolver:
        return PathSolver(problem, int(self.max_iter), float(self.tol), guide)

    def _choose(self, problem: Problem, held: Problem) -> tuple[Solution, Route]:
        """The solution with the least log loss on what was held out, and the route to it."""
        solver, best, least = self._solver(problem), None, np.inf
        for C in self._strengths(problem):
            solution = solver.solve(C)
            loss, accuracy = losses_of(solution, held)
            self.path_.append({"C": C, "validation_loss": loss, "validation_accuracy": accuracy})
            if best is None or loss < least:
                best, least = solution, loss
            elif loss > FAR_WORSE * least or (
                loss > WORSE * least and self.path_[-2]["validation_loss"] > least
            ):
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

    def _take(self, solution: Solution, basis: Array | None, centre: NDArray[np.float64], dtype: Any) -> None:
        self.C_, self.objective_ = solution.C, solution.objective
        self.n_iter_, self.converged_ = solution.n_iter, solution.converged
        coef = solution.coef if basis is None else solution.coef @ basis.T
        coef, intercept = fetched(coef), fetched(solution.intercept)
        if self.scaling == "none":
            intercept = intercept - coef.astype(np.float64) @ centre
        self._keep(coef, intercept, dtype)


@dataclass(frozen=True, slots=True)
class Problem:
    """What logistic regressions are fitted on: centred features X (N, D), and weights as `sample_weights` gives them.

    Targets are codes int64 (N,), or labels 0/1 (N, L) of the dtype of X: a regression for each. With a basis (D, D) of
    orthogonal columns the features are along these, and so are all solutions; None: they are as they were.
    """

    X: Array
    targets: Array
    n_classes: int
    weights: Array | None = None
    smoothing: float = 0.0
    basis: Array | None = None

    def loss(self) -> SoftmaxLoss | SigmoidLoss:
        """The loss without its penalty."""
        if self.targets.ndim == 1:
            return SoftmaxLoss(self.X, self.targets, self.n_classes, self.weights, self.smoothing)
        return SigmoidLoss(self.X, self.targets, self.weights, self.smoothing)

    @property
    def n_outputs(self) -> int:
        """How many columns its logits have."""
        return self.n_classes if self.targets.ndim == 1 else int(self.targets.shape[1])

    def turned(self, basis: Array | None) -> Problem:
        """The same along a basis; its features are overwritten."""
        for block in blocks(self.X) if basis is not None else ():
            block[...] = block @ basis
        return replace(self, basis=basis)

    def rows(self, chosen: NDArray[np.int64]) -> Problem:
        """The same with some of the samples."""
        xp = array_namespace(self.X)
        at = xp.asarray(chosen, device=self.X.device)
        weights = None if self.weights is None else self.weights[at]
        return replace(self, X=self.X[at], targets=self.targets[at], weights=weights)


@dataclass(frozen=True, slots=True)
class Solution:
    """One logistic regression; for the attributes see `LogisticHead`."""

    C: float
    coef: Array
    intercept: Array
    objective: float
    n_iter: int
    converged: bool

    def scores(self, X: Array) -> Array:
        """Logits, shape (N, n_classes)."""
        return X @ self.coef.T + self.intercept


@dataclass(frozen=True)
class Guide:
    """Where the minimum of a similar problem with these classes was at one C, in the basis of that problem."""

    classes: tuple[Any, ...]
    basis: Array | None
    C: float
    at: Array


class PathSolver:
    """Solves one problem for one C after the other.

    ``guide`` is the `route` of a similar problem: this one's path begins where that began, and bends as it does.
    """

    def __init__(self, problem: Problem, max_iter: int, tol: float, guide: Route | None = None) -> None:
        self.route: Route = []
        self._loss = problem.loss()
        self._minimise = Minimiser(self._loss, max_iter, tol)
        self._guide = dict(guide or [])

    def solve(self, C: float) -> Solution:
        """The regression at a C."""
        with np.errstate(over="ignore", invalid="ignore"):  # a step that goes too far is shortened
            found, n_iter, converged = self._minimise(self._start(C), C)
        self.route.append((C, found.at))
        coef, intercept = self._loss.unpack(found.at)
        return Solution(C, coef, intercept, float(found.objective.sum()), n_iter, converged)

    def _start(self, C: float) -> Array:
        if not self.route:
            return self._guide.get(C, self._loss.start)
        start, theirs = _ahead(self.route, C), [(own, self._guide.get(own)) for own, _ in self.route[-2:]]
        if C not in self._guide or any(at is None for _, at in theirs):
            return start
        # How far another fold's path leaves its own line says how far this one does. (Where its minimum moved to
        # is worse: what is left of its error adds up.)
        return start + (self._guide[C] - _ahead(theirs, C))


def _ahead(route: Route, C: float) -> Array:
    """Near the minimum at C: on a line through the last two over log C, which takes half the iterations of the last."""
    last_C, last = route[-1]
    if len(route) < 2 or route[-2][0] == last_C:
        return last
    before_C, before = route[-2]
    stride = float(np.log(C / last_C) / np.log(last_C / before_C))
    return last + min(stride, 1.0) * (last - before)


def problem_of(
    X: NDArray[np.floating[Any]],
    codes: NDArray[Any],
    n_classes: int,
    gpu: torch.device | None,
    class_weight: str = "none",
    smoothing: float = 0.0,
) -> Problem:
    """A problem of centred features and of codes (N,) or labels 0/1 (N, L), on the CPU or on a GPU.

    Two classes are one label: as in scikit-learn, the penalty is then on the difference of the classes alone.
    """
    if codes.ndim == 1 and n_classes == 2:
        weights = sample_weights(codes, 2, class_weight)
        codes, weights = codes[:, None], None if weights is None else weights[:, None]
    else:
        weights = sample_weights(codes, n_classes, class_weight)
    targets = codes.astype(np.int64 if codes.ndim == 1 else X.dtype)
    counts = None if weights is None else moved(weights.astype(X.dtype), gpu)
    return Problem(moved(X, gpu), moved(targets, gpu), n_classes, counts, smoothing)


def principal_axes(X: Array, n_outputs: int) -> Array | None:
    """An orthogonal basis (D, D) along which centred features X (N, D) hardly go together, or None.

    The penalty is the same in any; in this one the curvature is nearly diagonal where few samples weigh much, so that
    a third of the iterations fall away. None where turning the features would cost more than these.
    """
    n, width = X.shape
    if n < ROWS_PER_AXIS * width or width > WIDTH_PER_OUTPUT * n_outputs:
        return None
    xp, some = array_namespace(X), X[:: -(-n // ROWS_FOR_AXES)]
    largest = xp.clip(xp.max(abs(some)), min=xp.finfo(X.dtype).tiny)
    some = some / largest  # whose squares may be infinite
    return xp.linalg.eigh(some.T @ some)[1]


def sample_weights(codes: NDArray[Any], n_classes: int, class_weight: str) -> NDArray[np.float64] | None:
    """What samples count, shape (N,), or (N, L) for labels (N, L); None if all count alike.

    Balanced, all classes together count as many samples as there are, and each as much as another.
    """
    if class_weight == "none":
        return None
    if codes.ndim == 1:
        counts = np.bincount(codes, minlength=n_classes)
        balanced: NDArray[np.float64] = (len(codes) / (n_classes * counts))[codes]
        return balanced
    ones, n = codes.sum(axis=0, dtype=np.int64), len(codes)
    weights: NDArray[np.float64] = np.where(
        codes > 0, n / (2 * ones.clip(min=1)), n / (2 * (n - ones).clip(min=1))
    )
    return weights


def losses_of(solution: Solution, held: Problem) -> tuple[float, float]:
    """Mean log loss and accuracy on samples of classes that were seen; of labels, means over all."""
    logits, targets = solution.scores(held.X), held.targets
    if not len(targets):
        return np.nan, np.nan
    xp = array_namespace(logits)
    if targets.ndim == 2:
        losses, right = softplus(logits) - targets * logits, (logits > 0) == (targets > 0)
    else:
        right = xp.argmax(logits, axis=1) == targets
        logits -= xp.max(logits, axis=1, keepdims=True)
        wanted = xp.take_along_axis(logits, targets[:, None], axis=1)[:, 0]
        losses = xp.log(xp.sum(xp.exp(logits), axis=1)) - wanted
    return float(xp.mean(losses)), float(xp.mean(xp.astype(right, xp.float64)))
