"""Bad files and odd folders are named; what is good is kept."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from headstart.data import SourceOptions, open_source
from headstart.errors import ConfigError, DataError
from tests.data.conftest import MemoryMemo, scan, write_images


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_images(tmp_path / "photos", "cat/a.png", "dog/b.png")


def test_an_empty_file_is_a_permanent_failure(photos: Path) -> None:
    (photos / "cat" / "zero.png").touch()
    found = scan(photos)
    assert found.ids == ["cat/a.png", "dog/b.png"]
    assert [(f.id, f.reason, f.kind) for f in found.failures] == [("cat/zero.png", "empty file", "permanent")]


def test_a_dangling_link_is_tried_again_next_time(photos: Path) -> None:
    (photos / "cat" / "gone.png").symlink_to(photos / "nowhere.png")
    found = scan(photos)
    assert len(found.ids) == 2
    assert [(f.id, f.reason, f.kind) for f in found.failures] == [
        ("cat/gone.png", "the file is missing", "transient")
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_and_folder_are_transient_failures(photos: Path) -> None:
    (photos / "cat" / "a.png").chmod(0)
    (photos / "dog").chmod(0)
    try:
        found = scan(photos)
    finally:
        (photos / "dog").chmod(0o755)
    assert {f.id for f in found.failures} == {"cat/a.png", "dog/"}
    assert all(f.kind == "transient" and "Permission denied" in f.reason for f in found.failures)


def test_a_file_that_vanishes_while_it_is_scanned_is_a_transient_failure(photos: Path) -> None:
    class Thief(MemoryMemo):
        def lookup(self, fingerprints):  # type: ignore[no-untyped-def]
            (photos / "cat" / "a.png").unlink()
            return super().lookup(fingerprints)

    found = scan(photos, Thief())
    assert found.ids == ["dog/b.png"]
    assert [(f.id, f.reason, f.kind) for f in found.failures] == [
        ("cat/a.png", "the file is missing", "transient")
    ]


def test_a_folder_that_vanishes_while_it_is_scanned_is_named(photos: Path) -> None:
    source = open_source(photos, SourceOptions())
    (photos / "dog" / "b.png").unlink()
    (photos / "dog").rmdir()
    (photos / "dog").symlink_to(photos / "dog")
    blocks = list(source.scan(MemoryMemo()))
    assert sum(block.table.num_rows for block in blocks) == 1
    assert [f.id for block in blocks for f in block.failures] == ["dog"]


def test_a_name_that_is_not_utf8_is_a_permanent_failure(photos: Path) -> None:
    content = (photos / "cat" / "a.png").read_bytes()
    try:
        with open(os.fsencode(photos / "cat") + b"/caf\xe9.png", "wb") as file:
            file.write(content)
        os.mkdir(os.fsencode(photos) + b"/h\xf6hle")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = scan(photos)
    assert len(found.ids) == 2
    assert {(f.id, f.kind) for f in found.failures} == {
        ("cat/caf\\xe9.png", "permanent"),
        ("h\\xf6hle", "permanent"),
    }
    assert all("not UTF-8" in f.reason for f in found.failures)


def test_links_to_files_and_folders_are_followed(photos: Path) -> None:
    (photos / "fox").symlink_to(photos / "dog")
    (photos / "cat" / "c.png").symlink_to(photos / "dog" / "b.png")
    found = scan(photos)
    assert found.ids == ["cat/a.png", "cat/c.png", "dog/b.png", "fox/b.png"]
    assert len(set(found.keys)) == 2


def test_a_circle_of_links_ends(photos: Path) -> None:
    (photos / "cat" / "up").symlink_to(photos)
    (photos / "dog" / "self").symlink_to(photos / "dog")
    found = scan(photos)
    assert found.ids == ["cat/a.png", "dog/b.png"]
    assert "2 files ignored, links to a folder above them (cat/up/, dog/self/)" in found.source.description


def test_a_very_deep_folder_is_walked(tmp_path: Path) -> None:
    root = tmp_path / "deep"
    write_images(root, "cat/a.png")
    here = os.getcwd()
    try:
        os.chdir(root / "cat")
        for _ in range(1200):
            os.mkdir("d")
            os.chdir("d")
        with open("x.png", "wb") as file:
            file.write(b"deep")
    finally:
        os.chdir(here)
    try:
        found = scan(root)
        assert len(found.ids) == 2
        assert found.payloads()[1] == b"deep"
    finally:
        subprocess.run(["rm", "-rf", root], check=True)  # deeper than pytest can tidy away


def test_something_that_is_neither_file_nor_folder_does_not_stop_the_scan(photos: Path) -> None:
    os.mkfifo(photos / "cat" / "pipe.png")
    found = scan(photos)
    assert len(found.ids) == 2
    assert [f.id for f in found.failures] == ["cat/pipe.png"]


def test_only_bad_files_give_only_failures(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").touch()
    found = scan(tmp_path)
    assert found.table.num_rows == 0
    assert len(found.failures) == 1


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.pdf", "README"):
        (tmp_path / name).write_text("?")
    with pytest.raises(DataError, match=r"2 \.txt, 1 \.pdf, 1 no ending"):
        scan(tmp_path)


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        scan(tmp_path)


def test_streaming_is_for_the_hub(photos: Path) -> None:
    with pytest.raises(ConfigError, match="--streaming is for hf: data sets"):
        open_source(photos, SourceOptions(streaming=True))
    open_source(photos, SourceOptions(streaming=False))
