"""`headstart plots RUN` writes the pictures of a run anew, as PNG and as SVG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import headstart as hs

from ..made_sets import clouds, make_set
from .conftest import Result

Runner = Callable[..., Result]


@pytest.fixture
def run(cache_root: Path) -> Path:
    X, y = clouds(120, apart=4)
    features = make_set(cache_root, X, {"kind": [f"class {c}" for c in y]})
    hs.fit_head(features, head="ridge", out="run", plots="png")
    return Path("run")


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_command_replaces_the_files_of_the_run(headstart: Runner, run: Path) -> None:
    written = files(run / "plots")
    (run / "plots" / "roc.png").write_bytes(b"")
    done = headstart("plots", run)
    assert done.code == 0, done.err
    assert "confusion" in done.err
    assert files(run / "plots") == written
    assert headstart("plots", run, "--format", "svg", "--only", "roc,pca", "-q").err == ""
    assert set(files(run / "plots")) == {*written, "roc.svg", "pca.svg"}


def test_other_folders_are_kept_unless_overwrite_is_said(headstart: Runner, run: Path) -> None:
    assert headstart("plots", run, "--only", "roc", "--out", "drawn").code == 0
    Path("drawn/roc.png").write_text("mine")
    assert headstart("plots", run, "--only", "roc", "--out", "drawn").code == 2
    assert Path("drawn/roc.png").read_text() == "mine"
    assert headstart("plots", run, "--only", "roc", "--out", "drawn", "--overwrite").code == 0
    assert Path("drawn/roc.png").read_bytes().startswith(b"\x89PNG")


def test_mistakes_are_said_in_a_line(headstart: Runner, run: Path) -> None:
    for arguments, word in (
        (["nothing"], "not a run directory"),
        ([run, "--only", "rock"], "did you mean 'roc'"),
        ([run, "--format", "gif"], "gif"),
        ([run, "--cache", "empty", "--only", "pca"], "made"),
    ):
        done = headstart("plots", *arguments)
        assert done.code in (1, 2), arguments
        assert word in done.err
