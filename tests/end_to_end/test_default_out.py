"""Runs of another label, tap or option do not lie in each other's way, and what does is found before any work."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

import headstart as hs
from headstart.errors import ConfigError

from .conftest import TEXTS, Result, some_texts

Runner = Callable[..., Result]


@pytest.fixture
def features(headstart: Runner, tmp_path: Path) -> str:
    with open(tmp_path / "made.csv", "w", newline="", encoding="utf-8") as file:
        rows = ((text, label, f"topic {n % 3}") for n, (text, label) in enumerate(some_texts(60)))
        csv.writer(file).writerows([("text", "label", "topic"), *rows])
    words = ("--backbone", TEXTS, "--set", "made", "--label-column", "label,topic")
    done = headstart("extract", "made.csv", *words)
    assert done.code == 0, done.err
    return "made"


def test_each_label_and_option_has_its_own_run(headstart: Runner, features: str) -> None:
    ridge = ("fit-head", features, "--head", "ridge")
    for words in ((), ("--label", "topic"), ("--param", "alpha=2")):
        done = headstart(*ridge, *words)
        assert done.code == 0, done.err
        assert headstart(*ridge, *words).code == 2  # the very same again
        assert headstart(*ridge, *words, "--overwrite").code == 0
    places = sorted(path.name for path in Path("runs").iterdir())
    assert places == ["made-ridge", "made-ridge-alpha-2", "made-ridge-topic"]
    assert hs.load_run("runs/made-ridge").labels["column"] == "label"
    assert hs.load_run("runs/made-ridge-topic").labels["column"] == "topic"


def test_what_stands_in_the_way_is_found_before_any_work(
    headstart: Runner, features: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.fitting.stage.fit_head", lambda *_: pytest.fail("work was done"))
    Path("full").mkdir()
    Path("full/thesis.txt").write_text("mine")
    Path("file").write_text("mine")
    Path("nowhere").symlink_to("gone")
    for out in ("full", "file", "file/run", "nowhere"):
        with pytest.raises(ConfigError):
            hs.fit_head(features, head="ridge", out=out)
        assert headstart("fit-head", features, "--head", "ridge", "--out", out).code == 2
    assert Path("full/thesis.txt").read_text() == Path("file").read_text() == "mine"
