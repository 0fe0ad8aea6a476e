"""Memory that was freed goes back to the system when it is asked to."""

from __future__ import annotations

import subprocess
import sys

import pytest

HOLD_AND_FREE = """
import numpy as np
from headstart.memory import return_freed_memory


def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))


np.ones(30 << 20, dtype=np.uint8)  # glibc keeps blocks up to this size from now on
before = resident()
kept = []
for _ in range(40):
    freed, stays = np.ones(1 << 20, dtype=np.uint8), np.ones(64, dtype=np.uint8)
    kept.append((freed, stays))
kept = [stays for _, stays in kept]
del freed
held = resident() - before
return_freed_memory()
print(held, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of Linux")
def test_freed_memory_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", HOLD_AND_FREE], capture_output=True, text=True, check=True)
    held, after = map(int, done.stdout.split())
    if held > 10_000:  # kilobytes: glibc; another allocator gives back at once
        assert after < held / 4
    assert after < 10_000
