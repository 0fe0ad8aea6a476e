"""Parts of a computation at once, each in a thread of its own.

Products with few columns are too small for the threads of a BLAS: two of them take as long as one, and many times as
long where another process is busy. So each part is one thread's, with all that stands around its product.
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
PART = 1 << 24
"""Products of a part, at least: about a millisecond."""
MOST_PARTS = 16

_pool: ContextVar[ThreadPoolExecutor | None] = ContextVar("pool", default=None)


@contextmanager
def side_by_side() -> Iterator[None]:
    """Let `each` run parts at once, as many as BLAS has threads, which has one in the meantime."""
    blas = ThreadpoolController().select(user_api="blas")
    n_threads = max((library.num_threads for library in blas.lib_controllers), default=1)
    if n_threads < 2 or _pool.get() is not None:
        yield
        return
    with blas.limit(limits=1), ThreadPoolExecutor(n_threads) as pool:
        before = _pool.set(pool)
        try:
            yield
        finally:
            _pool.reset(before)


def each(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """What work gives for each part, in their order."""
    pool = _pool.get()
    if pool is None or len(parts) < 2:
        return [work(part) for part in parts]
    return list(pool.map(work, parts))


def parts_of(n: int, products: int) -> list[slice]:
    """Consecutive parts of n things which take so many products: the same whatever the number of threads."""
    n_parts = max(1, min(n, MOST_PARTS, products // PART))
    ends = [n * part // n_parts for part in range(n_parts + 1)]
    return [slice(start, end) for start, end in itertools.pairwise(ends)]
