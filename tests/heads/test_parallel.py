"""Several threads compute what one computes, and what goes wrong in one of them is heard of."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from headstart.heads import open_head
from headstart.heads.parallel import each, one_a_thread, parts_of, side_by_side, threads_of_blas

from .conftest import make_problem


@pytest.fixture(params=[1, 3], ids=["one thread", "three threads"])
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with threadpool_limits(request.param, "blas"):
        yield request.param


def test_parts_are_worked_on_once_each_and_in_their_order(n_threads: int) -> None:
    worked = []

    def work(part: int) -> int:
        worked.append(part)
        return 2 * part

    with side_by_side():
        assert each(work, range(100)) == list(range(0, 200, 2))
        assert threads_of_blas() == 1  # which the parts have, each
    assert sorted(worked) == list(range(100))
    assert threads_of_blas() == n_threads


def test_whole_computations_come_in_their_order(n_threads: int) -> None:
    gate = threading.Barrier(n_threads, timeout=30)

    def work(thing: int) -> tuple[int, int]:
        gate.wait()  # so many are at work at once, or nobody goes on
        return thing, threads_of_blas()

    assert list(one_a_thread(work, range(2 * n_threads * 3))) == [(n, 1) for n in range(6 * n_threads)]


@pytest.mark.usefixtures("n_threads")
def test_an_error_in_a_thread_is_raised_where_the_work_was_asked_for() -> None:
    def work(part: int) -> int:
        if part == 7:
            raise ValueError("the seventh")
        return part

    with pytest.raises(ValueError, match="the seventh"), side_by_side():
        each(work, range(20))
    with pytest.raises(ValueError, match="the seventh"):
        list(one_a_thread(work, range(20)))


def test_nothing_is_lost_between_parts() -> None:
    for n, products in ((1, 1 << 30), (5, 1 << 30), (1000, 0), (1003, 1 << 27)):
        rows = [row for part in parts_of(n, products) for row in range(n)[part]]
        assert rows == list(range(n))


def fitted(head: Any) -> Any:
    problem = make_problem()
    return head.fit(problem.X, problem.y)


@pytest.mark.parametrize("kind", ["logistic", "ridge", "centroid"])
def test_heads_that_are_fitted_at_once_are_those_that_are_fitted_alone(kind: str) -> None:
    problem = make_problem()
    heads = [open_head(kind, {}, 0, "single") for _ in range(8)]
    with threadpool_limits(1, "blas"):
        alone = fitted(open_head(kind, {}, 0, "single")).predict_proba(problem.X_test)
    with threadpool_limits(3, "blas"):
        together = list(one_a_thread(fitted, heads))
    for head in together:
        np.testing.assert_allclose(head.predict_proba(problem.X_test), alone, atol=2e-3)
