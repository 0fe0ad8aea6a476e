"""Work in threads: numpy lets other threads in while it copies, so copies run side by side, and ahead."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

MOST_THREADS = 8  # memory is no faster for more
WORTH_BYTES = 8 << 20  # below it a copy is over before a second thread has begun

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], object], items: Sequence[Item], n_bytes: int) -> None:
    """Do something for each item, on all cores where what is copied is worth it.

    Parameters
    ----------
    work : callable
    items : sequence
    n_bytes : int
        What all of them copy together.
    """
    n_threads = min(_n_cores(), MOST_THREADS, len(items))
    if n_threads < 2 or n_bytes < WORTH_BYTES:
        for item in items:
            work(item)
        return
    from concurrent.futures import ThreadPoolExecutor  # a warm run reads little, and does without

    with ThreadPoolExecutor(n_threads) as pool:
        for _ in pool.map(work, items):
            pass


def one_ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
    """Each item with what work makes of it; the next is worked on while the last one is used."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        before = None
        for item in items:
            coming = item, pool.submit(work, item)
            if before is not None:
                yield before[0], before[1].result()
            before = coming
        if before is not None:
            yield before[0], before[1].result()


def _n_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
