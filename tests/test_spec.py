"""docs/spec.md says what the code does: its examples run, and what headstart writes is all in it."""

from __future__ import annotations

import doctest
import json
import re
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq

from headstart.cache.recipe import make_recipe
from headstart.distillation.opinions import TEACHER
from headstart.types import BackboneInfo, Failure

ROOT = Path(__file__).parents[1]
SPEC = (ROOT / "docs" / "spec.md").read_text("utf-8")
ARCHIVE = ROOT / "tests" / "archives" / "format-1" / "cache"


def section(title: str) -> str:
    return SPEC.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_its_examples_come_true() -> None:
    result = doctest.testfile(str(ROOT / "docs" / "spec.md"), module_relative=False)
    assert result.attempted >= 8
    assert result.failed == 0


def test_every_entry_of_a_recipe_is_in_it() -> None:
    info = BackboneInfo(
        "a", "text", "00", {}, {}, ("pooler",), max_length=1, windows={"overlap": 1}, prompt="p",
        code={"version": "1"},
    )  # fmt: skip
    recipe = make_recipe(info, "pooler", "fp32", "float32", view={"augmentation": "default"})
    documented = set(re.findall(r"^\| `(\w+)` \|", section("Recipes and spaces"), re.MULTILINE))
    assert documented == {*recipe.entries, TEACHER}  # which no backbone's recipe has


def test_every_file_of_an_archive_is_in_its_tree() -> None:
    kinds = {
        re.sub(r"[0-9a-f]{16,}|(?<=/)[0-9a-f]{2}(?=-)", "#", str(p.relative_to(ARCHIVE))) for p in files()
    }
    assert kinds == {
        "headstart.json",
        "spaces/#/recipe.json",
        "spaces/#/index.npz",
        "spaces/#/known/#.json",
        "spaces/#/shards/#-#.h5",
        "spaces/#/shards/#-#.parquet",
        "sets/colours/current",
        "sets/colours/#/samples.parquet",
        "sets/colours/#/set.json",
        "sets/colours/#/failures.jsonl",
    }
    for name in (
        "headstart.json",
        "recipe.json",
        "index.npz",
        "samples.parquet",
        "set.json",
        "failures.jsonl",
    ):
        assert name in SPEC


def files() -> list[Path]:
    return [path for path in ARCHIVE.rglob("*") if path.is_file()]


def test_a_reader_without_headstart_gets_the_same_vectors() -> None:
    """Everything that the page says about shards, read by hand."""
    expected = json.loads((ARCHIVE.parent / "expected.json").read_text("utf-8"))
    for space, said in expected["spaces"].items():
        found: dict[str, list[list[float]]] = {}
        for path in sorted((ARCHIVE / "spaces" / space / "shards").iterdir()):
            assert blake2b(path.read_bytes(), digest_size=8).hexdigest() == path.stem[3:]
            keys, vectors, recipe = (
                read_h5(path) if path.suffix == ".h5" else read_parquet(path, said["ragged"])
            )
            assert keys == sorted(keys)
            assert path.name[:2] == keys[0][:2]
            assert recipe == said["recipe"]
            for key, rows in zip(keys, vectors, strict=True):
                found.setdefault(key, rows)
        assert found == said["vectors"]


def read_h5(path: Path) -> tuple[list[str], list[list[list[float]]], str]:
    with h5py.File(path, "r", locking=False) as file:
        assert file.attrs["format"] == 1
        keys, features = file["keys"][:], file["features"][:]
        offsets = file["offsets"][:] if "offsets" in file else np.arange(len(keys) + 1)
        vectors = [features[a:b].tolist() for a, b in pairwise(offsets)]
        return [key.tobytes().hex() for key in keys], vectors, file.attrs["recipe"]


def read_parquet(path: Path, ragged: bool) -> tuple[list[str], list[list[list[float]]], str]:
    table = pq.read_table(path)
    assert table.schema.metadata[b"headstart.format"] == b"1"
    vectors = [rows if ragged else [rows] for rows in table.column("features").to_pylist()]
    keys = [key.hex() for key in table.column("key").to_pylist()]
    return keys, vectors, table.schema.metadata[b"headstart.recipe"].decode("utf-8")


def test_the_fields_of_sets_and_failures_are_in_it() -> None:
    (path,) = (ARCHIVE / "sets" / "colours").glob("*/set.json")
    said = json.loads(path.read_text("utf-8"))
    text = section("Sets")
    for name in [*said, *said["source"], *said["counts"], *said["split"], *said["features"][0]]:
        assert f"`{name}`" in text, name
    for name in Failure.__slots__:
        assert f"`{name}`" in text, name


def test_the_fields_of_corrections_are_in_it() -> None:
    (path,) = (ROOT / "tests" / "archives" / "format-2").glob("cache/sets/colours/*/corrections.jsonl")
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    said = json.loads((path.parent / "set.json").read_text("utf-8"))
    assert said["format"] == 2
    assert said["corrections"]["file"] == blake2b(path.read_bytes(), digest_size=8).hexdigest()
    assert [list(row.values()) for row in rows] == sorted(list(row.values()) for row in rows)
    for name in [*rows[0], *said["corrections"]]:
        assert f"`{name}`" in section("Corrections"), name
    for name in said:
        assert f"`{name}`" in section("Sets"), name
