"""L-BFGS for several convex problems side by side, each with its own step and its own end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

MEMORY = 10
"""Pairs of steps and changes of gradient that stand for the curvature."""
LOOK_BACK = 5
"""Iterations over which progress is measured: one alone is often short by chance."""
N_TRIALS = 20
ENOUGH = 1e-4
"""The share of the promised decrease that a step must give (Armijo)."""

Loss: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Parameters (G, P) to losses (G,) in float64 and gradients (G, P), without the penalty."""


@dataclass(slots=True)
class Curvature:
    """What past steps told about the loss without its penalty, so that it holds for every ``C``.

    Parameters
    ----------
    pairs : deque of (Tensor, Tensor), each of shape (G, P)
        Steps, and how the gradient of the loss changed along each.
    """

    pairs: deque[tuple[Tensor, Tensor]] = field(default_factory=lambda: deque(maxlen=MEMORY))


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where a minimisation ended.

    Parameters
    ----------
    at : Tensor, shape (G, P)
    objective : Tensor of float64, shape (G,)
    n_iter : int
    converged : bool
        False where an iteration limit or the precision of the numbers ended it.
    """

    at: Tensor
    objective: Tensor
    n_iter: int
    converged: bool


@dataclass(frozen=True, slots=True)
class Point:
    """A place with its objective and twice its penalty (G,), the gradient of the loss and of the objective (G, P)."""

    at: Tensor
    objective: Tensor
    penalty: Tensor
    loss_gradient: Tensor
    gradient: Tensor


def minimise(
    loss: Loss,
    start: Tensor,
    C: float,
    penalised: Tensor,
    bends: Tensor,
    curvature: Curvature,
    max_iter: int,
    tol: float,
) -> Minimum:
    """Minimise ``C * loss(x) + 0.5 * sum(penalised * x**2)`` for each row x of (G, P).

    Parameters
    ----------
    loss : Loss
    start : Tensor, shape (G, P)
    C : float
    penalised : Tensor, shape (P,)
        1 for what the penalty is on, 0 for intercepts.
    bends : Tensor, shape (G, P)
        About how much the loss curves along what has no penalty; 0 elsewhere.
    curvature : Curvature
        Of minimisations before this one, of the same loss; goes on being learnt.
    max_iter : int
    tol : float
        Ends where the objective fell by less than this share in the last iterations.

    References
    ----------
    Nocedal and Wright, Numerical Optimization, 2nd ed., algorithms 3.1 and 7.4.
    """

    def look(at: Tensor) -> Point:
        losses, slope = loss(at)
        pulled = penalised * at
        penalty = dot(pulled, at)
        return Point(at, C * losses + 0.5 * penalty, penalty, slope, C * slope + pulled)

    convexity = penalised + C * bends
    point = look(start)
    trail = deque([point.objective], maxlen=LOOK_BACK + 1)
    done = _is_certain(point, convexity, tol)
    stuck = torch.zeros_like(done)
    n_iter = 0
    while n_iter < max_iter and not bool((done | stuck).all()):
        direction = _direction(point, C, penalised, curvature)
        direction[done | stuck] = 0  # what is done stays where it is while the others go on
        after, failed = _search(look, point, direction)
        step, change = after.at - point.at, after.loss_gradient - point.loss_gradient
        if bool((dot(step, C * change + penalised * step) > 0).any()):
            curvature.pairs.append((step, change))
        point, n_iter = after, n_iter + 1
        trail.append(point.objective)
        stuck |= failed & ~done
        done |= _is_certain(point, convexity, tol) | _is_slow(trail, tol)
    return Minimum(point.at, point.objective, n_iter, bool(done.all()))


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Products of rows (G, P), summed in float64, shape (G,)."""
    return (a * b).sum(dim=-1, dtype=torch.float64)


def _is_certain(point: Point, convexity: Tensor, tol: float) -> Tensor:
    """Whether the objective is above its minimum by less than this share of the penalty.

    Under a strong penalty the losses hardly fall, and a share of them says nothing. Convexity bounds what is left:
    strictly along what is penalised, by an estimate along intercepts.
    """
    certain: Tensor = dot(point.gradient / convexity, point.gradient) <= tol * point.penalty
    return certain


def _is_slow(trail: deque[Tensor], tol: float) -> Tensor:
    if len(trail) <= LOOK_BACK:
        return torch.zeros_like(trail[-1], dtype=torch.bool)
    slow: Tensor = trail[0] - trail[-1] < tol * trail[-1].abs()
    return slow


def _direction(point: Point, C: float, penalised: Tensor, curvature: Curvature) -> Tensor:
    """Minus the gradient times an inverse Hessian that the pairs approximate, row by row."""
    q = point.gradient.clone()
    if not curvature.pairs:
        return q.div_(-q.norm(dim=-1, keepdim=True).clamp(min=1))
    pairs = [(step, C * change + penalised * step) for step, change in curvature.pairs]
    curved = [dot(step, bend) for step, bend in pairs]
    shares: list[Tensor] = []
    for (step, bend), width in zip(reversed(pairs), reversed(curved), strict=True):
        shares.append(_ratio(dot(step, q), width, q))
        q -= shares[-1] * bend
    step, bend = pairs[-1]
    q *= torch.where(curved[-1] > 0, _ratio(curved[-1], dot(bend, bend), q)[:, 0], 1.0).to(q.dtype)[:, None]
    for (step, bend), width, share in zip(pairs, curved, reversed(shares), strict=True):
        q += (share - _ratio(dot(bend, q), width, q)) * step
    descends = dot(q, point.gradient) > 0
    return -torch.where(descends[:, None], q, point.gradient)


def _ratio(top: Tensor, bottom: Tensor, like: Tensor) -> Tensor:
    """``top / bottom`` for each row, shape (G, 1); 0 where a row did not move."""
    positive = bottom > 0
    ratio = torch.where(positive, top / torch.where(positive, bottom, 1.0), 0.0)
    column: Tensor = ratio.to(like.dtype)[:, None]
    return column


def _search(look: Callable[[Tensor], Point], point: Point, direction: Tensor) -> tuple[Point, Tensor]:
    """Shorten each row's step until its objective falls; the new place, and which rows found none."""
    slope = dot(direction, point.gradient)
    length = torch.ones_like(slope)
    # Rounding moves the sum of many losses by about this much, whatever the step.
    slack = 4 * torch.finfo(point.at.dtype).eps * point.objective.abs()
    for _ in range(N_TRIALS):
        after = look(point.at + length.to(direction.dtype)[:, None] * direction)
        rise = after.objective - point.objective
        good = rise <= ENOUGH * length * slope + slack
        if bool(good.all()):
            return after, ~good
        best = -slope * length**2 / (2 * (rise - length * slope))
        shorter = torch.minimum(torch.maximum(best, 0.1 * length), 0.5 * length)
        length = torch.where(good, length, torch.nan_to_num(shorter))
    length = torch.where(good, length, 0.0)
    return look(point.at + length.to(direction.dtype)[:, None] * direction), ~good
