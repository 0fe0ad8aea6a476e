"""Where things are written: where the user says, never where a run does; and a ``~`` that no shell expanded."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import headstart as hs
from headstart.cache.store import Cache

from ..end_to_end.conftest import Result
from .conftest import Code, make_run, make_set, state_of

Runner = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_what_a_runs_cache_holds_is_read_and_what_is_new_goes_to_the_users(
    headstart: Runner, texts: Path, code: Code
) -> None:
    make_run(texts, code)
    before = state_of(Path("cache"))
    assert headstart("predict", "run", texts, "--out", "held.csv").code == 0
    assert not (Path(os.environ["HEADSTART_CACHE"]) / "spaces").exists()  # nothing was computed
    texts.write_text(texts.read_text() + "a new text,class 1\n")
    assert headstart("predict", "run", texts, "--out", "own.csv").code == 0
    assert headstart("predict", "run", texts, "--out", "third.csv", "--cache", "third").code == 0
    assert state_of(Path("cache")) == before
    for place in (os.environ["HEADSTART_CACHE"], "third"):
        [space] = Cache(place).space_paths()
        assert len(Cache(place).open_space(space.name)) == 1
    whole = headstart("predict", "run", texts, "--out", "whole.csv", "--cache", "cache")
    assert whole.code == 0
    same = {Path(name).read_text() for name in ("own.csv", "third.csv", "whole.csv")}
    assert len(same) == 1
    assert next(iter(same)).startswith(Path("held.csv").read_text())


@pytest.mark.parametrize("place", ["/dev", "{outside}", 7, None, "not there", ["x"]])
def test_a_run_that_says_another_place(
    headstart: Runner, texts: Path, code: Code, outside: Path, place: object
) -> None:
    make_run(texts, code)
    features = json.loads(Path("run/features.json").read_text())
    features["cache"] = str(outside) if place == "{outside}" else place
    Path("run/features.json").write_text(json.dumps(features))
    texts.write_text("text\na new text\n")
    assert headstart("predict", "run", texts, "--trust", code.name).code == 0


def test_a_strangers_configuration_does_not_say_where_features_are_written(
    headstart: Runner, texts: Path, code: Code, outside: Path
) -> None:
    Path("config.yaml").write_text(f"data: texts.csv\nbackbone: bundled:x\ncache: {outside}\n")
    done = headstart("fine-tune", "--config", "config.yaml")
    assert (done.code, "say --cache" in done.err) == (2, True), done.err


def test_a_home_that_no_shell_expanded(
    headstart: Runner, texts: Path, code: Code, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", "~/cache")
    monkeypatch.setenv("XDG_CACHE_HOME", "~/machine")
    for name in ("hdf5", "parquet"):
        words = ("--backbone", code("backbone"), "--set", "s", "--format", name)
        assert headstart("extract", "~/../work/texts.csv", *words).code == 0
    assert headstart("fit-head", "s", "--head", "ridge", "--out=~/r").code == 0
    assert headstart("predict", "~/r", "texts.csv", "--out=~/p.csv").code == 0
    assert headstart("cache", "export", "s", "~/x.npz").code == 0
    assert headstart("compare", "~/r", "~/r", "--out=~/c").code in (0, 2)
    assert headstart("runs", "ls", "~").code == 0
    hs.fit_head("s", "ridge", cache="~/cache", plots="none").save("~/python")
    assert hs.load_run("~/python").predict(["a text"], cache="~/other").num_rows == 1
    assert {"cache", "machine", "r", "p.csv", "x.npz", "python", "other"} <= {
        path.name for path in home.iterdir()
    }
    assert not list(Path().glob("~*"))


def test_a_pipeline_may_say_home_as_well(headstart: Runner, texts: Path, code: Code, home: Path) -> None:
    texts.rename(home / "texts.csv")
    Path("p.yaml").write_text(
        f"data: ~/texts.csv\nsteps:\n  f: {{extract: {{backbone: '{code('backbone')}'}}}}\n"
    )
    (home / "p.yaml").write_text(Path("p.yaml").read_text())
    done = headstart("run", "~/p.yaml", "--out=~/out", "--cache=~/cache", "--trust", code.name)
    assert done.code == 0, done.err
    assert {"out", "cache"} <= {path.name for path in home.iterdir()}
    assert not list(Path().glob("~*"))


def test_a_set_of_the_users_own_in_a_folder_with_a_tilde(texts: Path, code: Code) -> None:
    make_set(texts, code)
    Path("~x").mkdir()
    assert hs.extract("texts.csv", code("backbone"), cache="./~x", quiet=True).cache == Path("~x")
