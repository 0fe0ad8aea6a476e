"""L-BFGS for several convex problems side by side, each with its own step and its own end.

In the array API standard: numpy's arrays on a CPU, torch's tensors on a GPU.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from headstart.devices import Array, array_namespace

MEMORY = 10
"""Pairs of steps and changes of gradient that correct the curvature."""
LOOK_BACK = 5
"""Iterations over which progress is measured: one alone is often short by chance."""
STALE, NEAR = 12, 12.0
"""Iterations, and the ratio of two values of C, for which a curvature is kept."""
N_TRIALS = 20
ENOUGH = 1e-4
"""The share of the promised decrease that a step must give (Armijo)."""

Inverse: TypeAlias = Callable[[Array], Array]
"""From gradients (G, P) of an objective to about what a Newton step takes off, row by row."""


class Loss(Protocol):
    """A loss of G problems, without the penalty: of logits (N, K), which are linear in the parameters (G, P).

    Either G is 1, or each of the K columns is a problem.
    """

    penalised: Array
    """1 for what the penalty is on, 0 for intercepts, (P,)."""

    def logits(self, at: Array) -> Array:
        """Logits (N, K) at parameters (G, P)."""

    def look(self, logits: Array) -> tuple[Array, Array]:
        """Losses (G,) in float64, and slopes along the logits (N, K)."""

    def gradient(self, slopes: Array) -> Array:
        """The gradient (G, P) with these slopes."""

    def curvature(self, logits: Array, C: float) -> Inverse:
        """About the inverse Hessian of ``C`` times the loss and the penalty, positive definite."""


@dataclass(frozen=True, slots=True)
class Point:
    """A place with its logits, their slopes (N, K), its objective and twice its penalty (G,)."""

    at: Array
    logits: Array
    slopes: Array
    objective: Array
    penalty: Array


class Objective:
    """``C * loss(x) + 0.5 * sum(penalised * x**2)`` for each row x of (G, P)."""

    def __init__(self, loss: Loss, C: float) -> None:
        self.loss, self.C = loss, C

    def look(self, at: Array, logits: Array | None = None) -> Point:
        """The objective at a place; its logits take a matrix product, unless they are known."""
        logits = self.loss.logits(at) if logits is None else logits
        losses, slopes = self.loss.look(logits)
        penalty = dot(self.loss.penalised * at, at)
        return Point(at, logits, slopes, self.C * losses + 0.5 * penalty, penalty)

    def gradients(self, point: Point) -> tuple[Array, Array]:
        """Of the loss and of the objective, (G, P)."""
        slope = self.loss.gradient(point.slopes)
        return slope, self.C * slope + self.loss.penalised * point.at


class Minimiser:
    """Minimises the `Objective` of a loss, for one C after the other.

    Parameters
    ----------
    max_iter : int
        For each C.
    tol : float
        Ends where another step promises less than this share of the penalty, or the objective fell by less than this
        share in the last iterations.

    References
    ----------
    Nocedal and Wright, Numerical Optimization, 2nd ed., algorithms 3.1 and 7.4, with an initial Hessian of its own.
    """

    def __init__(self, loss: Loss, max_iter: int, tol: float) -> None:
        self._loss, self._max_iter, self._tol = loss, max_iter, tol
        self._inverse: Inverse | None = None
        self._made_for, self._age = 0.0, 0

    def __call__(self, start: Array, C: float) -> tuple[Point, int, bool]:
        """The minimum, after how many iterations, and whether it is one.

        It is none where an iteration limit or the precision of the numbers ended it.
        """
        xp, objective = array_namespace(start), Objective(self._loss, C)
        point, known = objective.look(start), Pairs(C, self._loss.penalised)
        slope, gradient = objective.gradients(point)
        trail = deque([point.objective], maxlen=LOOK_BACK + 1)
        done = xp.zeros_like(point.objective, dtype=xp.bool)
        stuck, n_iter = xp.zeros_like(done), 0
        while True:
            direction = known.direction(gradient, self._curvature(point.logits, C))
            done |= -dot(direction, gradient) <= self._tol * point.penalty
            if n_iter == self._max_iter or bool(xp.all(done | stuck)):
                return point, n_iter, bool(xp.all(done))
            direction[done | stuck] = 0  # what is done stays where it is while the others go on
            after, failed = _search(objective, point, direction, dot(direction, gradient))
            before, (slope, gradient) = slope, objective.gradients(after)
            known.learn(after.at - point.at, slope - before)
            point, n_iter, self._age = after, n_iter + 1, self._age + 1
            trail.append(point.objective)
            stuck |= failed & ~done
            done |= _is_slow(trail, self._tol)

    def _curvature(self, logits: Array, C: float) -> Inverse:
        is_near = 1 / NEAR < C / self._made_for < NEAR if self._made_for else False
        if self._inverse is None or self._age >= STALE or not is_near:
            self._inverse, self._made_for, self._age = self._loss.curvature(logits, C), C, 0
        return self._inverse


class Pairs:
    """Steps (G, P) of a minimisation, and how the gradient of the objective changed along each."""

    def __init__(self, C: float, penalised: Array) -> None:
        self._C, self._penalised = C, penalised
        self._pairs: deque[tuple[Array, Array, Array]] = deque(maxlen=MEMORY)

    def learn(self, step: Array, change: Array) -> None:
        """Take up a step and the change of the loss's gradient along it."""
        bend = self._C * change + self._penalised * step
        curved = dot(step, bend)
        if bool(array_namespace(step).any(curved > 0)):
            self._pairs.append((step, bend, curved))

    def direction(self, gradient: Array, inverse: Inverse) -> Array:
        """Minus the gradient times the inverse Hessian, corrected by the pairs, row by row."""
        xp, q = array_namespace(gradient), gradient
        shares: list[Array] = []
        for step, bend, width in reversed(self._pairs):
            shares.append(_ratio(dot(step, q), width, q))
            q = q - shares[-1] * bend
        q = inverse(q)
        for (step, bend, width), share in zip(self._pairs, reversed(shares), strict=True):
            q = q + (share - _ratio(dot(bend, q), width, q)) * step
        descends = dot(q, gradient) > 0
        return -xp.where(descends[:, None], q, gradient)


