"""The most memory that a program had, mapped files included.

A process inherits ``ru_maxrss`` from the one that starts it, which here is a fork of a large one; so that a small one
starts it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

STARTER = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(f"\\n{code} {peak}")
"""


class Measured(NamedTuple):
    """How a program ended, what it said, and the most bytes that it had."""

    code: int
    err: str
    peak: int


def measured(command: Sequence[object]) -> Measured:
    """Run a program to its end."""
    words = [sys.executable, "-c", STARTER, *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    code, peak = done.stdout.rsplit("\n", 2)[1].split()
    return Measured(int(code), done.stderr, int(peak))
