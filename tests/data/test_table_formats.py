"""Every format that people hold tables in, compressed or not, with or without a header, in one file or in parts."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import feather

from headstart.errors import ConfigError, DataError
from tests.data.conftest import scan, write_image, write_table

TEXTS = ["so good a film", "so bad a film", "so long a film", "so short a film"]
LABELS = ["pos", "neg", "neg", "pos"]
ROWS = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
CSV = "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in ROWS)


def zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, "zstd", asbytes=True))


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def check(path: Path, **options: object) -> str:
    found = scan(path, **options)
    assert found.payloads() == TEXTS
    assert [found.column(name) for name in found.table.column_names if name.startswith("label:")] == [LABELS]
    return found.source.description


@pytest.mark.parametrize(
    ("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress), ("zst", zstd)]
)
def test_a_compressed_table_is_read(tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]) -> None:
    assert f"({ending if ending != 'gz' else 'gzip'}" in check(
        write(tmp_path / f"train.csv.{ending}", pack(CSV.encode()))
    )
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    check(write(tmp_path / f"t.jsonl.{ending}", pack(lines.encode())))
    plain = write_table(tmp_path / "t.parquet", {"text": TEXTS, "label": LABELS})
    check(write(tmp_path / f"t.parquet.{ending}", pack(plain.read_bytes())))
    check(write(tmp_path / "named-otherwise.csv", pack(CSV.encode())))
    with pytest.raises(DataError, match=r"cut\.csv cannot be (unpacked|read)"):
        scan(write(tmp_path / "cut.csv", pack(CSV.encode() * 50)[:-9]))


def test_xz_and_gzip_of_several_streams_are_read_to_the_end(tmp_path: Path) -> None:
    start, end = CSV[:30].encode(), CSV[30:].encode()
    for pack in (gzip.compress, lzma.compress, bz2.compress, zstd):
        check(write(tmp_path / "t.csv", pack(start) + pack(end)))


@pytest.mark.parametrize(
    "document",
    [
        ROWS,
        {"data": ROWS},
        {"version": 1, "about": {"by": "me"}, "n": [1, 2], "data": ROWS, "more": None},
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_json_of_objects_is_read(tmp_path: Path, document: object, indent: int | None) -> None:
    assert check(write(tmp_path / "t.json", json.dumps(document, indent=indent))).startswith("JSON, 4 rows")


def test_json_lines_are_read_under_any_name(tmp_path: Path) -> None:
    lines = "\n".join(map(json.dumps, ROWS))
    assert check(write(tmp_path / "t.json", lines)).startswith("JSONL, 4 rows")
    assert check(write(tmp_path / "t.jsonl", json.dumps(ROWS))).startswith("JSON, 4 rows")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"text": "a"}, 5]', "row 2: a string or number, not an object"),
        ('[{"text": "a"} {"text": "b"}]', "character 16: , is missing"),
        ('[{"text": "a"}', "character 15: , is missing"),
        ('[{"text": "a"}] x', "character 17: something follows its end"),
        ('[{"text": "a"}, {"text": "b]', "row 2 is not JSON"),
        ('{"a": [{"text": "a"}], "b": [{"text": "b"}]}', "two arrays of objects, 'a' and 'b'"),
        ('{"text": ["a"],\n "label": ["b"]}', 'no array of objects; .*orient="records"'),
        ("5", "begins with neither"),
    ],
)
def test_json_that_is_not_of_objects_is_named(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        scan(write(tmp_path / "t.json", content))


def test_a_long_json_array_is_read_in_parts(tmp_path: Path) -> None:
    rows = [{"text": f"{row} " + "x" * (300_000 if row == 5 else 40), "n": row} for row in range(20_000)]
    found = scan(write(tmp_path / "t.json", json.dumps(rows, ensure_ascii=False)))
    assert found.payloads() == [row["text"] for row in rows]
    assert found.column("meta:n")[-1] == "19999"


def test_numbers_dates_and_booleans_keep_their_writing(tmp_path: Path) -> None:
    line = '{"text": "a b", "n": 1.50, "big": 123456789012345678901234567890, "e": 1E5, "d": "2020-01-01", "b": true}'
    found = scan(write(tmp_path / "t.jsonl", line + "\n"))
    shown = [found.column(f"meta:{name}")[0] for name in ("n", "big", "e", "d", "b")]
    assert shown == ["1.50", "123456789012345678901234567890", "1E5", "2020-01-01", "true"]
    found = scan(write(tmp_path / "t.csv", "text,n,d\na b,007,01.10\n"))
    assert (found.column("meta:n"), found.column("meta:d")) == (["007"], ["01.10"])


@pytest.mark.parametrize("ending", ["arrow", "feather", "ipc"])
def test_arrow_and_feather_are_read(tmp_path: Path, ending: str) -> None:
    table = pa.table({"text": TEXTS, "label": pa.array(LABELS).dictionary_encode(), "n": [1, 2, 3, 4]})
    path = tmp_path / f"t.{ending}"
    if ending == "feather":
        feather.write_feather(table, path)
    else:
        writer = pa.ipc.new_file if ending == "ipc" else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as file, writer(file, table.schema) as out:
            out.write_table(table, max_chunksize=3)
    assert check(path).startswith("Arrow, 4 rows")
    write(tmp_path / f"cut.{ending}", path.read_bytes()[:-60])
    with pytest.raises(DataError, match="cut"):
        assert scan(tmp_path / f"cut.{ending}").payloads() == TEXTS


def test_images_lie_in_arrow_files_as_in_parquet(tmp_path: Path) -> None:
    contents = [write_image(tmp_path / f"{number}.png", number).read_bytes() for number in range(3)]
    table = pa.table(
        {"image": [{"bytes": content, "path": None} for content in contents], "label": list("abc")}
    )
    feather.write_feather(table, tmp_path / "t.arrow")
    found = scan(tmp_path / "t.arrow")
    assert (found.payloads(), found.column("label:label")) == (contents, list("abc"))


class TestTextFiles:
    """Text files, a sample a line."""

    def test_plain_texts(self, tmp_path: Path) -> None:
        found = scan(write(tmp_path / "t.txt", "one of them\n\n  two of them\nthree, of them"))
        assert found.payloads() == ["one of them", "  two of them", "three, of them"]
        assert found.ids == ["t:1", "t:3", "t:4"]
        assert (
            "text, a sample a line, 3 rows: texts in 'text', no labels; 1 blank line"
            in found.source.description
        )

    def test_fasttext_lines(self, tmp_path: Path) -> None:
        lines = "".join(f"__label__{label} {text}\n" for text, label in zip(TEXTS, LABELS, strict=True))
        assert check(write(tmp_path / "t.txt", lines)).startswith("fastText lines, 4 rows")
        found = scan(write(tmp_path / "m.txt", "__label__a __label__b one of\n__label__b two of\n"))
        assert found.column("label:label") == [["a", "b"], ["b"]]
        assert found.payloads() == ["one of", "two of"]

    def test_several_labels_that_come_late_are_several_labels(self, tmp_path: Path) -> None:
        lines = ["__label__a one of them"] * 20_000 + ["__label__a __label__b two of them"]
        found = scan(write(tmp_path / "t.txt", "\n".join(lines)))
        assert found.column("label:label")[-2:] == [["a"], ["a", "b"]]

    def test_a_line_without_the_label_that_others_have_is_named(self, tmp_path: Path) -> None:
        lines = ["__label__a one of them"] * 20_000 + ["two of them"]
        with pytest.raises(DataError, match="line 20,001: it does not begin with a label"):
            scan(write(tmp_path / "t.txt", "\n".join(lines)))

    def test_lines_that_begin_with_their_label(self, tmp_path: Path) -> None:
        trec = "DESC:manner How did it\nENTY:cremat What films are\nDESC:manner How does it\nENTY:cremat What is it\n"
        found = scan(write(tmp_path / "t.txt", trec))
        assert found.column("label:label") == ["DESC:manner", "ENTY:cremat"] * 2
        assert found.payloads()[0] == "How did it"
        assert "lines that begin with their label" in found.source.description
        found = scan(write(tmp_path / "u.txt", "The cat sat\nThe dog sat\nThe cow sat\nA hen sat\n"))
        assert found.payloads()[0] == "The cat sat"

    def test_lines_that_tabs_divide_are_a_table(self, tmp_path: Path) -> None:
        lines = "".join(f"{label}\t{text}\n" for text, label in zip(TEXTS, LABELS, strict=True))
        assert "separated by tabs" in check(write(tmp_path / "t.txt", lines))


class TestHeaders:
    """Whether the first row names the columns is found, said, and can be told."""

    def test_a_table_without_a_header_loses_no_row(self, tmp_path: Path) -> None:
        said = check(write(tmp_path / "t.csv", CSV.partition("\n")[2]))
        assert "no header: columns 'text', 'label'" in said

    def test_numbers_and_long_texts_are_no_header(self, tmp_path: Path) -> None:
        news = '"3","Wall St. Bears Claw Back","Short-sellers see green again"\n"4","Oil and Gas","Oil prices soar"\n'
        with pytest.raises(ConfigError, match="'column 2', 'column 3' could each be the text"):
            scan(write(tmp_path / "t.csv", news))
        found = scan(tmp_path / "t.csv", columns=("label", "title", "text"))
        assert found.column("label:label") == ["3", "4"]
        assert found.ids == ["t:1", "t:2"]

    def test_options_win(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", "Good One,x\nbad one,y\nbad two,y\n")
        assert scan(path, header=False, columns=("text", "label")).column("label:label") == ["x", "y", "y"]
        assert scan(path, header=True, columns=("text", "label")).payloads() == ["bad one", "bad two"]
        with pytest.raises(ConfigError, match=r"--columns names 1 columns, and .* has 2"):
            scan(path, columns=("text",))

    @pytest.mark.parametrize("option", [{"header": False}, {"columns": ("a",)}, {"delimiter": ";"}])
    def test_what_is_for_delimited_text_is_refused_elsewhere(
        self, tmp_path: Path, option: dict[str, object]
    ) -> None:
        with pytest.raises(ConfigError, match="is for CSV, TSV and text files"):
            scan(write_table(tmp_path / "t.parquet", {"text": ["a"]}), **option)
        write_image(tmp_path / "photos" / "a" / "a.png")
        with pytest.raises(ConfigError, match="is for tables"):
            scan(tmp_path / "photos", **option)

    @pytest.mark.parametrize(("given", "mark"), [("tab", "\t"), ("\\t", "\t"), ("space", " "), ("^", "^")])
    def test_a_delimiter_can_be_told(self, tmp_path: Path, given: str, mark: str) -> None:
        path = write(tmp_path / "t.csv", f"text{mark}label\nso,good{mark}x\n")
        assert scan(path, delimiter=given).payloads() == ["so,good"]
        with pytest.raises(ConfigError, match="--delimiter takes one character"):
            scan(path, delimiter="ab")

    def test_a_comma_in_texts_does_not_hide_the_delimiter(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", "text, as it is|label\none, two, three|x\nfour|y\n")
        assert scan(path, text_column="text, as it is").payloads() == ["one, two, three", "four"]


class TestParts:
    """Tables in several files."""

    def test_parts_that_are_numbered_are_one_table(self, tmp_path: Path) -> None:
        for number in range(3):
            write_table(tmp_path / f"part-{number:05}.parquet", {"text": [f"text {number}"], "label": ["x"]})
        found = scan(tmp_path)
        assert found.ids == [f"part-{number:05}:1" for number in range(3)]
        assert found.column("split") == [None] * 3

    def test_folders_of_parts_are_splits(self, tmp_path: Path) -> None:
        for split in ("train", "eval", "test"):
            for number in range(2):
                write_table(tmp_path / split / f"{number:04}.parquet", {"text": [f"{split} {number}"]})
        found = scan(tmp_path)
        assert found.by_id("split") == {
            "eval:1": "validation",
            "eval:2": "validation",
            "test:1": "test",
            "test:2": "test",
            "train:1": "train",
            "train:2": "train",
        } or set(found.column("split")) == {"train", "validation", "test"}
        assert "'eval' as validation" in found.source.description
        assert scan(f"{tmp_path}/*/*.parquet").by_id("split").keys() == found.by_id("split").keys()
        write_table(tmp_path / "extra" / "0000.parquet", {"text": ["more of it"]})
        with pytest.raises(
            ConfigError, match=r"'extra' is no name of a split that is known; .*--split-map extra=none"
        ):
            scan(tmp_path)
        assert len(scan(tmp_path, split_map={"extra": "none"}).ids) == 6

    def test_a_pattern_takes_what_it_matches(self, tmp_path: Path) -> None:
        for name in ("train-00000-of-00002", "train-00001-of-00002", "dev-00000-of-00001"):
            write_table(tmp_path / "data" / f"{name}.parquet", {"text": [f"text of {name}"]})
        assert scan(f"{tmp_path}/data/*.parquet").column("split") == ["validation", "train", "train"]
        assert len(scan(f"{tmp_path}/data/train*").ids) == 2
        with pytest.raises(DataError, match="no file matches the pattern"):
            scan(f"{tmp_path}/data/*.csv")
        write(tmp_path / "data" / "about.md", "x")
        with pytest.raises(DataError, match=r"matches about\.md, which is no table"):
            scan(f"{tmp_path}/data/*")


@pytest.mark.parametrize(
    "content", [CSV, json.dumps(ROWS), "\n".join(map(json.dumps, ROWS)), gzip.compress(CSV.encode())]
)
def test_a_table_comes_by_standard_input(monkeypatch: pytest.MonkeyPatch, content: str | bytes) -> None:
    raw = content if isinstance(content, bytes) else content.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    found = scan("-")
    assert (found.payloads(), found.column("label:label")) == (TEXTS, LABELS)
    assert found.ids[0] == "stdin:1"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(DataError, match="standard input is empty"):
        scan("-")
