"""`headstart runs` lists, shows and chooses among the runs that lie in a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import headstart as hs

from ..made_sets import clouds, make_set
from .conftest import Result

Runner = Callable[..., Result]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted")
    X, y = clouds(120, apart=2.0)
    features = make_set(folder / "cache", X, {"kind": [f"class {c}" for c in y]})
    for head in ("ridge", "logistic"):
        hs.fit_head(features, head=head, out=folder / "runs" / head, plots="none")
    (folder / "runs" / "notes").mkdir()
    return folder / "runs"


@pytest.fixture
def runs(fitted: Path) -> Path:
    return Path(shutil.copytree(fitted, "runs"))


def report(path: Path) -> Any:
    return json.loads((path / "report.json").read_text())


def test_ls_lists_runs_with_the_best_first_and_names_what_is_none(headstart: Runner, runs: Path) -> None:
    done = headstart("runs", "ls")
    assert done.code == 0
    assert done.err == "skipped runs/notes: it is no run directory: there is no report.json\n"
    header, *lines = done.out.splitlines()
    assert header.split()[:6] == ["run", "set", "method", "head", "features", "validation.accuracy"]
    assert {line.split()[0] for line in lines} == {"runs/ridge", "runs/logistic"}
    assert {line.split()[2] for line in lines} == {"head"}
    values = [run["value"] for run in headstart("runs", "ls", "--json").json["runs"]]
    assert values == sorted(values, reverse=True)


def test_ls_says_how_much_of_the_network_was_trained(headstart: Runner, runs: Path) -> None:
    strategies = ("full", "lora", "gradual", "last:2")
    for strategy in strategies:
        path = Path(shutil.copytree(runs / "ridge", runs / strategy.replace(":", "-")))
        method = {"name": "fine-tune", "strategy": strategy}
        (path / "report.json").write_text(json.dumps({**report(path), "method": method}))
    listed = headstart("runs", "ls", "--json").json["runs"]
    methods = {Path(run["run"]).name: run["method"] for run in listed}
    own = {strategy.replace(":", "-"): strategy for strategy in strategies}
    assert methods == {"ridge": "head", "logistic": "head", **own}
    assert "last:2" in headstart("runs", "ls", "-q").out
    assert "method:   lora" in headstart("runs", "show", "runs/lora").out


def test_best_writes_nothing_but_the_path(headstart: Runner, runs: Path) -> None:
    values = {
        str(run): report(run)["metrics"]["validation"]["accuracy"]
        for run in (runs / "ridge", runs / "logistic")
    }
    shown = headstart("runs", "best", runs, "--metric", "accuracy", "--split", "validation", "-q")
    assert (shown.code, shown.err) == (0, "")
    assert values[shown.out.strip()] == max(values.values())
    assert headstart("runs", "best", runs, "-q").out == shown.out
    assert headstart("runs", "best", runs, "--metric", "nonsense").code == 1


def test_the_best_is_chosen_on_validation_and_among_the_runs_of_a_set(headstart: Runner, runs: Path) -> None:
    better_on_test = {"test": {"accuracy": 2.0}, "validation": {"accuracy": -1.0}}
    for name, set in (("lucky", "made"), ("other", "photos")):
        shutil.copytree(runs / "ridge", runs / name)
        (runs / name / "report.json").write_text(
            json.dumps({**report(runs / "ridge"), "metrics": better_on_test})
        )
        features = json.loads((runs / name / "features.json").read_text())
        (runs / name / "features.json").write_text(json.dumps({**features, "set": set}))
    assert headstart("runs", "best", "-q").out.strip() in ("runs/ridge", "runs/logistic")
    assert headstart("runs", "best", "-q", "--split", "test", "--set", "made").out.strip() == "runs/lucky"
    assert headstart("runs", "best", "-q", "--set", "photos").out.strip() == "runs/other"
    listed = headstart("runs", "ls", "--set", "photos", "--json").json["runs"]
    assert [run["run"] for run in listed] == ["runs/other"]
    unknown = headstart("runs", "ls", "--set", "cars")
    assert unknown.code == 1
    assert "made, photos" in unknown.err


def test_runs_of_numbers_are_chosen_by_r2(headstart: Runner, cache_root: Path) -> None:
    X, y = clouds(60)
    features = make_set(cache_root, X, {"age": y.astype(float).tolist()}, kinds={"age": "regression"})
    hs.fit_head(features, head="ridge", out="runs/age", plots="none")
    assert headstart("runs", "best", "-q").out == "runs/age\n"
    assert "validation.r2" in headstart("runs", "ls").out


def test_show_gives_the_report_to_people_and_to_machines(headstart: Runner, runs: Path) -> None:
    assert headstart("runs", "show", runs / "ridge", "--json").json == report(runs / "ridge")
    page = headstart("runs", "show", runs / "ridge").out
    accuracy = report(runs / "ridge")["metrics"]["test"]["accuracy"]
    assert f"{accuracy:.4f}" in page
    assert "class 0" in page
    assert "py:some:backbone last.mean" in page


def test_show_says_what_was_tried_and_what_the_fit_chose(headstart: Runner, cache_root: Path) -> None:
    X, y = clouds(200, apart=2.0)
    features = make_set(cache_root, X, {"kind": [f"class {c}" for c in y]})
    alphas = {"alpha": [0.1, 1.0, 10.0]}
    hs.fit_head(
        features,
        head="ridge",
        sweep=alphas,
        shots=[2, 4],
        curve=[60, 90],
        seeds=3,
        out="runs/many",
        plots="none",
    )
    many = report(Path("runs/many"))
    lines = headstart("runs", "show", "runs/many").out.splitlines()
    best = many["sweep"]["best"]["alpha"]
    accuracy = next(t for t in many["sweep"]["trials"] if t["params"]["alpha"] == best)["validation"][
        "accuracy"
    ]
    (sweep,) = (line for line in lines if line.startswith("sweep:"))
    assert f"alpha={best:.4g} is the best of 3 on validation: accuracy {accuracy['mean']:.4f}" in sweep
    for name, noun in (("shots", "of each class"), ("curve", "train samples")):
        start = lines.index(f"{name}, on test")
        assert lines[start + 1].startswith(noun)
        for row, line in zip(many[name], lines[start + 2 :], strict=False):
            assert line.split()[:2] == [str(row["size"]), "3"]
            assert f"{row['mean']['accuracy']:.4f} ± {row['deviation']['accuracy']:.4f}" in line

    hs.fit_head(features, head="logistic", seeds=2, out="runs/chosen", plots="none")
    chosen = report(Path("runs/chosen"))
    assert chosen["head"]["params"]["C"] == "auto"
    page = headstart("runs", "show", "runs/chosen").out
    assert f" C={chosen['head']['C']:.4g} " in page
    assert "C=auto" not in page
    mean, deviation = (chosen["seeds"][part]["accuracy"] for part in ("mean", "deviation"))
    assert f"seeds:    2 on test: accuracy {mean:.4f} ± {deviation:.4f}" in page
    card = Path("runs/chosen/README.md").read_text("utf-8")
    assert f"'C': {chosen['head']['C']}" in card
    assert "'C': 'auto'" not in card


def test_no_name_of_a_class_breaks_a_table(headstart: Runner, cache_root: Path) -> None:
    X, y = clouds(120, apart=2.0)
    names = ["two\nlines \x1b[31m", "x" * 300, "plain"]
    features = make_set(cache_root, X, {"kind": [names[c] for c in y]})
    hs.fit_head(features, head="ridge", out="runs/strange", plots="none")
    lines = headstart("runs", "show", "runs/strange").out.splitlines()
    table = lines[next(row for row, line in enumerate(lines) if line.startswith("class ")) :]
    assert len(table) == 4
    assert max(map(len, table)) < 100
    assert any(line.startswith("two\\nlines \\x1b[31m ") for line in table)
    assert any(line.startswith("x" * 47 + "… ") for line in table)
    assert "\x1b" not in "".join(lines)


def test_an_empty_folder_and_no_folder_are_said(headstart: Runner, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    empty = headstart("runs", "ls")
    assert (empty.code, empty.out) == (0, "")
    assert "there are no runs in runs" in empty.err
    assert headstart("runs", "ls", "none").code == 1
    assert headstart("runs", "show", "runs").code == 1
    assert headstart("runs", "ls", "--sort", "size").code == 2
