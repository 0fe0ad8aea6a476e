"""A folder of images with metadata files is read as Hugging Face's ImageFolder reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headstart.errors import ConfigError, DataError, SampleError
from headstart.keys import key_of
from tests.data.conftest import MemoryMemo, scan, write_images, write_table

ENDINGS = [".csv", ".jsonl", ".parquet"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_rows_are_the_samples(tmp_path: Path, ending: str) -> None:
    write_images(tmp_path, "a.png", "deep/b.png", "c.png")
    columns = {"file_name": ["deep/b.png", "a.png"], "label": ["x", "y"], "note": ["n1", "n2"]}
    write_table(tmp_path / f"metadata{ending}", columns)
    found = scan(tmp_path)
    assert found.ids == ["deep/b.png", "a.png"]
    assert found.column("origin") == [f"metadata{ending}:1", f"metadata{ending}:2"]
    assert found.keys == [key_of("image", (tmp_path / name).read_bytes()) for name in found.ids]
    assert found.payloads() == [(tmp_path / name).read_bytes() for name in found.ids]
    assert found.column("label:label") == ["x", "y"]
    assert found.column("meta:note") == ["n1", "n2"]
    assert found.source.modality == "image"
    assert (
        f"images named by metadata (metadata{ending}), 2 rows: labels in 'label'" in found.source.description
    )
    assert found.source.description.endswith("1 image not named there ignored (c.png)")


def test_one_file_in_each_split_folder(tmp_path: Path) -> None:
    write_images(tmp_path, "train/1.png", "train/2.png", "dev/3.png")
    write_table(tmp_path / "train" / "metadata.csv", {"file_name": ["2.png", "1.png"], "label": ["x", "y"]})
    write_table(tmp_path / "dev" / "metadata.jsonl", {"file_name": ["3.png"], "label": ["x"]})
    found = scan(tmp_path)
    assert found.by_id("split") == {
        "dev/3.png": "validation",
        "train/2.png": "train",
        "train/1.png": "train",
    }
    assert found.by_id("label:label")["train/1.png"] == "y"
    assert found.column("origin")[0] == "dev/metadata.jsonl:1"
    assert "splits from split folders" in found.source.description


def test_splits_and_classes_come_from_the_paths_or_from_columns(tmp_path: Path) -> None:
    names = ["train/cat/1.png", "./test/dog/2.png", "test//cat/3.png"]
    write_images(tmp_path, *names)
    write_table(tmp_path / "metadata.csv", {"file_name": names, "weight": [1, 2, 3]})
    by_path = scan(tmp_path)
    assert by_path.ids == ["train/cat/1.png", "test/dog/2.png", "test/cat/3.png"]
    assert by_path.column("split") == ["train", "test", "test"]
    assert by_path.column("label:label") == ["cat", "dog", "cat"]
    assert "2 classes, from class folders" in by_path.source.description
    assert scan(tmp_path, labels=False).source.label_kinds == {}
    columns = {"file_name": names, "label": [0.5, 1, 2], "part": ["test", "train", "val"]}
    write_table(tmp_path / "metadata.csv", columns)
    by_column = scan(tmp_path, split_column="part")
    assert by_column.column("split") == ["test", "train", "validation"]
    assert by_column.column("label:label") == [0.5, 1.0, 2.0]


def test_a_folder_that_only_holds_the_images_is_no_class(tmp_path: Path) -> None:
    write_images(tmp_path, "images/1.png", "images/2.png")
    write_table(tmp_path / "metadata.csv", {"file_name": ["images/1.png", "images/2.png"]})
    assert scan(tmp_path).source.label_kinds == {}


def test_an_image_named_twice_is_two_samples(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png", "b.png")
    columns = {"file_name": ["a.png", "b.png", "a.png", "./a.png"], "label": list("xyzx")}
    write_table(tmp_path / "metadata.csv", columns)
    found = scan(tmp_path)
    assert found.by_id("label:label") == {"a.png": "x", "b.png": "y", "a.png#2": "z", "a.png#3": "x"}
    assert len(set(found.keys)) == 2
    (tmp_path / "a.png#2").write_bytes(b"a picture")
    write_table(tmp_path / "metadata.csv", {"file_name": ["a.png", "a.png", "a.png#2"]})
    assert scan(tmp_path).ids == ["metadata:1", "metadata:2", "metadata:3"]


def test_bad_rows_are_named_and_the_good_are_kept(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"not yours")
    root = write_images(tmp_path / "data", "a.png", "cat/b.png", "zero.png")
    (root / "zero.png").write_bytes(b"")
    names = [
        "a.png",
        "../secret.png",
        str(secret),
        "gone.png",
        "",
        "zero.png",
        "cat/../../secret.png",
        "cat/../a.png",
    ]
    write_table(root / "metadata.csv", {"file_name": names})
    found = scan(root)
    assert found.ids == ["a.png", "a.png#2"]
    assert [(f.origin, f.kind) for f in found.failures] == [
        ("metadata.csv:2", "permanent"),
        ("metadata.csv:3", "permanent"),
        ("metadata.csv:4", "transient"),
        ("metadata.csv:5", "permanent"),
        ("metadata.csv:6", "permanent"),
        ("metadata.csv:7", "permanent"),
    ]
    assert found.failures[0].reason.startswith("../secret.png leads out of the folder of the metadata")
    assert found.failures[2].id == "gone.png"
    assert found.failures[2].reason == "gone.png: the file is missing"
    assert "1 image not named there ignored (cat/b.png)" in found.source.description


def test_metadata_without_file_names_says_what_to_do(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    write_table(tmp_path / "metadata.csv", {"picture": ["a.png"], "label": ["x"]})
    with pytest.raises(
        ConfigError, match=r"metadata\.csv has no column 'file_name', only 'picture', 'label'"
    ):
        scan(tmp_path)
    assert scan(tmp_path, image_column="picture").ids == ["a.png"]
    with pytest.raises(ConfigError, match="--image-column nothing: there is no such column"):
        scan(tmp_path, image_column="nothing")


def test_one_of_several_without_file_names_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, "train/a.png", "test/b.png")
    write_table(tmp_path / "train" / "metadata.csv", {"file_name": ["a.png"]})
    write_table(tmp_path / "test" / "metadata.csv", {"name": ["b.png"]})
    with pytest.raises(ConfigError, match=r"test/metadata\.csv has no column 'file_name', only 'name'"):
        scan(tmp_path)


def test_metadata_in_two_formats_asks_for_one(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    for ending in (".csv", ".jsonl"):
        write_table(tmp_path / f"metadata{ending}", {"file_name": ["a.png"]})
    with pytest.raises(ConfigError, match=r"holds metadata\.csv and metadata\.jsonl; keep one"):
        scan(tmp_path)


def test_metadata_in_another_encoding_says_what_to_pass(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    (tmp_path / "metadata.csv").write_bytes("file_name,label\na.png,café\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"metadata\.csv is not utf-8: byte 25, in line 2"):
        scan(tmp_path)
    assert scan(tmp_path, encoding="latin-1").column("label:label") == ["café"]


def test_metadata_alone_is_a_table(tmp_path: Path) -> None:
    write_table(tmp_path / "metadata.csv", {"text": ["a b"], "label": ["x"]})
    assert scan(tmp_path).payloads() == ["a b"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png", "cat/b.png")
    (tmp_path / "cat" / "up").symlink_to(tmp_path)
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    write_table(tmp_path / "metadata.csv", {"file_name": ["a.png", "self.png"]})
    found = scan(tmp_path)
    assert found.ids == ["a.png"]
    assert [f.id for f in found.failures] == ["self.png"]


def test_a_folder_whose_name_is_not_utf8_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with open(folder + b"/metadata.jsonl", "w") as file:
        file.write('{"file_name": "b.png"}\n')
    with pytest.raises(DataError, match=r"caf\\xe9/metadata\.jsonl: the file's name is not UTF-8"):
        scan(tmp_path)


def test_captions_make_pairs_on_request(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png", "b.png")
    columns = {"file_name": ["a.png", "a.png", "b.png"], "caption": ["a cat", "one cat", ""]}
    write_table(tmp_path / "metadata.csv", columns)
    assert scan(tmp_path).column("meta:caption") == ["a cat", "one cat", ""]
    content = (tmp_path / "a.png").read_bytes()
    for options in ({"modality": "image-text"}, {"image_column": "file_name", "text_column": "caption"}):
        pairs = scan(tmp_path, **options)  # type: ignore[arg-type]
        assert pairs.source.modality == "image-text"
        assert pairs.payloads() == [(content, "a cat"), (content, "one cat")]
        assert pairs.ids == ["a.png", "a.png#2"]
        assert [f.reason for f in pairs.failures] == ["the text is empty"]
    assert scan(tmp_path, text_column="caption").payloads() == ["a cat", "one cat"]


def test_an_image_that_vanishes_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    write_table(tmp_path / "metadata.csv", {"file_name": ["a.png"]})
    found = scan(tmp_path, MemoryMemo())
    (tmp_path / "a.png").unlink()
    with pytest.raises(SampleError, match=r"a\.png: the file is missing"):
        found.source.payload(0)
