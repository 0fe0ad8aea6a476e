"""WebDataset tars: members of a tar are samples, read at their places and never unpacked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from headstart.data import SourceOptions, open_source
from headstart.errors import ConfigError, DataError
from headstart.keys import key_of
from tests.data.conftest import MemoryMemo, scan
from tests.data.tars import SAMPLES, write_tar

pytest.importorskip("webdataset")


def test_a_sample_is_the_members_that_share_a_name(tmp_path: Path) -> None:
    found = scan(write_tar(tmp_path / "some.tar", SAMPLES))
    assert found.ids == ["some/0", "some/1"]
    assert found.column("origin") == ["some.tar:0.jpg", "some.tar:1.jpg"]
    assert found.payloads() == [b"one", b"two"]
    assert found.keys == [key_of("image", b"one"), key_of("image", b"two")]
    assert found.column("label:cls") == ["3", "10"]
    assert found.column("meta:licence") == ["cc", "by"]
    assert found.column("meta:width") == ["8", None]
    assert found.source.label_names == {"cls": ("3", "10")}
    assert found.source.label_kinds == {"cls": "single"}
    assert (found.source.rows_per_block, found.source.streams) == (1024, False)
    assert found.source.description == (
        "1 WebDataset tar, 2 samples: images in .jpg, labels in 'cls' (2 classes)"
    )


def test_endings_are_read_in_whatever_case(tmp_path: Path) -> None:
    found = scan(
        write_tar(tmp_path / "a.tar", {"./x/1.PNG": b"one", "./x/1.CLS": "cat\n", "x/2.JpEg": b"two"})
    )
    assert found.by_id("label:cls") == {"a/x/1": "cat", "a/x/2": None}
    assert found.payloads() == [b"one", b"two"]


def test_the_library_writes_what_is_read(tmp_path: Path) -> None:
    import webdataset

    with webdataset.TarWriter(str(tmp_path / "a.tar")) as writer:
        for number in range(3):
            writer.write(
                {"__key__": f"{number:04}", "png": bytes([number]) * 700, "cls": number, "json": {"a": 1}}
            )
    found = scan(tmp_path / "a.tar")
    assert found.payloads() == [bytes([number]) * 700 for number in range(3)]
    assert found.column("label:cls") == ["0", "1", "2"]


@pytest.mark.parametrize("layout", ["names", "folders"])
def test_names_of_tars_and_folders_say_splits(tmp_path: Path, layout: str) -> None:
    names = ["train-000.tar", "train-001.tar", "val-000.tar"]
    if layout == "folders":
        names = ["train/000.tar", "train/001.tar", "val/000.tar"]
    for number, name in enumerate(names):
        write_tar(tmp_path / "data" / name, {"a.jpg": bytes([number + 1])})
    found = scan(tmp_path / "data")
    assert sorted(found.ids) == sorted(f"{name[:-4]}/a" for name in names)
    by_name = {id_.rpartition("/")[0] + ".tar": split for id_, split in found.by_id("split").items()}
    assert [by_name[name] for name in names] == ["train", "train", "validation"]
    assert "splits: 'val' as validation" in found.source.description
    odd = "ood/000.tar" if layout == "folders" else "ood-000.tar"
    write_tar(tmp_path / "data" / odd, {"a.jpg": b"odd"})
    with pytest.raises(
        ConfigError, match=r"'ood' is no name of a split that is known; .*--split-map ood=none"
    ):
        scan(tmp_path / "data")
    assert len(scan(tmp_path / "data", split_map={"ood": "none"}).ids) == 3
    assert "test" in scan(tmp_path / "data", split_map={"ood": "test"}).column("split")


def test_a_pattern_in_braces_means_several_tars(tmp_path: Path) -> None:
    for number in range(3):
        write_tar(tmp_path / f"train-{number:03}.tar", {"a.jpg": bytes([number + 1])})
    assert scan(f"{tmp_path}/train-{{000..001}}.tar").ids == ["train-000/a", "train-001/a"]
    with pytest.raises(DataError, match=r"2 are missing: .*train-003.tar, …"):
        open_source(f"{tmp_path}/train-{{000..004}}.tar")
    with pytest.raises(DataError, match="braces do not match"):
        open_source(f"{tmp_path}/train-{{000..004.tar")


def test_labels_in_json_are_found_by_name(tmp_path: Path) -> None:
    said = [{"label": "cat", "url": "a", "nested": {}}, {"url": "b"}]
    members = {
        f"{n}.{end}": content
        for n in (0, 1)
        for end, content in (("jpg", "x"), ("json", json.dumps(said[n])))
    }
    tar = write_tar(tmp_path / "a.tar", members)
    found = scan(tar)
    assert found.column("label:label") == ["cat", None]
    assert found.column("meta:url") == ["a", "b"]
    assert "meta:nested" not in found.table.column_names
    assert scan(tar, label_columns=("url",)).column("label:url") == ["a", "b"]
    with pytest.raises(ConfigError, match=r"--label-column colour: .* only jpg, json, label, url, nested"):
        scan(tar, label_columns=("colour",))


@pytest.mark.parametrize(
    ("values", "kind", "labels"),
    [
        ([["a", "b"], [], None], "multi", [["a", "b"], [], None]),
        ([0.5, 2, None], "regression", [0.5, 2.0, None]),
        ([2, 0, None], "single", ["2", "0", None]),
    ],
)
def test_labels_may_be_lists_or_numbers(
    tmp_path: Path, values: list[Any], kind: str, labels: list[Any]
) -> None:
    members = {}
    for number, value in enumerate(values):
        members |= {f"{number}.jpg": "x", f"{number}.json": json.dumps({"label": value})}
    found = scan(write_tar(tmp_path / "a.tar", members))
    assert found.source.label_kinds == {"label": kind}
    assert found.column("label:label") == labels


def test_label_names_are_for_integers(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", {"0.jpg": b"x", "0.cls": "1"})
    assert scan(tar, label_names=("cat", "dog")).column("label:cls") == ["dog"]
    with pytest.raises(DataError, match=r"sample '0': the label is '1'"):
        scan(tar, label_names=("cat",))


def test_images_with_texts_must_be_chosen_from(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", {"0.jpg": b"x", "0.txt": "a cat", "1.jpg": b"y", "1.txt": "a dog"})
    with pytest.raises(ConfigError, match="--image-column jpg or --text-column txt, or pass both"):
        open_source(tar)
    images = scan(tar, image_column="jpg")
    assert images.payloads() == [b"x", b"y"]
    assert images.column("meta:txt") == ["a cat", "a dog"]
    texts = scan(tar, text_column="txt")
    assert texts.source.modality == "text"
    assert texts.keys == [key_of("text", "a cat"), key_of("text", "a dog")]
    for pairs in (scan(tar, image_column=".JPG", text_column="txt"), scan(tar, modality="image-text")):
        assert pairs.source.modality == "image-text"
        assert pairs.payloads() == [(b"x", "a cat"), (b"y", "a dog")]
        assert pairs.keys == [key_of("image-text", (b"x", "a cat")), key_of("image-text", (b"y", "a dog"))]


def test_with_a_class_the_text_is_only_told(tmp_path: Path) -> None:
    found = scan(write_tar(tmp_path / "a.tar", {"0.jpg": b"x", "0.txt": "a cat", "0.cls": "7"}))
    assert found.source.modality == "image"
    assert found.column("meta:txt") == ["a cat"]


def test_several_images_of_a_sample_must_be_chosen_from(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", {"0.left.png": b"x", "0.right.png": b"y"})
    with pytest.raises(ConfigError, match=r"\.left\.png, \.right\.png, as in '0'"):
        open_source(tar)
    assert scan(tar, image_column="right.png").payloads() == [b"y"]
    with pytest.raises(ConfigError, match=r"--image-column rigth.png: .* did you mean right.png\?"):
        open_source(tar, SourceOptions(image_column="rigth.png"))


def test_what_this_machine_has_met_is_neither_walked_nor_read_again(
    tmp_path: Path, later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tar(tmp_path / "a.tar", SAMPLES)
    later()
    memo = MemoryMemo()
    first = scan(path, memo)
    assert memo.n_unknown == 2

    def refuse(*_: Any) -> None:
        raise AssertionError("the tar was read")

    monkeypatch.setattr("os.pread", refuse)
    again = scan(path, memo)
    assert memo.n_unknown == 2
    assert again.table == first.table


def test_a_young_tar_is_not_remembered(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", SAMPLES)
    memo = MemoryMemo()
    scan(path, memo)
    scan(path, memo)
    assert memo.n_unknown == 4


def test_a_damaged_index_is_made_again(tmp_path: Path, later: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine"))
    path = write_tar(tmp_path / "a.tar", SAMPLES)
    later()
    first = scan(path)
    (stored,) = (tmp_path / "machine").rglob("*.npz")
    for damaged in (b"", b"PK\3\4", stored.read_bytes()[:-30], stored.read_bytes().replace(b"cls", b"clz")):
        stored.write_bytes(damaged)
        assert scan(path).table == first.table


def test_options_for_tables_are_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", SAMPLES)
    with pytest.raises(ConfigError, match="--id-column is for tables"):
        open_source(path, SourceOptions(id_column="licence"))


PROGRAM = """
import sys
from pathlib import Path
from headstart.cache.memos import FingerprintMemo
from headstart.data import open_source

