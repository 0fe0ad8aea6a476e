"""Samples that a program holds in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import ConfigError, DataError, SampleError
from headstart.keys import key_of
from tests.data.conftest import scan, write_image, write_images


def test_texts_are_numbered_and_keyed() -> None:
    found = scan(["good", "bad"], modality="text")
    assert found.ids == ["0", "1"]
    assert found.keys == [key_of("text", "good"), key_of("text", "bad")]
    assert found.payloads() == ["good", "bad"]
    assert found.table.column_names == ["id", "key", "split", "origin"]


def test_pairs_are_pairs_also_for_a_text_backbone() -> None:
    found = scan([("ab", "c"), ("a", "bc")], modality="text")
    assert found.source.modality == "text-pair"
    assert found.payloads() == [("ab", "c"), ("a", "bc")]
    assert len(set(found.keys)) == 2


def test_images_are_known_by_path_or_by_number(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", 1)
    content = write_image(tmp_path / "b.png", 2).read_bytes()
    found = scan([path, content, str(path)], modality="image")
    assert found.ids == [str(path), "1", str(path)]
    assert found.keys == [key_of("image", bytes_) for bytes_ in found.payloads()]
    assert found.keys[0] == found.keys[2]


def test_a_single_image_is_a_sample(tmp_path: Path) -> None:
    found = scan(write_image(tmp_path / "a.png"))
    assert found.ids == [str(tmp_path / "a.png")]
    assert found.source.modality == "image"
    assert found.source.description == "1 sample"


def test_a_text_has_the_key_it_has_in_a_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\ngood,x\n")
    assert scan(["good"], modality="text").keys == scan(tmp_path / "t.csv").keys


def test_bad_samples_are_named_and_the_good_are_kept(tmp_path: Path) -> None:
    texts = scan(["good", " ", "\ud83d", "fine"], modality="text")
    assert texts.payloads() == ["good", "fine"]
    assert [(f.id, f.kind) for f in texts.failures] == [("1", "permanent"), ("2", "permanent")]
    pairs = scan([("a", "b"), ("a", ""), ("a", "\ud83d")])
    assert [f.id for f in pairs.failures] == ["1", "2"]
    write_images(tmp_path, "a.png")
    paths = [tmp_path / "a.png", tmp_path / "gone.png", b"", "nul\0", "\ud83d.png"]
    images = scan(paths, modality="image")
    assert images.ids == [str(tmp_path / "a.png")]
    assert [f.reason for f in images.failures][:2] == ["the file is missing", "empty file"]
    assert [f.kind for f in images.failures] == ["transient", "permanent", "permanent", "permanent"]


def test_an_image_that_vanishes_is_named(tmp_path: Path) -> None:
    found = scan([write_image(tmp_path / "a.png")])
    (tmp_path / "a.png").unlink()
    with pytest.raises(SampleError, match=r"a\.png: the file is missing"):
        found.source.payload(0)
    with pytest.raises(IndexError):
        found.source.payload(1)


def test_a_path_that_is_not_utf8_has_a_printable_id(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    try:
        path.write_bytes(write_image(tmp_path / "a.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = scan([path])
    assert found.ids == [f"{tmp_path}/caf\\xe9.png"]
    assert len(found.payloads()) == 1


@pytest.mark.parametrize(
    ("samples", "modality", "message"),
    [
        (["good"], None, "say modality="),
        (["good", b"bytes"], "text", "sample 1 is a bytes among texts"),
        (["good", ("a", "b")], "text", "sample 1 is a tuple among texts"),
        ([3], "text", "a sample is a int"),
        ([("a", "b", 3)], "text", "a sample is a tuple"),
        (["good", ("a", "b", "c")], "text", "sample 1 is a tuple among texts"),
    ],
)
def test_samples_of_no_kind_or_two_are_refused(samples: list[Any], modality: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        scan(samples, modality=modality)


def test_no_samples_are_refused() -> None:
    with pytest.raises(DataError, match="no samples were given"):
        scan([])
