"""Caches that earlier versions wrote are read for ever."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.cache.maintenance.verify import verify
from headstart.cache.memos import find_known
from headstart.cache.store import Cache
from headstart.corrections.resolve import resolve
from headstart.keys import key_of, pack

ARCHIVES = sorted(Path(__file__).parent.glob("format-*"))


def test_there_are_archives() -> None:
    assert [path.name for path in ARCHIVES][:2] == ["format-1", "format-2"]


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name)
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy, so that no test can change what is archived."""
    copy = tmp_path / "archive"
    shutil.copytree(request.param, copy)
    return copy


@pytest.fixture
def cache(archive: Path) -> Cache:
    return Cache(archive / "cache")


@pytest.fixture
def expected(archive: Path) -> Any:
    return json.loads((archive / "expected.json").read_text("utf-8"))


def keys_of(space: Any) -> np.ndarray:
    return pack([bytes.fromhex(key) for key in space["vectors"]])


def test_spaces_have_their_recipes(cache: Cache, expected: Any) -> None:
    assert [path.name for path in cache.space_paths()] == sorted(expected["spaces"])
    for space_id, space in expected["spaces"].items():
        assert cache.open_space(space_id).recipe.canonical == space["recipe"]
        assert cache.open_space(space_id).recipe.id == space_id


@pytest.mark.parametrize("with_index", [True, False])
def test_every_vector_is_what_it_was(with_index: bool, cache: Cache, expected: Any) -> None:
    for space_id, space in expected["spaces"].items():
        if space["ragged"]:
            continue
        opened = cache.open_space(space_id)
        if not with_index:
            (opened.path / "index.npz").unlink()
        found = opened.gather(keys_of(space)).values
        assert str(found.dtype) == space["dtype"]
        assert found.tolist() == [rows[0] for rows in space["vectors"].values()]


def test_ragged_shards_are_what_they_were(cache: Cache, expected: Any) -> None:
    for space_id, space in expected["spaces"].items():
        if not space["ragged"]:
            continue
        opened = cache.open_space(space_id)
        for name in opened.shard_names():
            features = opened.reader(name).features()
            assert features.offsets is not None
            pairs = zip(features.offsets[:-1], features.offsets[1:], strict=True)
            vectors = [features.values[start:stop].tolist() for start, stop in pairs]
            found = dict(zip([key.tobytes().hex() for key in features.keys], vectors, strict=True))
            assert found == space["vectors"]


def test_the_set_is_what_it_was(cache: Cache, expected: Any) -> None:
    opened = cache.open_set(expected["set"])
    assert opened.digest == expected["digest"]
    assert opened.label_names == {"colour": tuple(expected["labels"])}
    assert {failure.key for failure in opened.failures} == set(expected["failed"])
    columns = [("id", "id"), ("split", "split"), ("label:colour", "label")]
    for column, name in columns:
        assert opened.samples.column(column).to_pylist() == [sample[name] for sample in expected["samples"]]
    for ref in opened.features:
        rows = opened.rows(tap=ref.tap)
        good = [sample for sample in expected["samples"] if sample["key"] not in expected["failed"]]
        vectors = expected["spaces"][ref.space]["vectors"]
        assert rows.X.tolist() == [vectors[sample["key"]][0] for sample in good]
        labels = [rows.names[code] if code >= 0 else None for code in rows.y]
        assert labels == [sample["label"] for sample in good]


def test_corrections_are_what_they_were(cache: Cache, expected: Any) -> None:
    """Those of a set that has some; its labels follow from them."""
    opened = cache.open_set(expected["set"])
    rows = opened.corrections
    assert [asdict(row) for row in rows] == expected.get("corrections", [])
    assert opened.info["format"] == (2 if rows else 1)
    found, labels = resolve(rows), {one["id"]: one["label"] or "" for one in expected["samples"]}
    assert {id for _, id in found.dropped}.isdisjoint(labels)
    assert {id: text for ((_, id), _), text in found.labels.items() if id in labels}.items() <= labels.items()


def test_the_same_texts_have_the_same_keys(expected: Any) -> None:
    for sample in expected["samples"]:
        assert key_of("text", sample["text"]).hex() == sample["key"]


def test_the_backbone_is_found_without_its_weights(cache: Cache) -> None:
    (known,) = find_known(cache.space_paths(), {"spec": "py:archive:texts", "options": {}})
    assert known.max_length == 128


def test_verify_is_clean(cache: Cache) -> None:
    result = verify(cache, Silent())
    assert result.findings == ()
    assert result.n_shards >= 6


class Silent:
    """Progress that nobody sees."""

    def say(self, message: str) -> None: ...

    def begin(self, description: str, total: int | None) -> None: ...

    def advance(self, n: int, work: float | None = None) -> None: ...

    def end(self) -> None: ...
