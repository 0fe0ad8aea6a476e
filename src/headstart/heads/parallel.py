"""Parts of a computation, or whole computations, at once, each in a thread of its own.

Products with few columns are too small for the threads of a BLAS: two of them take as long as one, and many times as
long where another process is busy. So each part is one thread's, with all that stands around its product; where there
are several fits, each fit is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Part = TypeVar("Part")
Result = TypeVar("Result")
PART = 1 << 25
"""Products of a part, at least: about a millisecond; of smaller ones threads wait in turn for the interpreter."""
MOST_PARTS = 16

_helpers: ContextVar[tuple[ThreadPoolExecutor, int] | None] = ContextVar("helpers", default=None)


@contextmanager
def side_by_side() -> Iterator[None]:
    """Let `each` run parts at once, as many as BLAS has threads, which has one in the meantime."""
    if _helpers.get() is not None:
        yield
        return
    blas = _blas()
    n_threads = _threads_of(blas)
    if n_threads < 2:
        yield
        return
    with blas.limit(limits=1), ThreadPoolExecutor(n_threads - 1) as pool:
        before = _helpers.set((pool, n_threads - 1))
        try:
            yield
        finally:
            _helpers.reset(before)


def threads_of_blas() -> int:
    """How many computations there are at once."""
    return _threads_of(_blas())


def _threads_of(blas: ThreadpoolController) -> int:
    return max((library.num_threads for library in blas.lib_controllers), default=1)


def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def one_a_thread(work: Callable[[Part], Result], things: Sequence[Part]) -> Iterator[Result]:
    """What whole computations give, in their order; as many at once as BLAS has threads, of which each has one.

    A single one has all threads for its parts.
    """
    blas = _blas()
    n_threads = _threads_of(blas)
    if n_threads < 2 or len(things) < 2:
        yield from map(work, things)
        return
    pool = ThreadPoolExecutor(n_threads)
    try:
        with blas.limit(limits=1):
            yield from pool.map(work, things)
    finally:
        pool.shutdown(cancel_futures=True)


def each(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """What work gives for each part, in their order."""
    helpers = _helpers.get()
    if helpers is None or len(parts) < 2:
        return [work(part) for part in parts]
    found: dict[int, Result] = {}
    waiting = iter(range(len(parts)))  # of which no two threads get the same

    def help_out() -> None:
        for place in waiting:
            found[place] = work(parts[place])

    pool, n_helpers = helpers
    helping = [pool.submit(help_out) for _ in range(min(n_helpers, len(parts) - 1))]
    help_out()
    for one in helping:
        one.result()
    return [found[place] for place in range(len(parts))]


def parts_at_once() -> int:
    """How many parts `each` works on at a time."""
    helpers = _helpers.get()
    return 1 if helpers is None else helpers[1] + 1


def parts_of(n: int, products: int) -> list[slice]:
    """Consecutive parts of n things which take so many products: the same whatever the number of threads."""
    n_parts = max(1, min(n, MOST_PARTS, products // PART))
    ends = [n * part // n_parts for part in range(n_parts + 1)]
    return [slice(start, end) for start, end in itertools.pairwise(ends)]
