"""How much memory is left to this process."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)

ADDRESSES, DATA = 0, 5
"""Columns of ``/proc/self/statm``."""


def available_bytes() -> int:
    """What can still be taken: of the machine, of the container, and under the process's own limit."""
    return max(min(_bounds()), 0)


def _bounds() -> Iterator[int]:
    yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit, used in CGROUPS:
        try:
            yield int(Path(limit).read_text()) - int(Path(used).read_text())
        except (OSError, ValueError):
            continue  # there is no such limit
    try:
        status = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        yield int(status["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    for limit_of, column in ((resource.RLIMIT_AS, ADDRESSES), (resource.RLIMIT_DATA, DATA)):
        most, _ = resource.getrlimit(limit_of)
        if most != resource.RLIM_INFINITY:
            try:
                pages = int(Path("/proc/self/statm").read_text().split()[column])
                yield most - pages * os.sysconf("SC_PAGE_SIZE")
            except (OSError, ValueError):
                yield most
