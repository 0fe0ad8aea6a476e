"""Pairs of image and text, from tables and from memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.errors import ConfigError, SampleError
from headstart.keys import key_of
from tests.data.conftest import MemoryMemo, Scan, scan, write_image, write_table

TEXTS = ["a cat", "a dog", "a cat"]
BOTH = {"image_column": "image", "text_column": "caption"}


@pytest.fixture(params=["paths", "bytes", "structs"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    contents = [write_image(tmp_path / "i" / f"{n}.png", n).read_bytes() for n in (0, 0, 1)]
    cells: dict[str, list[Any]] = {
        "paths": ["i/0.png", "i/0.png", "i/1.png"],
        "bytes": contents,
        "structs": [{"bytes": contents[0], "path": None}] * 2 + [{"bytes": None, "path": "i/1.png"}],
    }
    columns = {"image": cells[request.param], "caption": TEXTS, "label": ["x", "y", "x"]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def expected(table: Path) -> list[tuple[bytes, str]]:
    names = ("0.png", "0.png", "1.png")
    contents = [(table.parent / "i" / name).read_bytes() for name in names]
    return list(zip(contents, TEXTS, strict=True))


@pytest.mark.parametrize("wanted", [BOTH, {"modality": "image-text"}])
def test_both_columns_make_pairs(table: Path, wanted: dict[str, Any]) -> None:
    found = scan(table, **wanted)
    assert found.source.modality == "image-text"
    assert found.payloads() == expected(table)
    assert found.keys == [key_of("image-text", pair) for pair in expected(table)]
    assert len(set(found.keys)) == 3
    assert found.column("label:label") == ["x", "y", "x"]
    assert "pairs of image and text in 'image' and 'caption'" in found.source.description


def test_what_is_remembered_of_an_image_is_not_taken_for_a_pair(
    table: Path, later: Callable[[], None]
) -> None:
    later()
    memo = MemoryMemo()
    images = scan(table, memo, modality="image")
    pairs = scan(table, memo, **BOTH)
    n_unknown = memo.n_unknown
    assert pairs.keys == [key_of("image-text", pair) for pair in expected(table)]
    assert scan(table, memo, modality="image").keys == images.keys
    assert scan(table, memo, **BOTH).keys == pairs.keys
    n_by_path = 2 if "structs" in str(pq.read_schema(table).field("image").type) else 0
    n_again = 1  # a row without an image is asked for as a pair, and as what groups pairs
    assert memo.n_unknown <= n_unknown + 2 + n_again + n_by_path


def test_another_text_is_another_pair(tmp_path: Path, later: Callable[[], None]) -> None:
    write_image(tmp_path / "a.png")
    later()
    memo = MemoryMemo()
    before = scan(write_table(tmp_path / "t.csv", {"image": ["a.png"], "caption": ["a cat"]}), memo, **BOTH)
    after = scan(write_table(tmp_path / "t.csv", {"image": ["a.png"], "caption": ["a dog"]}), memo, **BOTH)
    assert before.keys != after.keys


def test_half_a_pair_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    columns = {"image": ["a.png", "a.png", "gone.png", ""], "caption": ["fine", " ", "b", "c"]}
    found = scan(write_table(tmp_path / "t.csv", columns), **BOTH)
    assert found.ids == ["t:1"]
    assert [(f.id, f.reason, f.kind) for f in found.failures] == [
        ("t:2", "the text is empty", "permanent"),
        ("t:3", "gone.png: the file is missing", "transient"),
        ("t:4", "the image path is empty", "permanent"),
    ]


def test_pairs_need_both_columns(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv", {"caption": ["how do I"], "n": ["1"]})
    with pytest.raises(ConfigError, match="no column of images among 'caption', 'n'"):
        scan(path, modality="image-text")
    path = write_table(tmp_path / "u.csv", {"image": ["a.png"], "n": ["1"]})
    with pytest.raises(ConfigError, match="no column of texts among 'image', 'n'"):
        scan(path, modality="image-text")
    with pytest.raises(ConfigError, match="--image-column with --text-pair-column"):
        scan(path, image_column="image", text_pair_column="n")


class TestMemory:
    """Pairs that a program holds."""

    def check(self, found: Scan, pairs: list[tuple[bytes, str]]) -> None:
        assert found.source.modality == "image-text"
        assert found.payloads() == pairs
        assert found.keys == [key_of("image-text", pair) for pair in pairs]

    def test_bytes_and_paths_with_texts_are_pairs(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "a.png")
        content = path.read_bytes()
        found = scan([(path, "a cat"), (content, "a dog"), (path, "a dog")])
        self.check(found, [(content, "a cat"), (content, "a dog"), (content, "a dog")])
        assert found.ids == ["0", "1", "2"]
        assert found.source.description == "3 pairs of image and text"

    def test_two_strings_are_texts_unless_the_first_is_said_to_be_a_path(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "a.png")
        assert scan([(str(path), "a cat")]).source.modality == "text-pair"
        self.check(scan([(str(path), "a cat")], modality="image-text"), [(path.read_bytes(), "a cat")])

    def test_bad_pairs_are_named(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "a.png")
        pairs = [(path, "fine"), (tmp_path / "gone.png", "b"), (path, ""), (b"", "c"), (path, "\ud83d")]
        found = scan(pairs)
        assert found.ids == ["0"]
        assert [(f.id, f.kind) for f in found.failures] == [
            ("1", "transient"),
            ("2", "permanent"),
            ("3", "permanent"),
            ("4", "permanent"),
        ]
        path.unlink()
        with pytest.raises(SampleError, match=r"a\.png: the file is missing"):
            found.source.payload(0)
