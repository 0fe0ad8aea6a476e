"""L-BFGS for several convex problems side by side, each with its own step and its own end.

In the array API standard: numpy's arrays on a CPU, torch's tensors on a GPU.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from array_api_compat import array_namespace

from headstart.devices import Array

MEMORY = 10
"""Pairs of steps and changes of gradient that stand for the curvature."""
LOOK_BACK = 5
"""Iterations over which progress is measured: one alone is often short by chance."""
N_TRIALS = 20
ENOUGH = 1e-4
"""The share of the promised decrease that a step must give (Armijo)."""

Pairs: TypeAlias = deque[tuple[Array, Array]]
"""Steps (G, P), and how the gradient of the loss without its penalty changed along each: they hold for every ``C``."""


def no_pairs() -> Pairs:
    """Nothing is known of the curvature yet."""
    return deque(maxlen=MEMORY)


class Loss(Protocol):
    """A loss of G problems, without the penalty."""

    penalised: Array
    """1 for what the penalty is on, 0 for intercepts, (P,)."""
    bends: Array
    """About how much the loss curves along what has no penalty, 0 elsewhere, (G, P)."""

    def __call__(self, at: Array, /) -> tuple[Array, Array]:
        """Losses (G,) in float64 and gradients (G, P) at parameters (G, P)."""


@dataclass(frozen=True, slots=True)
class Point:
    """A place with its objective and twice its penalty (G,), the gradient of the loss and of the objective (G, P)."""

    at: Array
    objective: Array
    penalty: Array
    loss_gradient: Array
    gradient: Array


def minimise(
    loss: Loss, start: Array, C: float, known: Pairs, max_iter: int, tol: float
) -> tuple[Point, int, bool]:
    """Minimise ``C * loss(x) + 0.5 * sum(penalised * x**2)`` for each row x of (G, P).

    Parameters
    ----------
    known : Pairs
        Of minimisations before this one, of the same loss; more are learnt.
    tol : float
        Ends where the objective fell by less than this share in the last iterations.

    Returns
    -------
    Point, int, bool
        The minimum, after how many iterations, and whether it is one: not where an iteration limit or the
        precision of the numbers ended it.

    References
    ----------
    Nocedal and Wright, Numerical Optimization, 2nd ed., algorithms 3.1 and 7.4.
    """
    penalised = loss.penalised

    def look(at: Array) -> Point:
        losses, slope = loss(at)
        pulled = penalised * at
        penalty = dot(pulled, at)
        return Point(at, C * losses + 0.5 * penalty, penalty, slope, C * slope + pulled)

    convexity = penalised + C * loss.bends
    point = look(start)
    trail = deque([point.objective], maxlen=LOOK_BACK + 1)
    done = _is_certain(point, convexity, tol)
    xp = array_namespace(start)
    stuck = xp.zeros_like(done)
    n_iter = 0
    while n_iter < max_iter and not bool(xp.all(done | stuck)):
        direction = _direction(point, C, penalised, known)
        direction[done | stuck] = 0  # what is done stays where it is while the others go on
        after, failed = _search(look, point, direction)
        step, change = after.at - point.at, after.loss_gradient - point.loss_gradient
        if bool(xp.any(dot(step, C * change + penalised * step) > 0)):
            known.append((step, change))
        point, n_iter = after, n_iter + 1
        trail.append(point.objective)
        stuck |= failed & ~done
        done |= _is_certain(point, convexity, tol) | _is_slow(trail, tol)
    return point, n_iter, bool(xp.all(done))


def dot(a: Array, b: Array) -> Array:
    """Products of rows (G, P), summed in float64, shape (G,)."""
    xp = array_namespace(a)
    return xp.sum(a * b, axis=-1, dtype=xp.float64)


def _is_certain(point: Point, convexity: Array, tol: float) -> Array:
    """Whether the objective is above its minimum by less than this share of the penalty.

    Under a strong penalty the losses hardly fall, and a share of them says nothing. Convexity bounds what is left:
    strictly along what is penalised, by an estimate along intercepts.
    """
    certain: Array = dot(point.gradient / convexity, point.gradient) <= tol * point.penalty
    return certain


def _is_slow(trail: deque[Array], tol: float) -> Array:
    if len(trail) <= LOOK_BACK:
        xp = array_namespace(trail[-1])
        return xp.zeros_like(trail[-1], dtype=xp.bool)
    slow: Array = trail[0] - trail[-1] < tol * abs(trail[-1])
    return slow


def _direction(point: Point, C: float, penalised: Array, known: Pairs) -> Array:
    """Minus the gradient times an inverse Hessian that the pairs approximate, row by row."""
    xp, q = array_namespace(point.gradient), point.gradient
    if not known:
        length = xp.linalg.vector_norm(q, axis=-1, keepdims=True)
        return -q / xp.clip(length, min=1)
    pairs = [(step, C * change + penalised * step) for step, change in known]
    curved = [dot(step, bend) for step, bend in pairs]
    shares: list[Array] = []
    for (step, bend), width in zip(reversed(pairs), reversed(curved), strict=True):
        shares.append(_ratio(dot(step, q), width, q))
        q = q - shares[-1] * bend
    step, bend = pairs[-1]
    q = q * xp.where(curved[-1][:, None] > 0, _ratio(curved[-1], dot(bend, bend), q), 1)
    for (step, bend), width, share in zip(pairs, curved, reversed(shares), strict=True):
        q = q + (share - _ratio(dot(bend, q), width, q)) * step
    descends = dot(q, point.gradient) > 0
    return -xp.where(descends[:, None], q, point.gradient)


def _ratio(top: Array, bottom: Array, like: Array) -> Array:
    """``top / bottom`` for each row, shape (G, 1); 0 where a row did not move."""
    xp, positive = array_namespace(top), bottom > 0
    ratio = xp.where(positive, top / xp.where(positive, bottom, 1), 0)
    return xp.astype(ratio, like.dtype)[:, None]


def _search(look: Callable[[Array], Point], point: Point, direction: Array) -> tuple[Point, Array]:
    """Shorten each row's step until its objective falls; the new place, and which rows found none."""
    xp = array_namespace(direction)

    def along(length: Array) -> Point:
        return look(point.at + xp.astype(length, direction.dtype)[:, None] * direction)

    slope = dot(direction, point.gradient)
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