source = open_source(sys.argv[1])
assert sum(block.table.num_rows for block in source.scan(FingerprintMemo(Path(sys.argv[2])))) == 2
source.payload(0), source.label_names, source.description
heavy = [name for name in ("torch", "pandas", "datasets", "webdataset", "PIL") if name in sys.modules]
assert not heavy, heavy
"""


def test_a_warm_run_imports_nothing_heavy(tmp_path: Path) -> None:
    for number in (0, 1):
        path = write_tar(tmp_path / "data" / f"train-{number}.tar", {"a.jpg": b"x", "a.cls": "1"})
    time.sleep(max(0.0, path.stat().st_ctime + 2.1 - time.time()))  # no longer young
    data = f"{tmp_path}/data/train-{{0..1}}.tar"
    for _ in ("cold", "warm"):
        command = [sys.executable, "-c", PROGRAM, data, str(tmp_path / "memo")]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("form", ["cls", "json", "json text"])
def test_minus_one_is_no_label_where_a_whole_split_holds_nothing_else(form: str, tmp_path: Path) -> None:
    def members(*labels: int | None) -> dict[str, bytes | str]:
        found: dict[str, bytes | str] = {}
        for number, label in enumerate(labels):
            found[f"{number}.jpg"] = f"picture {number} of {labels}"
            said = str(label) if form == "json text" and label is not None else label
            content = str(label) if form == "cls" else json.dumps({"label": said})
            if label is not None or form != "cls":
                found[f"{number}.{form.partition(' ')[0]}"] = content
        return found

    write_tar(tmp_path / "a" / "train-0.tar", members(0, 1, 0))
    write_tar(tmp_path / "a" / "test-0.tar", members(-1, None))
    write_tar(tmp_path / "a" / "test-1.tar", members(-1, -1))
    name = "label:cls" if form == "cls" else "label:label"
    found = scan(tmp_path / "a")
    assert found.column(name) == [None] * 4 + ["0", "1", "0"]
    assert "(2 classes, -1 taken for no label (test has nothing else))" in found.source.description
    # Beside other labels, or in train, it is a class: sentiments are -1, 0 and 1.
    write_tar(tmp_path / "a" / "test-2.tar", members(1))
    found = scan(tmp_path / "a")
    assert found.column(name) == ["-1", None, "-1", "-1", "1", "0", "1", "0"]
    assert "(3 classes, -1 among them)" in found.source.description
    write_tar(tmp_path / "b" / "train-0.tar", members(-1, 0, 1))
    write_tar(tmp_path / "b" / "test-0.tar", members(-1, -1))
    assert scan(tmp_path / "b").column(name) == ["-1", "-1", "-1", "0", "1"]
