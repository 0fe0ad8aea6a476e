"""Nothing hangs on how a processor rounds: tests of numbers pass under other threads and other instructions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NUMBERS = ("heads", "inspection", "metrics", "prediction", "fitting", "comparison", "backbones", "extraction")


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"OMP_NUM_THREADS": "1"},
        {"OMP_NUM_THREADS": "2"},
        {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default"},
    ],
    ids=lambda settings: " ".join(f"{name}={value}" for name, value in settings.items()),
)
def test_the_tests_of_numbers_pass_with(settings: dict[str, str]) -> None:
    folders = [str(ROOT / "tests" / name) for name in NUMBERS]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *folders]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:]
