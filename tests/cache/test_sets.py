"""Sets: labels meet features by key; a state of a set never changes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.cache.commit import commit_set
from headstart.cache.formats import shard_format
from headstart.cache.recipe import Recipe
from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache
from headstart.errors import (
    ConfigError,
    CorruptShardError,
    DataError,
    FormatError,
    MismatchError,
    StorageError,
)
from headstart.keys import key_of, pack
from headstart.types import Failure, Features

WIDTH = 4
COLOURS = ["red", "green", "blue"]
RECIPE = Recipe({"weights": "a", "tap": "final.mean"})
OTHER = Recipe({"weights": "a", "tap": "final.cls"})


def key(number: int) -> bytes:
    return key_of("text", f"text {number}")


def vector(number: int) -> list[float]:
    return [float(number), number + 0.5, -float(number), 1.0]


def samples(numbers: Sequence[int], labels: Sequence[str | None] | None = None) -> pa.Table:
    """A set's table: text ``i`` has the colour ``i % 3``, and every fifth is in test."""
    labels = [COLOURS[number % 3] for number in numbers] if labels is None else labels
    return pa.table(
        {
            "id": [f"row {number}" for number in numbers],
            "key": pa.array([key(number) for number in numbers], pa.binary(16)),
            "split": ["test" if number % 5 == 0 else "train" for number in numbers],
            "origin": [f"texts.csv:{number}" for number in numbers],
            "label:colour": pa.array(labels, pa.string()),
            "label:parity": [str(number % 2) for number in numbers],
        }
    )


def info(recipes: Sequence[Recipe] = (RECIPE,), **more: Any) -> dict[str, Any]:
    features = [
        {"backbone": "py:some:texts", "tap": r.entries["tap"], "view": None, "space": r.id, "options": {}}
        for r in recipes
    ]
    return {
        "source": {"description": "a test"},
        "labels": {"colour": COLOURS, "parity": ["0", "1"]},
        "features": features,
        "counts": {"samples": 20, "failures": 0},
        "split": {"seed": 0, "made": None},
    } | more


def fill(cache: Cache, numbers: Sequence[int], recipe: Recipe = RECIPE, factor: float = 1) -> None:
    space = cache.space(recipe)
    space.prepare()
    values = np.array([vector(number) for number in numbers], dtype=np.float32) * np.float32(factor)
    space.commit(Features(pack([key(number) for number in numbers]), values), shard_format("hdf5"))


@pytest.fixture
def cache(cache_root: Path) -> Cache:
    cache = Cache(cache_root)
    cache.prepare()
    fill(cache, range(19, -1, -1))
    return cache


@pytest.fixture
def made(cache: Cache) -> FeatureSet:
    return commit_set(cache, "colours", samples(range(20)), info(), [])


def folders(cache: Cache) -> set[str]:
    return {path.name for path in (cache.root / "sets" / "colours").iterdir() if path.is_dir()}


def test_the_same_state_makes_the_same_digest_and_nothing_new(cache: Cache, made: FeatureSet) -> None:
    written = {path: path.stat().st_mtime_ns for path in made.path.iterdir()}
    again = commit_set(cache, "colours", samples(range(20)), info(), [])
    assert again.digest == made.digest
    assert folders(cache) == {made.digest}
    assert {path: path.stat().st_mtime_ns for path in made.path.iterdir()} == written


def test_a_changed_label_makes_a_new_digest_and_the_old_one_still_opens(
    cache: Cache, made: FeatureSet
) -> None:
    old_y = made.arrays()[1]
    labels = ["red"] * 20
    new = commit_set(cache, "colours", samples(range(20), labels), info(), [])
    assert new.digest != made.digest
    assert cache.open_set("colours").digest == new.digest
    assert new.arrays()[1].tolist() == [0] * 20
    old = cache.open_set("colours", made.digest)
    assert np.array_equal(old.arrays()[1], old_y)


@pytest.mark.parametrize(
    "change",
    [
        {"info": info(labels={"colour": COLOURS[::-1], "parity": ["0", "1"]})},
        {"info": info(split={"seed": 1, "made": None})},
        {"failures": [Failure("x", "y", "z")]},
        {"samples": samples(range(19, -1, -1))},
    ],
    ids=["label order", "split seed", "a failure", "row order"],
)
def test_whatever_a_set_says_is_in_its_digest(change: dict[str, Any], cache: Cache, made: FeatureSet) -> None:
    state = {"samples": samples(range(20)), "info": info(), "failures": []} | change
    assert commit_set(cache, "colours", **state).digest != made.digest


