"""An export holds what the set holds, row by row, and is whole or not there."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from caches import RECIPE, TOKENS, WIDTH, features_of, keys_of, put

from headstart.cache import selection
from headstart.cache.commit import commit_set
from headstart.cache.export import export
from headstart.cache.formats import shard_format
from headstart.cache.recipe import Recipe
from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache
from headstart.errors import ConfigError, DataError, MismatchError, MissingDependencyError, StorageError
from headstart.types import Failure, Features

N = 30
FAILED = 7
GOOD = [number for number in range(N) if number != FAILED]
SPLITS = ["test" if number % 5 == 0 else "train" for number in range(N)]
COLOURS = [None if number % 7 == 3 else ["red", "grün"][number % 2] for number in range(N)]
TAGS = [
    None if number % 9 == 4 else [t for t in ("a", "b", "c") if (number + ord(t)) % 3] for number in range(N)
]
AGES = [None if number % 8 == 2 else number / 4 for number in range(N)]
HALF = Recipe({**RECIPE.entries, "compute": "bf16", "stored": "float16"})
NAMES = ("x.npz", "x.h5", "x.parquet", "x.arrow", "folder")


@pytest.fixture
def cache(cache_root: Path) -> Cache:
    cache = Cache(cache_root)
    cache.prepare()
    put(cache, GOOD[15:])
    put(cache, GOOD[:15], format_name="parquet")
    put(cache, GOOD, recipe=TOKENS)
    half = cache.space(HALF)
    half.prepare()
    values = features_of(GOOD).values.astype(np.float16)
    half.commit(Features(keys_of(GOOD), values), shard_format("hdf5"))
    return cache


@pytest.fixture
def made(cache: Cache) -> FeatureSet:
    table = pa.table(
        {
            "id": [f"bild {number}" for number in range(N)],
            "key": pa.array([key.tobytes() for key in keys_of(range(N))], pa.binary(16)),
            "split": SPLITS,
            "origin": [f"a.csv:{number}" for number in range(N)],
            "label:colour": pa.array(COLOURS, pa.string()),
            "label:tags": pa.array(TAGS, pa.list_(pa.string())),
            "label:age": pa.array(AGES, pa.float64()),
            "meta:length": list(range(N)),
            "meta:note": pa.array([None, "ein", "zwei"] * 10, pa.string()),
        }
    )
    spaces = [(RECIPE, "py:a:b"), (HALF, "py:half:b"), (TOKENS, "py:tokens:b")]
    info = {
        "source": {"location": None, "description": "", "modality": "text", "columns": {}},
        "labels": {"colour": ["red", "grün"], "tags": ["a", "b", "c"], "age": []},
        "label_kinds": {"colour": "single", "tags": "multi", "age": "regression"},
        "features": [
            {"backbone": spec, "tap": r.entries["tap"], "view": None, "space": r.id} for r, spec in spaces
        ],
        "counts": {"samples": N},
        "split": {"seed": 0, "made": None},
    }
    failed = Failure(f"bild {FAILED}", "", "bad", "permanent", keys_of([FAILED])[0].tobytes().hex(), "")
    made = commit_set(cache, "some", table, info, [failed])
    assert made is not None
    return made


def rows_of(path: Path) -> dict[str, list[Any]]:
    """An export as columns, read by other tools than headstart."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name].tolist() for name in file.files}
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return {
                name: (data.asstr()[:] if h5py.check_string_dtype(data.dtype) else data[:]).tolist()
                for name, data in file.items()
            }
    if path.suffix == ".parquet":
        return dict(pq.read_table(path).to_pydict())
    if path.suffix == ".arrow":
        return dict(pa.ipc.open_file(path).read_all().to_pydict())
    datasets = pytest.importorskip("datasets")
    return dict(datasets.load_from_disk(str(path)).to_dict())


