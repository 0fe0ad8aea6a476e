"""What a user hears of texts that are too long, and what --on-long makes of them, from the command to the run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.errors import ConfigError, DataError

from ..data.tars import write_tar
from .conftest import Result, write_texts

Runner = Callable[..., Result]
LONG = "the quick brown fox jumps over the lazy dog"
SAID = "2 of 22 texts are longer than 16 tokens; the longest has 39"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    rows = [(f"{'ab' if row % 2 else 'xy'} {row}", f"class {row % 2}") for row in range(20)]
    return write_texts(tmp_path / "t.csv", [*rows, (LONG, "class 0"), (f"{LONG} ab", "class 1")])


@pytest.fixture
def asked(tiny_bert: Path) -> tuple[str, ...]:
    return ("--backbone", f"hf:{tiny_bert}", "--max-length", "16")


def test_what_is_cut_is_said_and_kept(
    headstart: Runner, texts: Path, asked: tuple[str, ...], tiny_bert: Path
) -> None:
    done = headstart("extract", texts, *asked, "--set", "s", "--json")
    assert done.code == 0, done.err
    assert f"{SAID}; they are cut there" in done.err
    (found,) = done.json["long_texts"].values()
    assert found == {
        "on_long": "truncate", "max_length": 16, "samples": 22, "longer": 2, "longest": 39,
        "longest_is_more": False, "not_known": 0,
    }  # fmt: skip
    features = hs.open_set("s")
    assert features.long_texts == {f"hf:{tiny_bert}": found}
    (said,) = features.long_texts_said()
    assert said == f"2 of 22 texts are longer than the 16 tokens of hf:{tiny_bert}, and are cut"
    assert said in features._repr_html_()
    (measured,) = json.loads((features.path / "set.json").read_text())["measured"].values()
    assert measured["truncated"]["longer"] == 2

    shutil.rmtree(tiny_bert)  # a warm run needs no tokenizer to say the same
    again = headstart("extract", texts, *asked, "--set", "s")
    assert again.code == 0, again.err
    assert SAID in again.err

    for folder in (features.cache / "spaces").glob("*/tokens"):
        shutil.rmtree(folder)
    lost = headstart("extract", texts, *asked, "--set", "s")
    assert lost.code == 0, lost.err
    assert "0 of 22 texts are longer than 16 tokens (of 22 not known)" in lost.err


def test_short_texts_are_not_spoken_of(headstart: Runner, table: Path, tiny_bert: Path) -> None:
    done = headstart("extract", table, "--backbone", f"hf:{tiny_bert}", "--set", "s")
    assert done.code == 0, done.err
    assert "longer than" not in done.err


def test_skipped_texts_are_named_and_come_back(
    headstart: Runner, texts: Path, asked: tuple[str, ...]
) -> None:
    skip = headstart("extract", texts, *asked, "--set", "s", "--on-long", "skip")
    assert skip.code == 0, skip.err
    assert f"{SAID}; they are left out" in skip.err
    features = hs.open_set("s")
    assert [failure.id for failure in features.failures] == ["t:21", "t:22"]
    assert {failure.kind for failure in features.failures} == {"permanent"}
    assert "it has 37 tokens, and hf:" in features.failures[0].reason
    assert len(features) == len(features.arrays()[0]) == 20
    strict = headstart("extract", texts, *asked, "--set", "s", "--on-long", "skip", "--strict")
    assert strict.code == 3

    headstart("extract", texts, *asked, "--set", "other")  # their vectors are in the space now
    assert len(hs.open_set("s").arrays()[0]) == 20
    longer = headstart("extract", texts, *asked[:2], "--max-length", "64", "--set", "s", "--on-long", "skip")
    assert longer.code == 0, longer.err
    assert (len(hs.open_set("s")), hs.open_set("s").failures) == (22, [])
    cut = headstart("extract", texts, *asked, "--set", "s", "--json")
    assert (cut.json["samples"], cut.json["failures"]) == (22, 0)


def test_refusing_names_the_first_before_anything_is_computed(
    headstart: Runner, texts: Path, asked: tuple[str, ...]
) -> None:
    done = headstart("extract", texts, *asked, "--set", "s", "--on-long", "refuse")
    assert done.code == 1
    assert f"{SAID}; the first: t:21, t:22; nothing of them was computed" in done.err
    assert "time:" not in done.err
    with pytest.raises(DataError, match="there is no set 's'"):
        hs.open_set("s")


@pytest.mark.parametrize("on_long", ["skip", "refuse"])
def test_a_stream_is_asked_block_by_block(
    headstart: Runner, asked: tuple[str, ...], tmp_path: Path, on_long: str
) -> None:
    members = [(f"{n:02d}.txt", (LONG if n == 3 else f"text {n}").encode()) for n in range(8)]
    members += [(f"{n:02d}.cls", str(n % 2).encode()) for n in range(8)]
    write_tar(tmp_path / "train.tar", dict(sorted(members)))
    done = headstart("extract", tmp_path / "train.tar", *asked, "--set", "s", "--on-long", on_long)
    if on_long == "refuse":
        assert done.code == 1
        assert "1 of 8 texts is longer than 16 tokens" in done.err
        return
    assert done.code == 0, done.err
    features = hs.open_set("s")
    assert len(features.arrays()[0]) == 7
    assert [failure.key for failure in features.failures if "37 tokens" in failure.reason]


def test_a_run_on_windows_predicts_in_windows(
    headstart: Runner, texts: Path, asked: tuple[str, ...], tmp_path: Path
) -> None:
    done = headstart("extract", texts, *asked, "--set", "w", "--on-long", "windows")
    assert done.code == 0, done.err
    assert f"{SAID}; they are read in windows" in done.err
    assert headstart("fit-head", "w", "--out", "run", "--plots", "none").code == 0
    new = [f"{LONG} and this is how it ends", f"{LONG} and this is how it goes on"]
    run = hs.load_run("run")
    first, second = run.predict(new).probabilities
    assert not np.array_equal(first, second), "they differ behind the first sixteen tokens alone"
    cut = headstart("extract", texts, *asked, "--set", "c")
    assert cut.code == 0, cut.err
    assert headstart("fit-head", "c", "--out", "cut", "--plots", "none").code == 0
    write_texts(tmp_path / "new.csv", [(text, "") for text in new])
    said = headstart("predict", "cut", tmp_path / "new.csv", "--out", "p.csv")
    assert "2 of 2 texts are longer than 16 tokens; the longest has 57; they are cut there" in said.err
    for use in (hs.load_module, lambda run: hs.export(run, tmp_path / "out")):
        with pytest.raises(ConfigError, match="reads means over the windows of a text"):
            use(run)
    refused = headstart("fine-tune", "w", "--out", "tuned")
    assert refused.code == 2
    assert "fine-tuning reads a text in one pass, and --on-long windows in several" in refused.err
    assert headstart("fine-tune", texts, *asked, "--on-long", "windows").code == 2


def test_nothing_is_asked_of_what_is_no_text(headstart: Runner, photos: Path) -> None:
    done = headstart("extract", photos, "--backbone", "py:tiny_backbones:images", "--on-long", "skip")
    assert done.code == 2
    assert "--on-long skip means nothing to py:tiny_backbones:images" in done.err


@pytest.mark.slow
def test_workers_count_together(headstart: Runner, tmp_path: Path, tiny_bert: Path) -> None:
    rows: list[Any] = [(f"{LONG} {n}" if n % 3 == 0 else f"ab {n}", str(n % 2)) for n in range(60)]
    texts = write_texts(tmp_path / "t.csv", rows)
    asked = ("--backbone", f"hf:{tiny_bert}", "--max-length", "16", "--workers", "2")
    done = headstart("extract", texts, *asked, "--set", "s")
    assert done.code == 0, done.err
    assert "20 of 60 texts are longer than 16 tokens" in done.err