def test_going_back_puts_the_earlier_digest_in_force(cache: Cache, made: FeatureSet) -> None:
    commit_set(cache, "colours", samples(range(19)), info(), [])
    assert commit_set(cache, "colours", samples(range(20)), info(), []).digest == made.digest
    assert cache.open_set("colours").digest == made.digest
    assert len(folders(cache)) == 2


def test_a_state_made_on_top_of_another_does_not_replace_what_came_between(
    cache: Cache, made: FeatureSet
) -> None:
    between = commit_set(cache, "colours", samples(range(19)), info(), [], replaces=made.digest)
    assert between is not None
    assert commit_set(cache, "colours", samples(range(18)), info(), [], replaces=made.digest) is None
    assert commit_set(cache, "colours", samples(range(18)), info(), [], replaces=None) is None
    assert cache.open_set("colours").digest == between.digest
    again = commit_set(cache, "colours", samples(range(19)), info(), [], replaces=made.digest)
    assert again is not None
    assert again.digest == between.digest


def test_nothing_partial_is_left_behind(
    cache: Cache, made: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "ParquetWriter", full)
        with pytest.raises(StorageError, match="no space left"):
            commit_set(cache, "colours", samples(range(5)), info(), [])
    assert folders(cache) == {made.digest}
    assert not list(cache.root.rglob("*.partial*"))
    assert cache.open_set("colours").digest == made.digest


@pytest.mark.parametrize("order", [range(20), range(19, -1, -1), [7, 3, 7, 3, 11]])
def test_features_meet_labels_by_key(order: Sequence[int], cache: Cache) -> None:
    features = commit_set(cache, "colours", samples(order), info(), [])
    X, y = features.arrays()
    assert X.dtype == np.float32
    assert y.dtype == np.int64
    assert np.array_equal(X, np.array([vector(number) for number in order], dtype=np.float32))
    assert [COLOURS[code] for code in y] == [COLOURS[number % 3] for number in order]
    rows = features.rows(label="parity")
    assert rows.names == ("0", "1")
    assert rows.y.tolist() == [number % 2 for number in order]
    assert rows.table.column("id").to_pylist() == [f"row {number}" for number in order]
    assert len(rows) == len(order)


def test_splits_are_filtered_with_their_features(made: FeatureSet) -> None:
    test = made.rows("test")
    assert test.table.column("id").to_pylist() == ["row 0", "row 5", "row 10", "row 15"]
    assert test.X[:, 0].tolist() == [0, 5, 10, 15]
    assert test.y.tolist() == [number % 3 for number in (0, 5, 10, 15)]
    assert len(made.rows("train")) == 16


def test_a_split_without_samples_is_empty_and_keeps_its_width(made: FeatureSet) -> None:
    X, y = made.arrays("validation")
    assert X.shape == (0, WIDTH)
    assert y.shape == (0,)
    assert made.table("validation").num_rows == 0


def test_the_arrow_table_has_the_features_as_a_column(made: FeatureSet) -> None:
    table = made.table("test")
    assert table.schema.field("features").type == pa.list_(pa.float32(), WIDTH)
    assert table.column("features").to_pylist() == [vector(number) for number in (0, 5, 10, 15)]
    assert table.column("label:colour").to_pylist() == ["red", "blue", "green", "red"]


def test_a_torch_data_set_of_features_and_labels(made: FeatureSet) -> None:
    dataset = made.torch_dataset("test")
    x, y = dataset[1]
    assert x.tolist() == vector(5)
    assert int(y) == 5 % 3
    assert len(dataset) == 4


def test_a_sample_without_a_label_has_minus_one(cache: Cache) -> None:
    table = samples(range(4), ["blue", None, "red", "no such colour"])
    assert commit_set(cache, "colours", table, info(), []).arrays()[1].tolist() == [2, -1, 0, -1]


def test_a_set_without_labels_has_features(cache: Cache) -> None:
    table = samples(range(4)).drop(["label:colour", "label:parity"])
    features = commit_set(cache, "colours", table, info(labels={}), [])
    assert features.arrays()[1].tolist() == [-1] * 4
    with pytest.raises(DataError, match="no labels"):
        features.label_column()


def test_one_set_over_two_features(cache: Cache) -> None:
    fill(cache, range(20), OTHER, factor=10)
    features = commit_set(cache, "colours", samples(range(20)), info([RECIPE, OTHER]), [])
    assert features.arrays(tap="last.cls")[0][3].tolist() == [30, 35, -30, 10]
    assert features.arrays(tap="last.mean")[0][3].tolist() == vector(3)
    assert features.arrays()[0][3].tolist() == vector(3)
    assert "last.cls" in repr(features)


