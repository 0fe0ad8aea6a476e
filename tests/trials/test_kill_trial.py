"""A short version of the trial; `make trial` runs all two hundred kills."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from kill_trial import trial


@pytest.mark.slow
def test_kills_lose_nothing(tmp_path: Path) -> None:
    kills = trial(20, seed=1, folder=tmp_path)
    assert sum(kills.values()) >= 20
