"""A folder of images is read as its layout says, whatever the file system does."""

from __future__ import annotations

import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data import SourceOptions, open_source
from headstart.data.label_cells import clean_label
from headstart.errors import ConfigError, DataError, SampleError
from headstart.keys import key_of
from tests.data.conftest import KnowsAll, MemoryMemo, scan, write_image, write_images

from ..variants import examples


def test_class_folders_give_ids_labels_and_keys(tmp_path: Path) -> None:
    write_images(tmp_path, "dog/a.png", "cat/b.JPG", "cat/nested/deep/c.jpeg")
    found = scan(tmp_path)
    assert found.ids == ["cat/b.JPG", "cat/nested/deep/c.jpeg", "dog/a.png"]
    assert found.column("origin") == found.ids
    assert found.column("label:label") == ["cat", "cat", "dog"]
    assert found.column("split") == [None, None, None]
    assert found.keys == [key_of("image", (tmp_path / name).read_bytes()) for name in found.ids]
    assert found.payloads() == [(tmp_path / name).read_bytes() for name in found.ids]
    assert found.source.modality == "image"
    assert found.source.description == (
        "class folders of images: 3 images in 2 classes; of several folders above a file the class is the first "
        "(--class-from last: the one that holds the file)"
    )


def test_split_folders_are_splits_under_any_of_their_names(tmp_path: Path) -> None:
    write_images(tmp_path, "Training/cat/a.png", "val/cat/b.png", "test/dog/c.png")
    found = scan(tmp_path)
    assert found.by_id("split") == {
        "Training/cat/a.png": "train",
        "val/cat/b.png": "validation",
        "test/dog/c.png": "test",
    }
    assert found.column("label:label") == ["cat", "dog", "cat"]
    assert "splits train, validation, test" in found.source.description


def test_a_class_called_train_among_vehicles_is_a_class(tmp_path: Path) -> None:
    write_images(tmp_path, "train/a.png", "bus/b.png")
    found = scan(tmp_path)
    assert found.by_id("label:label") == {"bus/b.png": "bus", "train/a.png": "train"}
    assert found.column("split") == [None, None]
    assert "train taken for a class" in found.source.description


def test_folders_without_images_do_not_disturb_the_splits(tmp_path: Path) -> None:
    write_images(tmp_path, "train/cat/a.png", "test/cat/b.png")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "read.txt").write_text("not an image")
    assert scan(tmp_path).column("split") == ["test", "train"]


def test_images_in_one_place_have_no_labels(tmp_path: Path) -> None:
    flat = scan(write_images(tmp_path / "flat", "a.png", "b.png"))
    split = scan(write_images(tmp_path / "split", "train/a.png", "test/b.png"))
    assert "label:label" not in flat.table.column_names
    assert flat.source.label_names == {}
    assert split.column("split") == ["test", "train"]
    assert "label:label" not in split.table.column_names


def test_a_test_split_without_classes_is_unlabelled(tmp_path: Path) -> None:
    found = scan(write_images(tmp_path, "train/cat/a.png", "test/b.png"))
    assert found.by_id("label:label") == {"test/b.png": None, "train/cat/a.png": "cat"}


def test_labels_are_left_out_on_request(tmp_path: Path) -> None:
    found = scan(write_images(tmp_path, "cat/a.png", "dog/b.png"), labels=False)
    assert found.table.column_names == ["id", "key", "split", "origin"]


def test_integer_classes_are_in_numerical_order(tmp_path: Path) -> None:
    found = scan(write_images(tmp_path, *(f"{number}/a.png" for number in range(12))))
    assert found.source.label_names == {"label": tuple(str(number) for number in range(12))}
    named = scan(tmp_path, label_names=tuple("abcdefghijkl"))
    assert named.by_id("label:label")["10/a.png"] == "k"
    assert named.source.label_names == {"label": tuple("abcdefghijkl")}


def test_a_class_without_a_name_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, "0/a.png", "7/a.png")
    with pytest.raises(DataError, match=r"7: the label is '7'.*0 to 1"):
        scan(tmp_path, label_names=("zero", "one"))


def test_other_and_hidden_files_are_counted_and_named(tmp_path: Path) -> None:
    write_images(tmp_path, "cat/a.png", "cat/.hidden.png", ".thumbnails/b.png")
    for name in ("z.txt", "cat/y.json", "cat/x.xml"):
        (tmp_path / name).write_text("no image")
    found = scan(tmp_path)
    assert found.ids == ["cat/a.png"]
    assert found.source.ignored == {"hidden": 2, "other": 3}
    assert found.source.description.endswith(
        "2 hidden files ignored (.thumbnails, cat/.hidden.png); 3 other files ignored (cat/x.xml, cat/y.json, z.txt)"
    )


def test_the_order_is_that_of_the_paths(tmp_path: Path) -> None:
    names = ["a-b/1.png", "a/2.png", "a0/3.png", "a.png", "ä/4.png", "Z/5.png", "a/b/6.png", "a/b.png"]
    assert scan(write_images(tmp_path, *names)).ids == sorted(names, key=os.fsencode)


def test_renaming_and_moving_change_no_key(tmp_path: Path) -> None:
    before = scan(write_images(tmp_path / "here", "cat/a.png", "dog/b.png"))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    (tmp_path / "there" / "cat").rename(tmp_path / "there" / "katze")
    after = scan(tmp_path / "there")
    assert sorted(after.keys) == sorted(before.keys)
    assert sorted(after.column("label:label")) == ["dog", "katze"]


