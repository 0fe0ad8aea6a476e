"""What the files of a stranger's cache or run say is looked at before it is believed."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import headstart as hs
from headstart.cache.formats import shard_format
from headstart.cache.store import Cache
from headstart.errors import CorruptShardError, HeadstartError, StorageError
from headstart.files import content_digest
from headstart.parquet_file import open_parquet
from headstart.types import Features

from ..end_to_end.conftest import Result
from .conftest import Code, make_run, make_set

Runner = Callable[..., Result]
KEYS = np.arange(48, dtype=np.uint8).reshape(3, 16)


def put(cache: Cache, content: bytes, suffix: str) -> Path:
    """A shard in the place of that of the cache, with a digest that is right."""
    [old] = cache.root.glob("spaces/*/shards/*")
    old.unlink()
    path = old.with_name(f"{old.name[:2]}-{content_digest(content)}{suffix}")
    path.write_bytes(content)
    return path


def recipe_of(cache: Cache) -> str:
    [space] = cache.space_paths()
    return cache.open_space(space.name).carried


def hdf5(recipe: str, **arrays: Any) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w", libver=("v110", "v110")) as file:
        file.attrs["format"], file.attrs["recipe"] = 1, recipe
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    return content.getvalue()


def varint(number: int) -> bytes:
    zigzag, found = (number << 1) ^ (number >> 63), b""
    while zigzag > 127:
        found, zigzag = found + bytes([zigzag & 127 | 128]), zigzag >> 7
    return found + bytes([zigzag])


def no_bug(done: Result) -> None:
    assert "this is a bug" not in done.err, done.err


@pytest.mark.parametrize("name", ["hdf5", "parquet"])
def test_a_value_that_is_no_number_is_refused(headstart: Runner, texts: Path, code: Code, name: Any) -> None:
    cache = make_set(texts, code)
    kept, recipe = shard_format(name), recipe_of(cache)
    held = cache.open_set("s").samples.column("key").to_pylist()
    keys = np.frombuffer(b"".join(sorted(set(held))), dtype=np.uint8).reshape(-1, 16)
    for dtype, value in product((np.float16, np.float32), (np.nan, np.inf, -np.inf)):
        values = np.ones((len(keys), 8), dtype)
        values[-1, -1] = value
        path = put(cache, bytes(kept.encode(Features(keys, values), recipe)), kept.suffix)
        with pytest.raises(CorruptShardError, match=f"{path.name} holds a value that is not finite"):
            hs.open_set("s", "cache").arrays()
    done = headstart("fit-head", "s", "--head", "ridge", "--cache", "cache")
    assert (done.code, "not finite" in done.err) == (1, True), done.err


def test_an_hdf5_shard_without_a_data_space(headstart: Runner, texts: Path, code: Code) -> None:
    cache = make_set(texts, code)
    recipe = recipe_of(cache)
    for content in (
        hdf5(recipe, keys=KEYS, features=h5py.Empty("f4")),
        hdf5(recipe, keys=h5py.Empty("u1"), features=np.ones((3, 2), np.float32)),
    ):
        path = put(cache, content, ".h5")
        with pytest.raises(CorruptShardError, match="no data space"):
            hs.open_set("s", "cache").arrays()
        for words in (("verify",), ("verify", "--repair")):
            done = headstart("cache", *words, "--cache", "cache")
            no_bug(done)
            assert path.name in done.out
        put_back(cache)


def put_back(cache: Cache) -> None:
    """Something for `put` to replace."""
    [space] = cache.space_paths()
    (space / "shards" / f"00-{'0' * 16}.h5").write_bytes(b"")


@pytest.mark.parametrize("rows", [-3, -1, 2**40])
def test_a_parquet_footer_that_cannot_be_true(headstart: Runner, texts: Path, code: Code, rows: int) -> None:
    cache = make_set(texts, code)
    samples = cache.open_set("s").path / "samples.parquet"
    lie = footer_of(samples.read_bytes(), rows)
    samples.write_bytes(lie)
    with pytest.raises(pa.ArrowException, match="its footer says"), open_parquet(samples):
        pass
    with pytest.raises(CorruptShardError, match="its footer says"):
        _ = hs.open_set("s", "cache").samples
    for words in (("cache", "verify"), ("cache", "verify", "--repair"), ("cache", "ls"), ("fit-head", "s")):
        no_bug(headstart(*words, "--cache", "cache"))


def footer_of(content: bytes, rows: int) -> bytes:
    """The same file with another number of rows in its footer: field 3 of Thrift's FileMetaData, behind the schema."""
    length = int.from_bytes(content[-8:-4], "little")
    body, footer = content[: -8 - length], content[-8 - length : -8]
    n_rows = pq.ParquetFile(io.BytesIO(content)).metadata.num_rows
    # 0x16: an i64 whose field is one further than the schema's list; then the list of row groups, 0x19.
    at = next(
        place for place in range(len(footer))
        if footer.startswith(b"\x16" + varint(n_rows) + b"\x19", place)
    )  # fmt: skip
    after = at + 1 + len(varint(n_rows))
    changed = footer[: at + 1] + varint(rows) + footer[after:]
    return body + changed + len(changed).to_bytes(4, "little") + content[-4:]


