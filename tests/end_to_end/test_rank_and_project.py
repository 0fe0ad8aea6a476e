"""`headstart rank` and `headstart project`: tables, plots and points from cached features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ..made_sets import clouds, make_set
from .conftest import Result

Runner = Callable[..., Result]
N = 120


@pytest.fixture
def made(cache_root: Path) -> Path:
    good, y = clouds(N, apart=8)
    X = {"py:a:noise": np.random.default_rng(0).normal(size=(N, 8)), "py:a:good": good}
    meta: dict[str, Any] = {"camera": [None if i == 5 else f"camera {i % 2}" for i in range(N)]}
    meta["size"] = [float(i) for i in range(N)]
    meta["score"] = ["" if i == 7 else None if i == 8 else f"{i / 7:.3f}" for i in range(N)]
    meta["grade"] = ["A" if i == 0 else str(i) for i in range(N)]
    make_set(cache_root, X, {"kind": [f"class {c}" for c in y]}, meta=meta)
    return cache_root


def read(path: str) -> list[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        return file.read().to_pylist()  # type: ignore[no-any-return]


def test_rank_lists_the_features_with_the_best_first(headstart: Runner, made: Path) -> None:
    done = headstart("rank", "made", "--cache", made)
    header, *lines = done.out.splitlines()
    assert header.split()[:3] == ["backbone", "tap", "width"]
    assert [line.split()[0] for line in lines] == ["py:a:good", "py:a:noise"]
    found = headstart("rank", "made", "--cache", made, "--json", "-q").json
    assert found[0]["loo"] > found[1]["loo"]
    assert headstart("rank", "made", "--cache", made, "--label", "colour").code == 2


@pytest.mark.parametrize("colour", ["label", "label:kind", "meta:camera", "meta:size", "split"])
def test_points_and_a_plot_come_coloured_by_any_column(headstart: Runner, made: Path, colour: str) -> None:
    project = ("project", "made", "--cache", made, "--colour", colour, "--backbone", "py:a:good")
    assert headstart(*project, "--out", "p.parquet").code == 0
    points = read("p.parquet")
    column = "label:kind" if colour == "label" else colour
    assert len(points) == N
    assert {*points[0]} == {"id", "key", "split", column, "x", "y"}
    assert headstart(*project, "--out", "p.png").code == 0
    with Image.open("p.png") as image:
        assert min(image.size) > 300
    assert headstart(*project, "--out", "p.svg").code == 0
    assert Path("p.svg").read_text("utf-8").startswith("<?xml")


def test_classes_lie_apart_and_a_sample_is_drawn_from_one_split(headstart: Runner, made: Path) -> None:
    project = ("project", "made", "--cache", made, "--backbone", "py:a:good")
    assert headstart(*project, "--out", "p.parquet", "--split", "train", "--samples", "40", "-q").err == ""
    points = read("p.parquet")
    assert len(points) == 40
    assert {row["split"] for row in points} == {"train"}
    places = np.array([[row["x"], row["y"]] for row in points])
    classes = np.array([row["label:kind"] for row in points])
    middles = {name: places[classes == name].mean(axis=0) for name in set(classes)}
    nearest = [min(middles, key=lambda name: np.linalg.norm(middles[name] - place)) for place in places]
    assert (np.array(nearest) == classes).mean() > 0.9
    headstart(*project, "--out", "q.parquet", "--split", "train", "--samples", "40", "-q")
    assert read("q.parquet") == points
    headstart(*project, "--out", "p.csv")
    assert Path("p.csv").read_text().splitlines()[0] == '"id","split","label:kind","x","y"'


def test_texts_that_all_are_numbers_have_a_colour_bar(headstart: Runner, made: Path) -> None:
    project = ("project", "made", "--cache", made, "--backbone", "py:a:good")
    for column, is_number in (("score", True), ("grade", False), ("camera", False)):
        assert headstart(*project, "--colour", f"meta:{column}", "--out", f"{column}.svg").code == 0
        written = Path(f"{column}.svg").read_text("utf-8")
        assert ("labels; the 12 most frequent are named" in written or "camera 0" in written) != is_number
        assert (f">{column}<" in written) == is_number  # what the colour bar is of
    headstart(*project, "--colour", "meta:score", "--out", "p.parquet")
    assert read("p.parquet")[3]["meta:score"] == "0.429"  # as it was given


def test_what_lies_there_is_kept_unless_overwrite_is_said(headstart: Runner, made: Path) -> None:
    project = ("project", "made", "--cache", made, "--backbone", "py:a:good", "-q")
    for name in ("p.png", "p.csv"):
        Path(name).write_text("mine")
        refused = headstart(*project, "--out", name)
        assert refused.code == 2
        assert "--overwrite" in refused.err
        assert Path(name).read_text() == "mine"
        assert headstart(*project, "--out", name, "--overwrite").code == 0
        assert Path(name).read_bytes() != b"mine"


def test_the_help_names_the_extra(headstart: Runner) -> None:
    assert "headstart[umap]" in headstart("project", "--help").out


def test_mistakes_are_said_before_any_work(headstart: Runner, made: Path) -> None:
    project = ("project", "made", "--cache", made)
    assert headstart(*project, "--out", "p.gif").code == 2
    assert headstart(*project, "--out", "none/p.png").code == 2
    assert headstart(*project, "--out", "p.png", "--method", "mds").code == 2
    wrong = headstart(*project, "--out", "p.png", "--colour", "meta:lens")
    assert wrong.code == 2
    assert "meta:camera" in wrong.err
    assert not Path("p.png").exists()
