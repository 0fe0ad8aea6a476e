"""Giving freed memory back to the system: the allocator keeps what it may need again."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable


def return_freed_memory() -> None:
    """Give all freed memory back to the system, where its allocator can be told to (glibc).

    Columns of a million rows come and go while a run is planned. glibc keeps blocks of up to 32 MB once it has
    seen one of that size freed, so a run over a million rows held 100 MB that nobody used. It takes
    milliseconds: call it between two phases, not in a loop.
    """
    _trim()(0)


@functools.cache
def _trim() -> Callable[[int], object]:
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            return trim  # type: ignore[no-any-return]
    return lambda _: None