@pytest.mark.parametrize("current", ["../b/{}", "/{}", "..", "", "\xff", "0" * 4096, "{}/../{}"])
def test_a_current_that_names_no_state(headstart: Runner, texts: Path, code: Code, current: str) -> None:
    cache = make_set(texts, code)
    digest = cache.open_set("s").digest
    shutil.copytree(cache.root / "sets" / "s", cache.root / "sets" / "b")
    (cache.root / "sets" / "s" / "current").write_bytes(current.replace("{}", digest).encode("latin-1"))
    with pytest.raises(StorageError, match="names no state"):
        hs.open_set("s", "cache")
    done = headstart("extract", texts, "--backbone", code("backbone"), "--set", "s", "--cache", "cache")
    assert (done.code, "names no state" in done.err) == (1, True), done.err
    for words in (("ls",), ("gc",), ("verify", "--repair")):
        no_bug(headstart("cache", *words, "--cache", "cache"))
    assert hs.open_set("s", "cache").digest == digest  # repair has gone back to it


def test_a_stop_between_a_folder_and_its_recipe_is_no_damage(
    headstart: Runner, texts: Path, code: Code
) -> None:
    cache = make_set(texts, code)
    (cache.root / "spaces" / "0123456789abcdef" / "shards").mkdir(parents=True)
    done = headstart("cache", "verify", "--cache", "cache")
    assert (done.code, "all sound" in done.out) == (0, True), done.out


NO_RUN = ("[]", "null", "3", '{"a": ' * 3000, '"x"', "{}", '{"features": 3}', "\xff")


def test_a_run_whose_files_say_something_else(texts: Path, code: Code) -> None:
    make_run(texts, code)
    for name in ("features.json", "labels.json", "model/head.json"):
        whole = Path("run", name).read_bytes()
        for text in NO_RUN:
            Path("run", name).write_text(text, "latin-1")
            with pytest.raises(HeadstartError):
                hs.load_run("run").predict(["a text"])
        Path("run", name).write_bytes(whole)


def test_a_report_that_says_something_else_is_skipped_by_name(
    headstart: Runner, texts: Path, code: Code
) -> None:
    make_run(texts, code)
    for text in NO_RUN:
        Path("run/report.json").write_text(text, "latin-1")
        done = headstart("runs", "ls", ".")
        assert (done.code, "skipped run: " in done.err) == (0, True), (text, done.err)


def test_gc_leaves_no_clock_behind(headstart: Runner, texts: Path, code: Code) -> None:
    cache = make_set(texts, code)
    before = {path.name for path in cache.root.iterdir()}
    assert headstart("cache", "gc", "--apply", "--cache", "cache").code == 0
    assert {path.name for path in cache.root.iterdir()} <= before


@pytest.mark.parametrize(
    "state",
    ["null", "[]", '{"identity": "x"}', '{"identity": "x", "epoch": 1, "active": [7], "outcomes": [[[], 0, null]]}',
     '{"identity": "x", "epoch": 1, "active": [0], "outcomes": [[[3], 0, null]]}', "{" * 9000, ""],
)  # fmt: skip
def test_a_state_of_a_training_that_is_none(work: Path, state: str) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    from headstart.heads.neural import LinearHead
    from headstart.training.checkpoint import Checkpoint

    X, y = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32), np.arange(20) % 2
    checkpoint = Checkpoint(work / "x.training", every=0)
    LinearHead(epochs=1, random_state=0).fit(X, y, checkpoint=checkpoint)
    assert checkpoint.path.exists()
    with safe_open(checkpoint.path, "np") as file:
        whole = json.loads(file.metadata()["state"])
    said = state.replace('"x"', json.dumps(whole["identity"]))
    save_file({"a": np.ones(2)}, checkpoint.path, {"state": said})
    with pytest.raises(StorageError, match="holds no state of a training"):
        LinearHead(epochs=1, random_state=0).fit(X, y, checkpoint=checkpoint)
