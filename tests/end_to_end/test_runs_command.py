"""`headstart runs` lists, shows and chooses among the runs that lie in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import headstart as hs

from ..made_sets import clouds, make_set
from .conftest import Result
from .test_start_up import HEAVY, imported_by

Runner = Callable[..., Result]


@pytest.fixture
def runs(cache_root: Path) -> Path:
    X, y = clouds(120, apart=2.0)
    features = make_set(cache_root, X, {"kind": [f"class {c}" for c in y]})
    for head in ("ridge", "logistic"):
        hs.fit_head(features, head=head, out=Path("runs") / head)
    Path("runs/notes").mkdir()
    return Path("runs")


def report(path: Path) -> Any:
    return json.loads((path / "report.json").read_text())


def test_ls_lists_runs_with_the_best_first_and_names_what_is_none(headstart: Runner, runs: Path) -> None:
    done = headstart("runs", "ls")
    assert done.code == 0
    assert done.err == "skipped runs/notes: it is no run directory: there is no report.json\n"
    header, *lines = done.out.splitlines()
    assert header.split()[:5] == ["run", "set", "head", "features", "test.accuracy"]
    assert {line.split()[0] for line in lines} == {"runs/ridge", "runs/logistic"}
    values = [run["value"] for run in headstart("runs", "ls", "--json").json["runs"]]
    assert values == sorted(values, reverse=True)


def test_best_writes_nothing_but_the_path(headstart: Runner, runs: Path) -> None:
    values = {
        str(run): report(run)["metrics"]["validation"]["accuracy"]
        for run in (runs / "ridge", runs / "logistic")
    }
    shown = headstart("runs", "best", runs, "--metric", "accuracy", "--split", "validation", "-q")
    assert (shown.code, shown.err) == (0, "")
    assert values[shown.out.strip()] == max(values.values())
    assert headstart("runs", "best", runs, "--metric", "nonsense").code == 1


def test_show_gives_the_report_to_people_and_to_machines(headstart: Runner, runs: Path) -> None:
    assert headstart("runs", "show", runs / "ridge", "--json").json == report(runs / "ridge")
    page = headstart("runs", "show", runs / "ridge").out
    accuracy = report(runs / "ridge")["metrics"]["test"]["accuracy"]
    assert f"{accuracy:.4f}" in page
    assert "class 0" in page
    assert "py:some:backbone last.mean" in page


def test_an_empty_folder_and_no_folder_are_said(headstart: Runner, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    empty = headstart("runs", "ls")
    assert (empty.code, empty.out) == (0, "")
    assert "there are no runs in runs" in empty.err
    assert headstart("runs", "ls", "none").code == 1
    assert headstart("runs", "show", "runs").code == 1
    assert headstart("runs", "ls", "--sort", "size").code == 2


def test_looking_through_runs_imports_nothing_heavy(runs: Path) -> None:
    modules, _ = imported_by("runs", "ls")
    assert not modules & {*HEAVY, "numpy", "pyarrow"}
