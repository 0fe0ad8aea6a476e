"""The backbones of these tests can be imported, and every test has two cores."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent / "end_to_end")]


@pytest.fixture(autouse=True)
def _two_cores() -> Iterator[None]:
    """So that there are two lanes and two readers, where the machine has two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
