"""`headstart project --to` writes what Embedding Atlas, Spotlight and FiftyOne open as it is.

Their readers are repeated here, from their sources: embedding-atlas 0.26 (cli.py, projection.py), renumics-spotlight
1.8 (pandas_data_source.py, data_store.py), fiftyone 1.22 (core/odm/utils.py). A package that is installed reads itself.
"""

from __future__ import annotations

import json
import runpy
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import headstart as hs
from headstart.heads import approximate
from headstart.inspection import elsewhere

from ..made_sets import make_set
from .conftest import IMAGES, TEXTS, Result, some_texts, write_image, write_texts

Runner = Callable[..., Result]
N = 30


@pytest.fixture
def photos(headstart: Runner) -> str:
    """Small images in class folders, and one that is large."""
    for number in range(N):
        write_image(Path("photos") / ("cat" if number % 2 else "dog") / f"{number:02d}.png", number)
    noise = np.random.default_rng(0).integers(0, 255, (900, 600, 3), dtype=np.uint8)
    Image.fromarray(noise).save("photos/cat/large.png")
    done = headstart("extract", "photos", "--backbone", IMAGES, "--set", "photos", "--cache", "cache", "-q")
    assert done.code == 0, done.err
    return "photos"


@pytest.fixture
def reviews(headstart: Runner) -> str:
    write_texts(Path("reviews.csv"), [(f"{text}, <b>", label) for text, label in some_texts(N)])
    done = headstart(
        "extract", "reviews.csv", "--backbone", TEXTS, "--set", "reviews", "--cache", "cache", "-q"
    )
    assert done.code == 0, done.err
    return "reviews"


def project(headstart: Runner, name: str, to: str, *more: object) -> Result:
    return headstart("project", name, "--cache", "cache", "--to", to, "--out", to, *more)


def table(to: str) -> pa.Table:
    with pq.ParquetFile(Path(to) / "samples.parquet") as file:
        return file.read()


def test_atlas_is_given_points_neighbours_and_small_images(headstart: Runner, photos: str) -> None:
    done = project(headstart, photos, "atlas")
    assert done.code == 0, done.err
    command = shlex.split(done.err.strip().rpartition("open them with: ")[2])
    assert command[:2] == ["embedding-atlas", "atlas/samples.parquet"]
    options = dict(zip(command[2::2], command[3::2], strict=True))
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet("atlas/samples.parquet")  # embedding_atlas.utils.load_pandas_data
    assert options == {"--x": "x", "--y": "y", "--image": "image", "--neighbors": "neighbors"}
    assert set(options.values()) <= set(frame.columns)
    assert "embedding" not in frame.columns
    assert frame["x"].dtype.kind == "f"
    assert set(frame["label"]) == {"cat", "dog"}
    for row, near in enumerate(frame["neighbors"]):  # zero-based row numbers, as the help of --neighbors says
        assert list(near) == ["ids", "distances"]
        assert len(near["ids"]) == 15
        assert row not in near["ids"]
        assert set(near["ids"]) <= set(range(N + 1))
        assert (np.diff(near["distances"]) >= 0).all()
    sizes = {}
    for name, image in zip(frame["id"], frame["image"], strict=True):
        Path("one").write_bytes(image["bytes"])
        with Image.open("one") as opened:
            sizes[name] = max(opened.size)
        assert Path(image["path"]).is_file()
    assert sizes["cat/large.png"] == 192
    assert "pip install embedding-atlas" in Path("atlas/README.md").read_text("utf-8")


def test_spotlight_is_given_files_vectors_and_categories(headstart: Runner, photos: str) -> None:
    done = project(headstart, photos, "spotlight", "--method", "tsne")
    assert done.code == 0, done.err
    assert "spotlight spotlight/samples.parquet" in done.err
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet("spotlight/samples.parquet").convert_dtypes()  # PandasDataSource
    for name in ("label", "split"):
        assert isinstance(frame[name].dtype, pandas.CategoricalDtype)
    assert all(Path(path).is_absolute() and Path(path).is_file() for path in frame["image"])
    vectors = [np.asarray(value, dtype=float) for value in frame["embedding"]]  # _guess_value_dtype
    assert {vector.ndim for vector in vectors} == {1}
    features = hs.open_set("photos", cache="cache").rows()
    ids = features.table.column("id").to_pylist()
    assert frame["id"].tolist() == ids
    np.testing.assert_array_equal(np.stack(vectors), features.X)


