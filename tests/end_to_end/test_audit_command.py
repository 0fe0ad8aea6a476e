"""`headstart audit` says what it found to people, to machines and to files, and never loads a backbone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ..made_sets import clouds, make_set
from .conftest import Result

Runner = Callable[..., Result]


@pytest.fixture
def made(cache_root: Path) -> Path:
    X, y = clouds(120, apart=8)
    X[9] = X[0]
    make_set(cache_root, X, {"kind": [f"class {c}" for c in y]})
    return cache_root


def test_it_writes_a_table_and_on_demand_files(headstart: Runner, made: Path) -> None:
    done = headstart("audit", "made", "--cache", made, "--out", "found")
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].split() == ["check", "found", "of", "which"]
    assert "s9 " in done.out
    files = {path.name for path in Path("found").iterdir()}
    assert files == {
        "audit.json", "label_errors.parquet", "duplicates.parquet", "leaks.parquet", "outliers.parquet",
    }  # fmt: skip
    report = json.loads(Path("found/audit.json").read_text())
    with pq.ParquetFile("found/leaks.parquet") as file:
        leaks = file.read().to_pylist()
    assert report["leaks"]["n_test"] == len(leaks) == 1
    assert (leaks[0]["id"], leaks[0]["other_id"]) == ("s9", "s0")


def test_line_ends_and_long_names_leave_the_table_whole(headstart: Runner, cache_root: Path) -> None:
    X, y = clouds(120, apart=8)
    X[9] = X[0]
    names = ["two\nlines", "long " * 60, "tab\there"]
    make_set(cache_root, X, {"kind": [names[c] for c in y]})
    done = headstart("audit", "made", "--cache", cache_root, "--checks", "leaks,duplicates")
    assert done.code == 0, done.err
    tables = done.out.split("\n\n")[1:]
    assert len(tables) == 2
    for table in tables:
        title, header, *rows = table.splitlines()
        assert title.endswith("the first 1 of 1")
        assert "other_label" in header
        (row,) = rows
        assert "two\\nlines" in row or "long long" in row or "tab\\there" in row
        assert len(row) < 250
    as_json = headstart("audit", "made", "--cache", cache_root, "--checks", "leaks", "--out", "found", "-q")
    assert as_json.code == 0
    with pq.ParquetFile("found/leaks.parquet") as file:
        assert file.read().column("label").to_pylist()[0] in names  # files hold them as they are


def test_json_is_the_report(headstart: Runner, made: Path) -> None:
    done = headstart("audit", "made", "--cache", made, "--json", "-q", "--checks", "leaks,outliers")
    assert (done.code, done.err) == (0, "")
    assert done.json["leaks"]["n_test"] == 1
    assert not {"labels", "duplicates"} & set(done.json)


def test_a_folder_that_holds_something_else_is_never_overwritten(headstart: Runner, made: Path) -> None:
    Path("mine").mkdir()
    Path("mine/letter.txt").write_text("dear")
    audit = ("audit", "made", "--cache", made, "--checks", "leaks", "--out", "mine")
    assert headstart(*audit).code == 2
    assert headstart(*audit, "--overwrite").code == 2
    Path("mine/letter.txt").unlink()
    assert headstart(*audit).code == 0
    assert headstart(*audit).code == 2
    assert headstart(*audit, "--overwrite").code == 0


def test_a_mistake_is_said_in_a_line(headstart: Runner, made: Path) -> None:
    for wrong in (
        ["--checks", "spelling"],
        ["--threshold", "2"],
        ["--label", "colour"],
        ["--tap", "last.cls"],
    ):
        done = headstart("audit", "made", "--cache", made, *wrong)
        assert done.code == 2, done.err
        assert done.err.splitlines()[-1].startswith("error: ")
