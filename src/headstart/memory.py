"""Memory: how much is left to this process, giving back what is freed, and whether an error says that it ran out."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from headstart.errors import BackboneError

CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
RAN_OUT = ("out of memory", "can't allocate memory", "not enough memory")


def available_bytes() -> int:
    """What can still be taken: of the machine, of the container, and under the process's own limit."""
    return max(min(_bounds()), 0)


def _bounds() -> Iterator[int]:
    import psutil  # type: ignore[import-untyped]

    yield psutil.virtual_memory().available
    for limit, used in CGROUPS:  # which psutil does not look at
        with contextlib.suppress(OSError, ValueError):  # there is no such limit
            yield int(Path(limit).read_text()) - int(Path(used).read_text())
    held = psutil.Process().memory_info()
    for limit_of, n_bytes in (
        (resource.RLIMIT_AS, held.vms),
        (resource.RLIMIT_DATA, getattr(held, "data", 0)),
    ):
        most, _ = resource.getrlimit(limit_of)
        if most != resource.RLIM_INFINITY:
            yield most - n_bytes


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error says that memory ran out, of the device or of the host."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, BackboneError):  # the user's own code is named in an error around its own
        return is_out_of_memory(error.__cause__)
    # torch.OutOfMemoryError is a RuntimeError too, and says so: torch need not be imported to ask.
    return isinstance(error, RuntimeError) and (
        type(error).__name__ == "OutOfMemoryError" or any(part in str(error) for part in RAN_OUT)
    )


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