def test_texts_stand_beside_their_points(headstart: Runner, reviews: str) -> None:
    done = project(headstart, reviews, "atlas", "--vectors")
    assert "--text text" in done.err
    assert "--image" not in done.err
    rows = table("atlas").to_pylist()
    assert all(row["text"].endswith(", <b>") for row in rows)
    assert len(rows[0]["embedding"]) == hs.open_set("reviews", cache="cache").rows().X.shape[1]
    assert "embedding" not in table_of(headstart, reviews, "spotlight", "--no-vectors").column_names


def table_of(headstart: Runner, name: str, to: str, *more: object) -> pa.Table:
    done = project(headstart, name, to, "-q", *more)
    assert (done.code, done.err) == (0, "")
    return table(to)


def test_fiftyone_is_given_a_script_that_makes_the_data_set(headstart: Runner, photos: str) -> None:
    done = project(headstart, photos, "fiftyone")
    assert done.code == 0, done.err
    assert "python fiftyone/open_in_fiftyone.py" in done.err
    script = runpy.run_path("fiftyone/open_in_fiftyone.py")
    rows = script["read_rows"](Path("fiftyone/samples.parquet"))
    assert len(rows) == N + 1
    assert all(Path(row["filepath"]).is_file() for row in rows)
    fo = SimpleNamespace(
        Classification=lambda label: ("one", label), Classifications=lambda classifications: classifications
    )
    fields = dict(script["fields_of"](rows[0], fo))
    assert fields["label"] == ("one", rows[0]["label"])
    assert fields["sample_id"] == rows[0]["sample_id"]
    assert not {"id", "filepath", "tags", "metadata"} & set(fields)


@pytest.mark.slow
def test_fiftyone_itself_makes_the_data_set(headstart: Runner, photos: str) -> None:
    fo = pytest.importorskip("fiftyone")
    import fiftyone.brain as fob

    project(headstart, photos, "fiftyone", "-q")
    script = runpy.run_path("fiftyone/open_in_fiftyone.py")
    dataset = script["make_dataset"](script["read_rows"](Path("fiftyone/samples.parquet")), fo, fob)
    assert len(dataset) == N + 1
    assert dataset.load_brain_results("headstart").points.shape == (N + 1, 2)
    dataset.delete()


@pytest.mark.slow
def test_spotlight_itself_takes_columns_for_what_they_are(headstart: Runner, photos: str) -> None:
    pytest.importorskip("renumics.spotlight")
    from renumics.spotlight.data_store import DataStore
    from renumics.spotlight_plugins.core.pandas_data_source import PandasDataSource

    project(headstart, photos, "spotlight", "-q")
    kinds = DataStore(PandasDataSource(Path("spotlight/samples.parquet")), {}).dtypes
    named = {name: kind.name for name, kind in kinds.items()}
    assert (named["image"], named["embedding"], named["label"]) == ("Image", "Embedding", "Category")


def test_images_of_a_table_come_along(headstart: Runner) -> None:
    """Images that are no files lie in the table, or are written beside it."""
    rows: dict[str, list[Any]] = {"image": [], "label": []}
    for number in range(8):
        write_image(Path(f"{number}.png"), number)
        rows["image"].append(Path(f"{number}.png").read_bytes())
        rows["label"].append("ab"[number % 2])
    pq.write_table(pa.table(rows), "images.parquet")
    headstart("extract", "images.parquet", "--backbone", IMAGES, "--set", "held", "--cache", "cache", "-q")
    found = table_of(headstart, "held", "spotlight").to_pylist()
    assert sorted(row["image"] for row in found) == sorted(rows["image"])
    found = table_of(headstart, "held", "fiftyone").to_pylist()
    assert all(Path("fiftyone", row["filepath"]).read_bytes() in rows["image"] for row in found)