@pytest.mark.parametrize("backbone", ["py:a:b", "py:half:b"])
@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_there_with_what_belongs_to_it(
    name: str, backbone: str, made: FeatureSet, tmp_path: Path
) -> None:
    done = export(made, tmp_path / name, backbone=backbone)
    assert done.n_samples == len(GOOD)
    rows = rows_of(tmp_path / name)
    assert rows["id"] == [f"bild {number}" for number in GOOD]
    assert rows["key"] == [key.tobytes().hex() for key in keys_of(GOOD)]
    assert rows["split"] == [SPLITS[number] for number in GOOD]
    assert rows["origin"] == [f"a.csv:{number}" for number in GOOD]
    assert rows["meta:length"] == GOOD
    assert rows["features"] == features_of(GOOD).values.tolist()
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.parametrize("name", ["x.npz", "x.h5"])
def test_labels_as_arrays(name: str, made: FeatureSet, tmp_path: Path) -> None:
    export(made, tmp_path / name)
    rows = rows_of(tmp_path / name)
    assert rows["label:colour"] == [COLOURS[number] or "" for number in GOOD]
    assert rows["names:colour"] == ["red", "grün"]
    codes = {"red": 0, "grün": 1, None: -1}
    assert rows["codes:colour"] == [codes[COLOURS[number]] for number in GOOD]
    assert rows["names:tags"] == ["a", "b", "c"]
    assert rows["label:tags"] == [[int(t in (TAGS[n] or [])) for t in "abc"] for n in GOOD]
    assert rows["labelled:tags"] == [TAGS[number] is not None for number in GOOD]
    ages = [np.nan if AGES[number] is None else AGES[number] for number in GOOD]
    assert np.array_equal(rows["label:age"], ages, equal_nan=True)
    assert json.loads(rows["about"][0])["backbone"] == "py:a:b"


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
def test_labels_as_columns(name: str, made: FeatureSet, tmp_path: Path) -> None:
    export(made, tmp_path / name)
    rows = rows_of(tmp_path / name)
    assert rows["label:colour"] == [COLOURS[number] for number in GOOD]
    assert rows["label:tags"] == [TAGS[number] for number in GOOD]
    assert rows["label:age"] == [AGES[number] for number in GOOD]
    assert rows["meta:note"] == [[None, "ein", "zwei"][number % 3] for number in GOOD]


def test_labels_as_class_labels(made: FeatureSet, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    export(made, tmp_path / "folder")
    found = datasets.load_from_disk(str(tmp_path / "folder"))
    assert found.features["colour"].names == ["red", "grün"]
    codes = {"red": 0, "grün": 1, None: None}
    assert found["colour"][:] == [codes[COLOURS[number]] for number in GOOD]
    expected = [None if TAGS[n] is None else ["abc".index(t) for t in TAGS[n]] for n in GOOD]
    assert found["tags"][:] == expected
    assert found["age"][:] == [AGES[number] for number in GOOD]
    in_memory = made.dataset()
    assert in_memory.features == found.features
    assert in_memory[:] == found[:]


def test_a_split_a_tap_and_a_label(made: FeatureSet, tmp_path: Path) -> None:
    done = export(made, tmp_path / "x.npz", split="test", tap="final.mean", label="age", backbone="py:half:b")
    assert done.n_samples == 6
    with np.load(tmp_path / "x.npz") as file:
        assert file["features"].dtype == np.float16
        assert {name for name in file.files if name.startswith("label:")} == {"label:age"}
    for options in ({"split": "dev"}, {"tap": "final.max"}, {"label": "size"}, {"backbone": "timm:x"}):
        with pytest.raises(ConfigError):
            export(made, tmp_path / "y.npz", **options)
    assert not (tmp_path / "y.npz").exists()


@pytest.mark.parametrize("name", NAMES)
def test_blocks_are_put_together_rightly(
    name: str, made: FeatureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "BLOCK_BYTES", 7 * WIDTH * 4)
    export(made, tmp_path / name)
    assert rows_of(tmp_path / name)["features"] == features_of(GOOD).values.tolist()
    assert rows_of(tmp_path / name)["id"] == [f"bild {number}" for number in GOOD]


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_split_is_an_error(name: str, made: FeatureSet, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no sample in validation"):
        export(made, tmp_path / name, split="validation")
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_replaced_unless_it_is_asked_for(name: str, made: FeatureSet, tmp_path: Path) -> None:
    export(made, tmp_path / name, split="test")
    before = rows_of(tmp_path / name)["id"]
    with pytest.raises(ConfigError, match="--overwrite"):
        export(made, tmp_path / name)
    assert rows_of(tmp_path / name)["id"] == before
    export(made, tmp_path / name, overwrite=True)
    assert len(rows_of(tmp_path / name)["id"]) == len(GOOD)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith((name[:1], "folder"))] == [name]


def test_a_folder_of_something_else_is_never_replaced(made: FeatureSet, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"mine")
    for name in ("photos", "photos/a.jpg"):
        with pytest.raises(ConfigError):
            export(made, tmp_path / name, "datasets", overwrite=True)
    with pytest.raises(ConfigError, match="not a file"):
        export(made, tmp_path / "photos", "npz", overwrite=True)
    assert (tmp_path / "photos" / "a.jpg").read_bytes() == b"mine"


def test_endings_and_formats(made: FeatureSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.npz"):
        export(made, tmp_path / "x.csv")
    with pytest.raises(ConfigError, match="npz"):
        export(made, tmp_path / "x.npz", "csv")
    with pytest.raises(ConfigError, match="no folder"):
        export(made, tmp_path / "nowhere" / "x.npz")
    assert export(made, tmp_path / "x.bin", "npz").format == "npz"


@pytest.mark.parametrize("name", ["x.npz", "x.h5"])
def test_token_features_are_refused_where_a_sample_has_one_row(
    name: str, made: FeatureSet, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"last\.tokens has several vectors a sample.*\.parquet.*--tap"):
        export(made, tmp_path / name, backbone="py:tokens:b")
    assert not (tmp_path / name).exists()


TOKEN_VECTORS = [features_of([number], ragged=True).values.tolist() for number in GOOD]


@pytest.mark.parametrize("block", [1, 7 * WIDTH * 4, 1 << 20])
@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "folder"])
def test_token_features_are_lists_of_vectors(
    name: str, block: int, made: FeatureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "BLOCK_BYTES", block)
    done = export(made, tmp_path / name, backbone="py:tokens:b")
    assert done.n_samples == len(GOOD)
    rows = rows_of(tmp_path / name)
    assert rows["features"] == TOKEN_VECTORS
    assert rows["id"] == [f"bild {number}" for number in GOOD]
    assert rows["key"] == [key.tobytes().hex() for key in keys_of(GOOD)]


