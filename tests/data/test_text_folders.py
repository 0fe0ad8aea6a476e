"""Class folders of text files: one text a file, and what is no text is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.errors import ConfigError, DataError, SampleError
from headstart.keys import key_of
from tests.data.conftest import MemoryMemo, scan


def write_texts(root: Path, *names: str, encoding: str = "utf-8") -> Path:
    """Texts of these names, each another."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(f"the text of {name}, très\r\nshort\n".encode(encoding))
    return root


def test_each_file_is_a_text_and_its_folder_the_class(tmp_path: Path) -> None:
    found = scan(write_texts(tmp_path, "neg/1.txt", "pos/2.TXT", "pos/3.text"))
    assert found.ids == found.column("origin") == ["neg/1.txt", "pos/2.TXT", "pos/3.text"]
    assert found.column("label:label") == ["neg", "pos", "pos"]
    assert found.source.modality == "text"
    assert found.payloads() == [(tmp_path / name).read_bytes().decode() for name in found.ids]
    assert found.keys == [key_of("text", text) for text in found.payloads()]
    assert found.source.description == "class folders of texts: 3 texts in 2 classes"


def test_reviews_without_a_sentiment_have_no_label_and_lists_of_files_are_no_reviews(tmp_path: Path) -> None:
    write_texts(tmp_path, "train/pos/0_9.txt", "train/neg/0_2.txt", "test/pos/0_9.txt", "test/neg/0_1.txt")
    write_texts(tmp_path, "train/unsup/0_0.txt", "train/urls_pos.txt", "README", "imdbEr.txt", "train/x.feat")
    found = scan(tmp_path)
    assert found.by_id("label:label")["train/unsup/0_0.txt"] is None
    assert "unsup" not in found.column("label:label")
    assert len(found.ids) == 5
    assert "'unsup' taken for no label (1 text)" in found.source.description
    assert found.source.ignored == {
        "beside the class folders": 1,
        "other": 2,
        "outside the split folders": 1,
    }
    write_texts(tmp_path, "test/unsup/1.txt")  # now it is a class like others
    assert scan(tmp_path).by_id("label:label")["train/unsup/0_0.txt"] == "unsup"


@pytest.mark.parametrize(
    ("names", "said"), [(("49960", "51060"), "numbers"), (("first", "second"), "no ending")]
)
def test_texts_may_have_names_without_an_ending(names: tuple[str, str], said: str, tmp_path: Path) -> None:
    write_texts(tmp_path, *(f"{topic}/{name}" for topic in ("alt.atheism", "sci.space") for name in names))
    write_texts(tmp_path, "sci.space/notes.md", "README")
    found = scan(tmp_path)
    assert found.column("label:label") == ["alt.atheism"] * 2 + ["sci.space"] * 2
    assert said in found.source.description
    assert found.source.ignored == {"other": 2}


def test_a_text_in_another_encoding_is_named_with_the_option_that_reads_it(
    tmp_path: Path, later: Callable[[], None]
) -> None:
    write_texts(tmp_path, "a/1.txt", "b/2.txt")
    write_texts(tmp_path, "a/3.txt", encoding="latin-1")
    later()
    memo = MemoryMemo()
    found = scan(tmp_path, memo)
    assert found.ids == ["a/1.txt", "b/2.txt"]
    assert [(f.id, f.reason) for f in found.failures] == [
        ("a/3.txt", "the text is not utf-8; pass --encoding latin-1 (or what it was written in)")
    ]
    again = scan(tmp_path, memo, encoding="latin-1")
    assert again.payloads()[1] == "the text of a/3.txt, très\r\nshort\n"
    assert again.keys == [key_of("text", text) for text in again.payloads()]  # not those of another encoding


def test_empty_and_blank_and_missing_texts_are_named(tmp_path: Path) -> None:
    write_texts(tmp_path, "a/1.txt", "b/2.txt")
    (tmp_path / "a" / "empty.txt").touch()
    (tmp_path / "a" / "blank.txt").write_text(" \n")
    (tmp_path / "a" / "gone.txt").symlink_to(tmp_path / "nowhere")
    found = scan(tmp_path)
    assert {f.id: f.reason for f in found.failures} == {
        "a/empty.txt": "empty file",
        "a/blank.txt": "the text is empty",
        "a/gone.txt": "the file is missing",
    }
    (tmp_path / "a" / "1.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(SampleError, match="not utf-8"):
        found.source.payload(0)


def test_a_mark_at_the_start_belongs_to_no_text(tmp_path: Path) -> None:
    write_texts(tmp_path, "a/1.txt", "b/2.txt")
    (tmp_path / "a" / "1.txt").write_bytes("\ufefffine".encode())
    assert scan(tmp_path).payloads()[0] == "fine"


def test_texts_in_one_place_have_no_labels(tmp_path: Path) -> None:
    found = scan(write_texts(tmp_path, "1.txt", "2.txt"))
    assert found.source.description == "texts without classes: 2 texts"
    assert scan(write_texts(tmp_path / "s", "train/1.txt", "dev/2.txt")).column("split") == [
        "validation",
        "train",
    ]


def test_files_of_many_kinds_are_no_texts(tmp_path: Path) -> None:
    write_texts(tmp_path, "a/1.txt", "a/2.py", "b/3.py", "b/4.cfg")
    with pytest.raises(DataError, match=r"2 \.py, 1 \.cfg, 1 \.txt"):
        scan(tmp_path)
    (tmp_path / "bin" / "a").mkdir(parents=True)
    for name in ("x", "y"):
        (tmp_path / "bin" / "a" / name).write_bytes(b"\x80\0\1")
    with pytest.raises(DataError, match="2 no ending"):
        scan(tmp_path / "bin")


def test_options_for_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--text-column is for tables, but .* holds texts"):
        scan(write_texts(tmp_path, "a/1.txt", "b/2.txt"), text_column="text")


def test_names_in_other_forms_of_unicode_are_one_class_and_two_texts(tmp_path: Path) -> None:
    write_texts(tmp_path, "caf\u00e9/1.txt", "cafe\u0301/1.txt")
    found = scan(tmp_path)
    if len(os.listdir(tmp_path)) == 1:
        pytest.skip("this file system keeps one form")
    assert found.column("label:label") == ["caf\u00e9"] * 2
    assert len(set(found.ids)) == 2


def test_class_folders_beside_a_table_are_refused(tmp_path: Path) -> None:
    write_texts(tmp_path, "train/a/1.txt", "train/b/2.txt", "test/a/3.txt", "train.txt")
    with pytest.raises(ConfigError, match=r"both class folders of texts \(a, b\) and tables \(train\.txt\)"):
        scan(tmp_path)
    assert len(scan(tmp_path / "train.txt").ids) == 2


def test_one_text_alone_is_read_by_its_path(tmp_path: Path) -> None:
    write_texts(tmp_path, "corpus.txt")
    with pytest.raises(DataError, match="to read it as a sample a line, pass the path of the file itself"):
        scan(tmp_path)


def test_links_out_of_the_folder_are_followed_and_named(tmp_path: Path) -> None:
    root = write_texts(tmp_path / "data", "a/1.txt", "b/2.txt")
    write_texts(tmp_path / "elsewhere", "3.txt")
    (root / "c").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "0.txt").symlink_to(root / "b" / "2.txt")
    found = scan(root)
    assert found.ids == ["a/0.txt", "a/1.txt", "b/2.txt", "c/3.txt"]
    assert "1 link out of the folder followed (c)" in found.source.description