def test_missing_features_are_a_mismatch_that_says_what_to_run(cache: Cache) -> None:
    features = commit_set(cache, "colours", samples(range(22)), info(), [])
    with pytest.raises(MismatchError, match=r"2 of 20 samples .* headstart extract") as caught:
        features.arrays()
    assert caught.value.exit_code == 4


def test_failed_samples_are_left_out(cache: Cache) -> None:
    failures = [
        Failure("row 20", "texts.csv:20", "naïve reason: 東京", "permanent", key(20).hex(), RECIPE.id),
        Failure("row 21", "texts.csv:21", "a reason", "transient", key(21).hex()),
        Failure("row 99", "texts.csv:99", "cannot be read"),
    ]
    features = commit_set(cache, "colours", samples(range(22)), info(), failures)
    assert features.failures == failures
    rows = features.rows()
    assert len(rows) == len(rows.y) == rows.table.num_rows == 20
    assert rows.X[:, 0].tolist() == list(range(20))
    elsewhere = [replace(failure, space=OTHER.id) for failure in failures]
    with pytest.raises(MismatchError, match="2 of 20"):
        commit_set(cache, "colours", samples(range(22)), info(), elsewhere).arrays()


def test_what_there_is_not_is_answered_with_what_there_is(cache: Cache, made: FeatureSet) -> None:
    with pytest.raises(ConfigError, match=r"no feature of any backbone at last\.cls; it has: .*last\.mean"):
        made.arrays(tap="last.cls")
    with pytest.raises(ConfigError, match="no feature of other:thing"):
        made.arrays(backbone="other:thing")
    with pytest.raises(ConfigError, match="no label 'size'; it has: colour, parity"):
        made.arrays(label="size")
    with pytest.raises(ConfigError, match="no split 'dev'; choose from: train, validation, test"):
        made.arrays("dev")
    with pytest.raises(DataError, match=r"no set 'shapes' .*; there are: colours"):
        cache.open_set("shapes")
    with pytest.raises(ConfigError, match="cannot be the name of a set"):
        cache.open_set("../colours")
    assert cache.find_set("shapes") is None


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_newer_set_is_refused(cache: Cache, made: FeatureSet) -> None:
    edit_json(made.path / "set.json", format=3)
    with pytest.raises(FormatError, match="format 3"):
        cache.open_set("colours")


def test_a_newer_cache_is_refused(cache: Cache) -> None:
    edit_json(cache.root / "headstart.json", format=2)
    with pytest.raises(FormatError, match="format 2"):
        Cache(cache.root)


def test_broken_sets_are_named(cache: Cache, made: FeatureSet) -> None:
    (made.path / "samples.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorruptShardError, match=r"samples\.parquet"):
        cache.open_set("colours").arrays()
    (made.path / "set.json").write_text("[]")
    with pytest.raises(CorruptShardError, match="colours"):
        cache.open_set("colours")
    (made.path / "set.json").write_text("{")
    with pytest.raises(StorageError, match=r"set\.json"):
        cache.open_set("colours")
    (made.path / "set.json").unlink()
    with pytest.raises(StorageError, match="headstart cache verify --repair"):
        cache.open_set("colours")


def test_a_failure_may_have_any_name(cache: Cache) -> None:
    """JSON leaves these as they are, and Python takes them for the ends of lines."""
    failures = [Failure(f"a{mark}b", f"a.csv{mark}", "no") for mark in "\u2028\u2029\x85\x1c\r\n"]
    made = commit_set(cache, "colours", samples(range(20)), info(), failures)
    assert made.failures == failures
    assert cache.open_set("colours").failures == failures


def test_a_layer_that_only_the_deeper_of_two_backbones_has(cache: Cache) -> None:
    entry = info()["features"][0]
    features = [
        entry | {"backbone": "py:flat:texts", "tap": "2.mean", "n_layers": 2},
        entry | {"backbone": "py:deep:texts", "tap": "5.mean", "n_layers": 6},
    ]
    made = commit_set(cache, "colours", samples(range(20)), info(features=features), [])
    assert made.feature("5.mean").backbone == "py:deep:texts"
    assert made.feature("2.mean").backbone == "py:flat:texts"
    with pytest.raises(ConfigError, match=r"no feature of any backbone at 9\.mean; it has: py:flat"):
        made.feature("9.mean")