def test_one_photo_under_two_names_has_one_key(tmp_path: Path) -> None:
    write_image(tmp_path / "cat" / "a.png", 1)
    write_image(tmp_path / "cat" / "copy of a.png", 1)
    assert len(set(scan(tmp_path).keys)) == 1


def test_a_known_file_is_not_read_again(tmp_path: Path, later: Callable[[], None]) -> None:
    memo = MemoryMemo()
    write_images(tmp_path, "cat/a.png", "cat/b.png")
    later()
    first = scan(tmp_path, memo)
    assert (memo.n_unknown, len(memo.known)) == (2, 2)
    (tmp_path / "cat").rename(tmp_path / "dog")  # the same inodes: still known
    again = scan(tmp_path, memo)
    assert memo.n_unknown == 2
    assert again.keys == first.keys


def test_a_changed_file_gets_a_new_key(tmp_path: Path, later: Callable[[], None]) -> None:
    memo = MemoryMemo()
    path = write_image(tmp_path / "cat" / "a.png", 1)
    later()
    before = scan(tmp_path, memo).keys
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as `cp -p` and tar would
    assert scan(tmp_path, memo).keys != before


def test_a_file_just_written_is_not_remembered(tmp_path: Path) -> None:
    memo = MemoryMemo()
    scan(write_images(tmp_path, "cat/a.png"), memo)
    assert memo.known == {}


def test_a_scan_can_be_repeated(tmp_path: Path) -> None:
    source = open_source(write_images(tmp_path, "cat/a.png", "dog/b.png"), SourceOptions())
    first = [block.table for block in source.scan(MemoryMemo())]
    second = [block.table for block in source.scan(MemoryMemo())]
    assert first == second
    assert source.payload(1) == (tmp_path / "dog/b.png").read_bytes()
    assert "2 images in 2 classes" in source.description


def test_a_photo_that_vanishes_after_the_scan_is_named(tmp_path: Path) -> None:
    found = scan(write_images(tmp_path, "cat/a.png", "cat/b.png"))
    (tmp_path / "cat" / "b.png").unlink()
    with pytest.raises(SampleError, match=r"cat/b\.png: the file is missing"):
        found.source.payload(1)


def test_options_for_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--text-column is for tables"):
        open_source(write_images(tmp_path, "a.png"), SourceOptions(text_column="text"))


def peak_of_a_scan(root: Path) -> int:
    source = open_source(root, SourceOptions())
    tracemalloc.start()
    for block in source.scan(KnowsAll()):
        assert not block.failures
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_a_scan_holds_no_python_object_for_each_file(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "cat"
    folder.mkdir(parents=True)
    peaks = []
    for start in (0, 8000):
        for number in range(start, start + 8000):
            (folder / f"{number:06d}.png").write_bytes(b"tiny")
        peaks.append(peak_of_a_scan(tmp_path / "images"))
    # A name and a DirEntry alone would be 300 bytes.
    assert (peaks[1] - peaks[0]) / 8000 < 200


def test_large_folders_come_in_blocks(tmp_path: Path) -> None:
    for name, n in (("a", 10), ("b", 9000), ("c", 20)):
        (tmp_path / name).mkdir()
        for number in range(n):
            (tmp_path / name / f"{number}.png").write_bytes(b"tiny" if number else b"")
    source = open_source(tmp_path, SourceOptions())
    blocks = list(source.scan(KnowsAll()))
    assert sum(block.table.num_rows for block in blocks) == 9027
    assert max(block.table.num_rows for block in blocks) <= 8192
    assert [failure.id for block in blocks for failure in block.failures] == ["a/0.png", "b/0.png", "c/0.png"]
    ids = [name for block in blocks for name in block.table.column("id").to_pylist()]
    assert ids == sorted(ids)
    assert source.payload(9026) == b"tiny"


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(names=st.sets(NAMES.filter(lambda name: not name.startswith(".")), min_size=1, max_size=5))
@settings(max_examples=examples(25), deadline=None)
def test_any_class_name_comes_back(names: set[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("any")
    for number, name in enumerate(names):
        write_image(root / "train" / name / "a.png", number)
    found = scan(root)
    assert set(found.column("label:label")) == {clean_label(name) for name in names}
    assert found.ids == sorted(f"train/{name}/a.png" for name in names)
    assert len(found.payloads()) == len(names)


def test_an_unknown_folder_beside_splits_is_refused_and_not_taken_for_a_class(tmp_path: Path) -> None:
    write_images(tmp_path, "train/cat/a.png", "test/cat/b.png", "eval/cat/c.png", "ood/cat/d.png")
    with pytest.raises(
        ConfigError, match=r"'ood' is no name of a split that is known; .*--split-map ood=none"
    ):
        scan(tmp_path)
    found = scan(tmp_path, split_map={"ood": "none"})
    assert found.by_id("split") == {
        "eval/cat/c.png": "validation",
        "test/cat/b.png": "test",
        "train/cat/a.png": "train",
    }
    assert "splits: 'eval' as validation, 'ood' left out" in found.source.description
    assert scan(tmp_path, split_map={"ood": "test"}).column("split").count("test") == 2
    write_images(tmp_path, "dev/cat/e.png")
    with pytest.raises(ConfigError, match="'dev' and 'eval' both mean validation"):
        scan(tmp_path, split_map={"ood": "none"})


def test_classes_in_two_forms_of_unicode_are_one(tmp_path: Path) -> None:
    write_images(tmp_path, "train/caf\u00e9/a.png", "test/cafe\u0301/b.png")
    assert scan(tmp_path).column("label:label") == ["caf\u00e9"] * 2
