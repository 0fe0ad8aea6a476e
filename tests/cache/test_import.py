"""`cache import`: what something else computed becomes a set, or the row that prevents it is named."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from caches import TOKENS, commit, keys_of, put

from headstart.cache.commit import commit_set
from headstart.cache.export import export
from headstart.cache.imported import imported_keys, imported_recipe
from headstart.cache.maintenance.verify import verify
from headstart.cache.store import Cache
from headstart.errors import ConfigError, DataError, MismatchError
from headstart.extraction.import_matrix import ImportConfig, Imported, import_features
from headstart.progress import Silence

N, D = 40, 6
IDS = [f"bild {number}" for number in range(N)]
X = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)


def bring(cache_root: Path, path: Path, **options: Any) -> Imported:
    config = ImportConfig(path, **{"set": "mine", "backbone": "resnet", "cache": str(cache_root)} | options)
    return import_features(config, Silence())


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    (tmp_path / "ids.txt").write_text("\n".join(IDS) + "\n", "utf-8")
    return tmp_path / "ids.txt"


def save(path: Path, values: np.ndarray = X) -> Path:
    np.save(path, values)
    return path


def in_order(done: Imported) -> np.ndarray:
    rows = done.features.rows()
    assert rows.table.column("id").to_pylist() == IDS
    return rows.X


def test_a_matrix_with_a_list_of_ids(cache_root: Path, tmp_path: Path, ids: Path) -> None:
    done = bring(cache_root, save(tmp_path / "x.npy"), ids=ids)
    assert (done.n_samples, done.n_new) == (N, N)
    assert np.array_equal(in_order(done), X)
    splits = done.features.samples.column("split").to_pylist()
    assert {split: splits.count(split) for split in set(splits)} == {"train": 29, "validation": 3, "test": 8}
    assert done.features.features[0].backbone == "imported:resnet"
    again = bring(cache_root, tmp_path / "x.npy", ids=ids)
    assert (again.n_new, again.features.digest) == (0, done.features.digest)
    assert verify(Cache(cache_root), Silence()).findings == ()


def test_keys_and_recipe_are_those_of_the_spec(cache_root: Path, tmp_path: Path, ids: Path) -> None:
    done = bring(cache_root, save(tmp_path / "x.npy"), ids=ids)
    key = blake2b(b"imported\0mine\0bild 3", digest_size=16).digest()
    assert done.features.samples.column("key")[3].as_py() == key
    assert imported_keys("mine", ["bild 3"]).tobytes() == key
    space = Cache(cache_root).open_space(done.features.features[0].space)
    assert dict(space.recipe.entries) == {
        "weights": "imported", "architecture": {"library": "imported", "name": "resnet"}, "preprocessing": {},
        "tap": "pooler", "compute": "fp32", "stored": "float32", "numerics": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [("<f4", "float32"), (">f4", "float32"), ("f8", "float32"), ("f2", "float16"), ("i8", "float32")],
)
def test_dtypes(cache_root: Path, tmp_path: Path, ids: Path, dtype: str, stored: str) -> None:
    values = np.asfortranarray((X * 8).round()).astype(dtype)
    done = bring(cache_root, save(tmp_path / "x.npy", values), ids=ids)
    assert np.array_equal(in_order(done), values.astype(np.float32))
    space = Cache(cache_root).open_space(done.features.features[0].space)
    assert space.recipe.entries["stored"] == stored
    assert space.id == imported_recipe("resnet", np.dtype(stored)).id


def test_ids_labels_and_splits_from_a_table(cache_root: Path, tmp_path: Path) -> None:
    lines = [f"{IDS[row]};{row % 3}.0;{['train', 'dev', 'test', ''][row % 4]}" for row in range(N)]
    (tmp_path / "t.csv").write_text("\n".join(["name;class;fold", *lines]), "utf-8")
    table = {"ids": tmp_path / "t.csv", "id_column": "name"}
    done = bring(cache_root, save(tmp_path / "x.npy"), **table, label_columns=["class"], split_column="fold")
    assert np.array_equal(in_order(done), X)
    assert done.features.label_names == {"class": ("0", "1", "2")}
    assert done.features.rows().y.tolist() == [row % 3 for row in range(N)]
    expected = ["train", "validation", "test", "train"]
    assert done.features.samples.column("split").to_pylist() == [expected[row % 4] for row in range(N)]
    for wrong in ({"label_columns": ["klasse"]}, {"split_column": "klasse"}, {"id_column": "klasse"}):
        with pytest.raises(ConfigError, match="klasse"):
            bring(cache_root, tmp_path / "x.npy", **table | wrong)
    with pytest.raises(ConfigError, match="--id-column"):
        bring(cache_root, tmp_path / "x.npy", ids=tmp_path / "t.csv")
    with pytest.raises(DataError, match=r"row 1: '0\.0' is no split"):
        bring(cache_root, tmp_path / "x.npy", **table, split_column="class")


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float64()), pa.list_(pa.float16(), D)])
def test_any_parquet_with_ids_and_lists(cache_root: Path, tmp_path: Path, kind: pa.DataType) -> None:
    values = X.astype(np.float16)
    table = pa.table(
        {
            "id": IDS,
            "vector": pa.array([list(row) for row in values.astype(np.float64)], kind.value_type and kind),
            "tags": pa.array([["a"] if row % 2 else [] for row in range(N)], pa.list_(pa.string())),
            "age": [row / 2 for row in range(N)],
        }
    )
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=7)
    done = bring(cache_root, tmp_path / "x.parquet", label_columns=["tags", "age"])
    assert np.array_equal(in_order(done), values.astype(np.float32))
    assert done.features.label_kinds == {"tags": "multi", "age": "regression"}
    assert done.features.rows(label="age").y.tolist() == [row / 2 for row in range(N)]


def parquet_of(path: Path, rows: list[Any], **more: Any) -> Path:
    pq.write_table(
        pa.table(
            {"id": [str(n) for n in range(len(rows))], "x": pa.array(rows, pa.list_(pa.float64()))} | more
        ),
        path,
    )
    return path


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([[1, 2], [1], [3, 4]], "row 2: 'x' holds 1 numbers, expected 2"),
        ([[1, 2], [3, 4], None], "row 3: 'x' is null"),
        ([[1, 2], [3, None]], "row 2: 'x' holds a null"),
        ([[1, 2], [3, float("nan")]], "row 2: holds a value that is not finite"),
        ([[1, 2], [3, 4], [1e39, 0]], "row 3: holds a value .* float32 cannot hold"),
        ([[], []], "empty lists"),
    ],
)
def test_rows_that_cannot_be_stored_are_named(cache_root: Path, tmp_path: Path, rows: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        bring(cache_root, parquet_of(tmp_path / "x.parquet", rows))
    assert not cache_root.exists()


def test_several_columns_that_could_be_it(cache_root: Path, tmp_path: Path) -> None:
    path = parquet_of(tmp_path / "x.parquet", [[1, 2], [3, 4]], y=pa.array([[1.0], [2.0]]))
    with pytest.raises(ConfigError, match="--features-column; there are: x, y"):
        bring(cache_root, path)
    assert bring(cache_root, path, features_column="y").features.rows().X.tolist() == [[1], [2]]
    with pytest.raises(ConfigError, match="it has: id, x, y"):
        bring(cache_root, path, features_column="z")
    with pytest.raises(DataError, match="expected lists of numbers"):
        bring(cache_root, path, features_column="id")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (IDS[:-1], "39 ids, and .* 40 rows"),
        ([*IDS[:5], "", *IDS[6:]], "39 ids, and .* 40 rows"),
        ([*IDS[:5], IDS[2], *IDS[6:]], "row 6: the id 'bild 2' is that of row 3"),
    ],
)
def test_ids_that_cannot_be_used_are_named(
    cache_root: Path, tmp_path: Path, lines: list[str], says: str
) -> None:
    (tmp_path / "ids.txt").write_text("\n".join(lines), "utf-8")
    with pytest.raises(DataError, match=says):
        bring(cache_root, save(tmp_path / "x.npy"), ids=tmp_path / "ids.txt")


@pytest.mark.parametrize(
    "values",
    [X[0], X[None], X[:, :0], np.array(IDS), X.astype(complex), np.array([{}] * N, dtype=object)],
    ids=["one row", "three axes", "no columns", "text", "complex", "objects"],
)
def test_what_is_no_matrix_is_refused(
    cache_root: Path, tmp_path: Path, ids: Path, values: np.ndarray
) -> None:
    np.save(tmp_path / "x.npy", values, allow_pickle=True)
    with pytest.raises(DataError, match=r"x\.npy"):
        bring(cache_root, tmp_path / "x.npy", ids=ids)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.h5", "x.parquet", "x.txt", "missing.npy"])
def test_files_that_are_not_what_they_are_called(
    cache_root: Path, tmp_path: Path, ids: Path, name: str
) -> None:
    if name != "missing.npy":
        (tmp_path / name).write_bytes(b"not at all")
    with pytest.raises(DataError, match=name):
        bring(cache_root, tmp_path / name, ids=ids)


def test_a_matrix_without_ids_asks_for_them(cache_root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--ids"):
        bring(cache_root, save(tmp_path / "x.npy"))


def test_another_vector_under_a_key_that_is_held_is_refused(
    cache_root: Path, tmp_path: Path, ids: Path
) -> None:
    first = bring(cache_root, save(tmp_path / "x.npy"), ids=ids)
    changed = X.copy()
    changed[7, 2] += 1
    with pytest.raises(MismatchError, match="row 8"):
        bring(cache_root, save(tmp_path / "y.npy", changed), ids=ids)
    assert np.array_equal(in_order(first), X)
    other = bring(cache_root, tmp_path / "y.npy", ids=ids, backbone="other")  # one set, two backbones
    assert np.array_equal(in_order(other), changed)
    assert [ref.backbone for ref in other.features.features] == ["imported:other", "imported:resnet"]
    assert np.array_equal(other.features.rows(backbone="imported:resnet").X, X)
    assert bring(cache_root, tmp_path / "y.npy", ids=ids, set="another").n_new == N  # another data set


@pytest.mark.parametrize("name", ["mine", "another"])
def test_one_name_is_one_width(cache_root: Path, tmp_path: Path, ids: Path, name: str) -> None:
    bring(cache_root, save(tmp_path / "x.npy"), ids=ids)
    with pytest.raises(MismatchError, match=f"has 5 numbers a row, .* features of {D} under that name"):
        bring(cache_root, save(tmp_path / "y.npy", X[:, :5]), ids=ids, set=name)
    assert bring(cache_root, tmp_path / "y.npy", ids=ids, set=name, backbone="narrow").n_new == N


def test_only_what_is_new_is_written(cache_root: Path, tmp_path: Path) -> None:
    (tmp_path / "half.txt").write_text("\n".join(IDS[:25]), "utf-8")
    (tmp_path / "all.txt").write_text("\n".join(IDS), "utf-8")
    first = bring(cache_root, save(tmp_path / "x.npy", X[:25]), ids=tmp_path / "half.txt")
    done = bring(cache_root, save(tmp_path / "x.npy"), ids=tmp_path / "all.txt")
    assert (first.n_new, done.n_new) == (25, 15)
    assert np.array_equal(in_order(done), X)
    kept = first.features.samples.column("split").to_pylist()
    assert done.features.samples.column("split").to_pylist()[:25] == kept


def test_keys_can_be_passed_in(cache_root: Path, tmp_path: Path, ids: Path) -> None:
    keys = keys_of([number // 2 for number in range(N)])
    path = save(tmp_path / "x.npy", np.repeat(X[::2], 2, axis=0))
    done = bring(cache_root, path, ids=ids, keys=keys)
    assert done.n_new == N // 2
    assert np.array_equal(in_order(done), np.repeat(X[::2], 2, axis=0))
    with pytest.raises(MismatchError, match="row 2: an earlier row"):
        bring(cache_root, save(tmp_path / "x.npy"), ids=ids, keys=keys, backbone="b")


@pytest.mark.parametrize("name", ["x.npz", "x.h5", "x.parquet"])
@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_what_was_exported_comes_back(cache_root: Path, tmp_path: Path, name: str, dtype: str) -> None:
    table = pa.table(
        {
            "id": IDS,
            "key": pa.array([key.tobytes() for key in keys_of(range(N))], pa.binary(16)),
            "split": [["test", "train", "validation"][row % 3] for row in range(N)],
            "origin": [f"a.csv:{row}" for row in range(N)],
            "label:colour": pa.array([None if row % 7 == 3 else "br"[row % 2] for row in range(N)]),
            "label:tags": pa.array(
                [None if row % 9 == 4 else [t for t in "ab" if (row + ord(t)) % 3] for row in range(N)],
                pa.list_(pa.string()),
            ),
            "label:age": pa.array([None if row % 8 == 2 else row / 4 for row in range(N)], pa.float64()),
            "meta:length": list(range(N)),
        }
    )
    (tmp_path / "ids").write_text("\n".join(IDS))
    source = bring(
        cache_root, save(tmp_path / "x.npy", X.astype(dtype)), ids=tmp_path / "ids", keys=keys_of(range(N))
    )
    info = dict(source.features.info) | {
        "labels": {"colour": ["r", "b"], "tags": ["a", "b"], "age": []},
        "label_kinds": {"tags": "multi", "age": "regression"},
    }
    info["source"] = info["source"] | {"modality": "text"}
    made = commit_set(Cache(cache_root), "made", table, info, [])
    assert made is not None
    export(made, tmp_path / name)
    back = bring(tmp_path / "other cache", tmp_path / name, set="back").features
    assert back.label_names == made.label_names
    assert back.label_kinds == made.label_kinds
    assert back.samples.select(table.column_names).equals(made.samples)
    assert back.info["source"]["modality"] == "text"
    for column in ("colour", "tags", "age"):
        one, other = back.rows(label=column), made.rows(label=column)
        assert np.array_equal(one.X, other.X)
        assert np.array_equal(one.y, other.y, equal_nan=column == "age")


def test_a_link_out_of_a_file_is_not_followed(cache_root: Path, tmp_path: Path, ids: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["features"] = X
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["features"] = h5py.ExternalLink("secret.h5", "/features")
    with pytest.raises(ConfigError, match="features"):
        bring(cache_root, tmp_path / "x.h5", ids=ids)


def test_a_name_may_hold_what_python_takes_for_the_end_of_a_line(cache_root: Path, tmp_path: Path) -> None:
    names = [f"a\u2028{number}" for number in range(N)]
    (tmp_path / "ids.txt").write_bytes(("\ufeff" + "\r\n".join(names) + "\r\n").encode("utf-8"))
    done = bring(cache_root, save(tmp_path / "x.npy"), ids=tmp_path / "ids.txt")
    assert done.features.samples.column("id").to_pylist() == names


@pytest.mark.parametrize("role", ["id_column", "split_column", "label_columns"])
def test_a_column_that_is_no_texts_is_named(cache_root: Path, tmp_path: Path, role: str) -> None:
    odd = pa.array([{"a": number} for number in range(N)])
    path = parquet_of(tmp_path / "x.parquet", X.tolist(), odd=odd)
    options = {"id_column": "id"} | {role: ["odd"] if role == "label_columns" else "odd"}
    with pytest.raises(ConfigError, match=r"column 'odd' .* struct"):
        bring(cache_root, path, features_column="x", **options)


def test_exported_token_features_are_refused_by_what_they_are(cache_root: Path, tmp_path: Path) -> None:
    cache = Cache(cache_root)
    cache.prepare()
    put(cache, range(N), recipe=TOKENS)
    export(commit(cache, range(N), recipes=[TOKENS]), tmp_path / "t.parquet")
    for options in ({}, {"features_column": "features"}):
        with pytest.raises(DataError, match=r"'features' holds several vectors a sample.*pooled tap"):
            bring(cache_root, tmp_path / "t.parquet", **options)