def test_blocks_hold_as_many_rows_as_fit(made: FeatureSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "BLOCK_BYTES", 7 * WIDTH * 4)
    dense = made.held(backbone="py:a:b").selection()
    assert [len(block) for block in dense.matrices()] == [7, 7, 7, 7, 1]
    tokens = made.held(backbone="py:tokens:b").selection()
    sizes = [sum(map(len, table.column("features").to_pylist())) for table in tokens.tables()]
    assert sum(sizes) == sum(map(len, TOKEN_VECTORS))
    assert max(sizes) <= 7
    assert min(sizes[:-1]) > 7 - 3  # a sample has at most three vectors


@pytest.mark.parametrize("stored", ["float16", "float32"])
def test_token_features_as_a_hugging_face_data_set(stored: str, cache: Cache, made: FeatureSet) -> None:
    pytest.importorskip("datasets")
    recipe = Recipe({**TOKENS.entries, "stored": stored})
    space = cache.space(recipe)
    space.prepare()
    features = features_of(GOOD, ragged=True)
    values = features.values.astype(stored)
    space.commit(Features(features.keys, values, features.offsets), shard_format("hdf5"))
    info = made.info | {"features": [{"backbone": "py:x:y", "tap": "final.tokens", "space": recipe.id}]}
    again = commit_set(cache, "again", made.samples, info, made.failures)
    assert again is not None
    found = again.dataset()
    assert found["features"][:] == TOKEN_VECTORS
    assert found.features["colour"].names == ["red", "grün"]
    assert stored in str(found.features["features"])
    assert again.dataset("test")["id"][:] == [f"bild {number}" for number in GOOD if number % 5 == 0]


def test_a_missing_feature_is_an_error(cache: Cache, made: FeatureSet, tmp_path: Path) -> None:
    space = cache.space(RECIPE)
    (space.shards_dir / space.shard_names()[0]).unlink()
    with pytest.raises(MismatchError, match="headstart extract"):
        export(made, tmp_path / "x.npz", backbone="py:a:b")
    assert not (tmp_path / "x.npz").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_leaves_what_was_there(name: str, made: FeatureSet, tmp_path: Path) -> None:
    export(made, tmp_path / name, split="test")
    before = rows_of(tmp_path / name)["id"]
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, limit[1]))
    try:
        with pytest.raises(StorageError):
            export(made, tmp_path / name, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert rows_of(tmp_path / name)["id"] == before
    assert not list(tmp_path.glob("*.partial*"))


def test_without_datasets_the_error_names_the_extra(
    made: FeatureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDependencyError, match=r"headstart\[hub\]"):
        export(made, tmp_path / "folder")