def dot(a: Array, b: Array) -> Array:
    """Products of rows (G, P), summed in float64, shape (G,)."""
    xp = array_namespace(a)
    return xp.sum(a * b, axis=-1, dtype=xp.float64)


def _is_slow(trail: deque[Array], tol: float) -> Array:
    if len(trail) <= LOOK_BACK:
        xp = array_namespace(trail[-1])
        return xp.zeros_like(trail[-1], dtype=xp.bool)
    slow: Array = trail[0] - trail[-1] < tol * abs(trail[-1])
    return slow


def _ratio(top: Array, bottom: Array, like: Array) -> Array:
    """``top / bottom`` for each row, shape (G, 1); 0 where a row did not move."""
    xp, positive = array_namespace(top), bottom > 0
    ratio = xp.where(positive, top / xp.where(positive, bottom, 1), 0)
    return xp.astype(ratio, like.dtype)[:, None]


def _search(objective: Objective, point: Point, direction: Array, slope: Array) -> tuple[Point, Array]:
    """Shorten each row's step until its objective falls; the new place, and which rows found none.

    All logits along the direction take one matrix product.
    """
    xp, ahead = array_namespace(direction), objective.loss.logits(direction)

    def along(length: Array) -> Point:
        length = xp.astype(length, direction.dtype)
        return objective.look(point.at + length[:, None] * direction, point.logits + length * ahead)

    length = xp.ones_like(slope)
    # Rounding moves the sum of many losses by about this much, whatever the step.
    slack = 4 * xp.finfo(point.at.dtype).eps * abs(point.objective)
    for _ in range(N_TRIALS):
        after = along(length)
        rise = after.objective - point.objective
        good = rise <= ENOUGH * length * slope + slack
        if bool(xp.all(good)):
            return after, ~good
        length = xp.where(good, length, _shorter(length, slope, rise))
    return along(xp.where(good, length, 0)), ~good


def _shorter(length: Array, slope: Array, rise: Array) -> Array:
    """Where a parabola through what was seen has its least value, within a tenth and a half of the step."""
    xp = array_namespace(length)
    excess = 2 * (rise - length * slope)
    bent = excess > 0  # not so where the objective overflowed to infinity or to no number
    best = xp.where(bent, -slope * length**2 / xp.where(bent, excess, 1), 0)
    return xp.minimum(xp.maximum(best, 0.1 * length), 0.5 * length)