def test_names_never_meet_and_metadata_are_numbers_where_all_are(cache_root: Path, headstart: Runner) -> None:
    X = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
    tags = [["a", "b"] if i % 2 else [] for i in range(N)]
    meta = {"x": [str(i) for i in range(N)], "kind": ["<i>"] * N, "id": ["7", None] * (N // 2)}
    labels = {"kind": ["p", "q"] * (N // 2), "tags": tags, "split": ["u", "v"] * (N // 2)}
    make_set(Path("cache"), X, labels, meta=meta, kinds={"tags": "multi"})
    found = table_of(headstart, "made", "atlas")
    assert {"id", "split", "kind", "tags", "label_split", "meta_x", "meta_kind", "meta_id", "x", "y"} <= set(
        found.column_names
    )
    row = found.to_pylist()[1]
    assert (row["id"], row["tags"], row["meta_x"], row["meta_id"]) == ("s1", "a + b", 1.0, None)
    assert (row["meta_kind"], row["kind"], row["label_split"]) == ("<i>", "q", "v")


def test_without_its_data_a_set_is_points_alone(headstart: Runner, photos: str, reviews: str) -> None:
    shutil.rmtree("photos")
    Path("reviews.csv").write_text("text,label\nother,positive\nothers,negative\n")
    for name in (photos, reviews):
        done = project(headstart, name, "atlas", "--overwrite")
        assert done.code == 0
        assert "left out" in done.err
        assert not {"image", "text"} & set(table("atlas").column_names)
    assert project(headstart, photos, "fiftyone").code == 2


def test_mistakes_are_said_before_any_work(headstart: Runner, reviews: str) -> None:
    assert "fiftyone shows images" in project(headstart, reviews, "fiftyone").err
    assert headstart("project", reviews, "--cache", "cache", "--to", "atlas").code == 2
    assert headstart("project", reviews, "--cache", "cache").code == 2
    assert headstart("project", reviews, "--cache", "cache", "--to", "nomic", "--out", "n").code == 2
    assert headstart("project", reviews, "--cache", "cache", "--vectors", "--out", "p.png").code == 2
    assert "--to atlas" in project(headstart, reviews, "spotlight", "--neighbours", "approximate").err
    Path("atlas").mkdir()
    Path("atlas/mine.txt").write_text("mine")
    assert project(headstart, reviews, "atlas", "--overwrite").code == 2
    assert Path("atlas/mine.txt").read_text() == "mine"
    shutil.rmtree("atlas")
    assert project(headstart, reviews, "atlas").code == 0
    assert project(headstart, reviews, "atlas").code == 2
    assert project(headstart, reviews, "atlas", "--overwrite").code == 0


def test_neighbours_of_many_samples_are_written_by_an_index(
    reviews: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(elsewhere, "MOST_COMPARED", 10)
    hs.project("reviews", cache="cache", out="none", to="atlas", quiet=False)
    assert "--neighbours approximate writes them" in capsys.readouterr().err
    assert "neighbors" not in table("none").column_names
    hs.project("reviews", cache="cache", out="exact", to="atlas", neighbours="approximate", quiet=False)
    assert f"neighbours are exact: among {N} rows" in capsys.readouterr().err
    monkeypatch.setattr(approximate, "EXACT_UP_TO", 10)
    hs.project("reviews", cache="cache", out="approximate", to="atlas", neighbours="approximate", quiet=False)
    assert "neighbours are approximate: recall at 15 is 1.0000" in capsys.readouterr().err
    exact, found = (table(to).column("neighbors").to_pylist() for to in ("exact", "approximate"))
    assert [each["ids"] for each in found] == [each["ids"] for each in exact]


def test_in_python_the_same(reviews: str) -> None:
    found = hs.project("reviews", cache="cache", out="points", to="spotlight")
    assert repr(found).startswith("Projection(")
    assert "spotlight samples.parquet" in Path("points/README.md").read_text("utf-8")
    hs.project("reviews", cache="cache", out="points.csv")
    assert Path("points.csv").read_text("utf-8").startswith('"id","split"')
    assert json.dumps(table("points").schema.names)
