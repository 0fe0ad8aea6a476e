"""Plots drawn in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headstart.plots import Plot, history_plot
from headstart.plots.studio import Studio, draw_here, open_studio

from ..variants import cases

PLOTS = {
    f"history {number}": history_plot([{"epoch": 1, "train_loss": 0.7 + number, "lr": 0.1}])
    for number in range(3)
}


def refuse(number: int) -> Any:
    """A drawing that fails in every process but the one that tests."""
    if "pytest" not in sys.modules:
        raise RuntimeError
    return history_plot([{"epoch": 1, "train_loss": float(number), "lr": 0.1}]).draw()


def test_they_are_the_same_as_drawn_here() -> None:
    with open_studio("both") as studio:
        found = studio.draw(PLOTS, "both")
    assert set(found) == {f"{name}.{suffix}" for name in PLOTS for suffix in ("png", "svg")}
    assert found == draw_here(PLOTS, "both")


@pytest.mark.parametrize(
    ("asked", "suffixes"),
    cases([("png", {".png"}), ("svg", {".svg"}), ("none", set())], [("none", set())]),
)
def test_only_the_files_that_are_asked_for_are_drawn(asked: Any, suffixes: set[str]) -> None:
    with open_studio(asked) as studio:
        assert {Path(name).suffix for name in studio.draw(PLOTS, asked)} == suffixes


def test_what_a_process_fails_at_is_drawn_here() -> None:
    plots = {**PLOTS, "refused": Plot(partial(refuse, 1)), "lambda": Plot(lambda: refuse(2))}
    studio = Studio(2)
    studio._workers[0].kill()
    assert studio.draw(plots, "png") == draw_here(plots, "png")
    studio.close()


def test_without_processes_they_are_drawn_here() -> None:
    studio = Studio(0)
    assert studio.draw(PLOTS, "png") == draw_here(PLOTS, "png")
    assert studio.draw({}, "png") == {}
    studio.close()


def test_a_process_that_nobody_asks_goes_by_itself() -> None:
    studio = Studio(1)
    worker = studio._workers[0]
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(timeout=60) == 0
    studio.close()
    assert isinstance(worker, subprocess.Popen)
