"""A table that is refused ends in one line and its exit code, every time: no thread outlives the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import TEXTS, Result

ROWS = "".join(f"text number {row},{row % 2},{('train', 'nowhere')[row % 2]}\n" for row in range(40))


def check(run: Callable[..., Result], folder: Path) -> None:
    path = folder / "t.csv"
    path.write_text(f"text,label,split\nragged\n{ROWS}")
    done = run("extract", path, "--backbone", TEXTS, "--set", "x", "--cache", folder / "cache")
    assert done.code == 2
    assert "'nowhere', which is none; say what it is with --split-map nowhere=test" in done.err


def test_a_refused_table_ends_with_its_code(tmp_path: Path, headstart: Callable[..., Result]) -> None:
    check(headstart, tmp_path)


@pytest.mark.slow
def test_twenty_processes_that_refuse_a_table_end_alike(
    tmp_path: Path, process: Callable[..., Result]
) -> None:
    for _ in range(20):
        check(process, tmp_path)
