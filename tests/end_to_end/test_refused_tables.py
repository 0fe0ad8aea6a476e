"""A table that is refused ends in one line and its exit code, every time: no thread of a reader outlives the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import TEXTS, Result

ROWS = "".join(f"text number {row},{row % 2},{('train', 'nowhere')[row % 2]}\n" for row in range(40))


@pytest.mark.parametrize("n", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_refused_table_always_ends_with_the_same_code(
    n: int, tmp_path: Path, process: Callable[..., Result]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"text,label,split\nragged\n{ROWS}")
    for _ in range(n):
        done = process("extract", path, "--backbone", TEXTS, "--set", "x", "--cache", tmp_path / "cache")
        assert done.code == 2
        assert "'nowhere', which is none; say what it is with --split-map nowhere=test" in done.err
