"""Bad tables give one clear line, and bad rows are named while the good ones are kept."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data import open_source
from headstart.data.options import SourceOptions
from headstart.errors import ConfigError, DataError, HeadstartError
from tests.data.conftest import scan, write_image, write_table

from ..variants import examples


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


class TestEncoding:
    """Files that are not written in UTF-8."""

    @pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
    def test_a_byte_order_mark_is_no_part_of_the_header(self, tmp_path: Path, name: str) -> None:
        content = {"t.csv": "text,label\na,x\n", "t.jsonl": '{"text": "a", "label": "x"}\n'}[name]
        found = scan(write(tmp_path / name, b"\xef\xbb\xbf" + content.encode()))
        assert found.payloads() == ["a"]
        assert found.column("label:label") == ["x"]

    @pytest.mark.parametrize(
        ("name", "content", "place"),
        [
            ("t.csv", "text,label\na,x\ncafé,y\n", r"byte 18, in line 3"),
            ("café.csv", "text,label\n" + "a,x\n" * 300_000 + "é,y\n", r"byte 1,200,011, in line 300,002"),
            ("t.jsonl", '{"text": "a"}\n{"text": "é"}\n', r"byte 24, in line 2"),
            ("header.csv", "texté,label\na,x\n", r"byte 4, in line 1"),
        ],
    )
    def test_a_wrong_encoding_says_where_and_what_to_pass(
        self, tmp_path: Path, name: str, content: str, place: str
    ) -> None:
        path = write(tmp_path / name, content.encode("latin-1"))
        with pytest.raises(DataError, match=rf"{name} is not utf-8: {place}.* --encoding latin-1"):
            scan(path)

    @pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252"])
    @pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
    def test_the_encoding_passed_is_used(self, tmp_path: Path, name: str, encoding: str) -> None:
        content = {"t.csv": "text,label\ncafé,é\n", "t.jsonl": '{"text": "café", "label": "é"}\n'}[name]
        found = scan(write(tmp_path / name, content.encode(encoding)), encoding=encoding)
        assert found.payloads() == ["café"]
        assert found.column("label:label") == ["é"]

    def test_utf16_is_recognised(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", "text,label\na,x\n".encode("utf-16"))
        with pytest.raises(DataError, match="pass --encoding utf-16"):
            scan(path)

    def test_a_wrong_other_encoding_is_named(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", "text,label\né,x\n")
        with pytest.raises(DataError, match="is not ascii: byte 11, in line 2"):
            scan(path, encoding="ascii")

    @pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
    def test_utf16_without_its_mark_is_named(self, tmp_path: Path, name: str) -> None:
        path = write(tmp_path / name, '{"text": "a"}\n')
        with pytest.raises(DataError, match=rf"{name} is not utf-16: .* cannot be decoded; pass --encoding"):
            scan(path, encoding="utf-16")

    @pytest.mark.parametrize("encoding", ["utf-9", "hex", "a\0b", ""])
    def test_an_unknown_encoding_is_a_wrong_option(self, tmp_path: Path, encoding: str) -> None:
        with pytest.raises(ConfigError, match="there is no encoding"):
            scan(write(tmp_path / "t.csv", "text,label\na,x\n"), encoding=encoding)


class TestFiles:
    """Files that are not what their ending says."""

    @pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.parquet"])
    def test_an_empty_file_is_named(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(DataError, match=name):
            scan(write(tmp_path / name, b""))

    @pytest.mark.parametrize("content", ["\n\n\n", "text,label\n", "text,label"])
    def test_a_file_without_rows_is_named(self, tmp_path: Path, content: str) -> None:
        with pytest.raises(DataError, match=r"t\.csv (is empty|holds no rows)"):
            scan(write(tmp_path / "t.csv", content))

    def test_parquet_without_rows_is_named(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "t.parquet")
        with pytest.raises(DataError, match="holds no rows"):
            scan(tmp_path / "t.parquet")

    @pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.99])
    def test_truncated_parquet_is_named(self, tmp_path: Path, share: float) -> None:
        path = write_table(tmp_path / "t.parquet", {"text": ["a b c"] * 1000, "label": ["x"] * 1000})
        content = path.read_bytes()
        write(path, content[: int(len(content) * share)])
        with pytest.raises(DataError, match=r"t\.parquet cannot be read: .*cut short"):
            scan(path)

    @pytest.mark.parametrize("column", ["text", "label", "other"])
    def test_a_parquet_text_that_is_no_utf8_is_named(self, tmp_path: Path, column: str) -> None:
        columns = {
            name: pa.array([f"{name} {row}" for row in range(4)]) for name in ("text", "label", "other")
        }
        cells = [b"good", b"good", b"caf\xe9", None]
        columns[column] = pa.array(cells, pa.binary()).view(pa.string())
        pq.write_table(pa.table(columns), tmp_path / "t.parquet")
        with pytest.raises(DataError, match=rf"t.parquet, row 3: the text in column '{column}' is not UTF-8"):
            scan(tmp_path / "t.parquet")

    def test_a_name_given_to_two_columns_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="more than one column named 'text'"):
            scan(write(tmp_path / "t.csv", "text,label,text\na,b,c\n"))
        column = pa.array(["a"])
        pq.write_table(pa.Table.from_arrays([column, column], names=["text", "text"]), tmp_path / "t.parquet")
        with pytest.raises(DataError, match="more than one column named 'text'"):
            scan(tmp_path / "t.parquet")

    def test_a_column_without_a_name_gets_one(self, tmp_path: Path) -> None:
        found = scan(write(tmp_path / "t.csv", ",text,label\n0,a,x\n"))
        assert found.column("meta:column 1") == ["0"]

    def test_semicolons_are_understood_and_said(self, tmp_path: Path) -> None:
        found = scan(write(tmp_path / "t.csv", 'text;label\n"a; b, c";x\n'))
        assert found.payloads() == ["a; b, c"]
        assert "CSV separated by semicolons" in found.source.description

    def test_a_wrong_delimiter_that_leaves_no_row_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"no rows that can be read \(row 1: 3 values where the header has 2\)"
        ):
            scan(write(tmp_path / "t.csv", "text,label\na,b,c\n"))

    def test_a_quote_that_is_never_closed_swallows_no_row(self, tmp_path: Path) -> None:
        found = scan(write(tmp_path / "t.csv", 'text,label\na,x\n"b,y\nc,z\n'))
        assert found.payloads() == ["a", '"b', "c"]
        assert "quotes taken literally (line 3: a quote is never closed" in found.source.description
        found = scan(tmp_path / "t.csv", quoting="double")
        assert "1 values where the header has 2, as if a quote were never closed" in found.failures[0].reason
        endless = 'text,label\na,x\n"' + "b,y,z\n" * 300_000
        with pytest.raises(DataError, match=r"line 3: a quote is never closed, and taken literally .*row 2"):
            scan(write(tmp_path / "long.csv", endless))

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ('{"text": "b"', "line 2: not JSON"),
            ("[1, 2]", "line 2: a list, not an object"),
            ('{"text": ' + "[" * 100_000, "line 2: not JSON"),
        ],
    )
    def test_a_line_that_is_not_json_is_named(self, tmp_path: Path, line: str, reason: str) -> None:
        with pytest.raises(DataError, match=reason):
            scan(write(tmp_path / "t.jsonl", f'{{"text": "a"}}\n{line}\n'))

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_that_may_not_be_read_is_named(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", "text,label\na,x\n")
        path.chmod(0)
        with pytest.raises(DataError, match="Permission denied"):
            scan(path)

    def test_a_file_name_that_is_not_utf8_is_printable(self, tmp_path: Path) -> None:
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv"))
        try:
            write(path, "text,label\na,x\n")
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
        with pytest.raises(DataError, match=r"caf\\xe9\.csv: the file's name is not UTF-8"):
            scan(path)


class TestRows:
    """Rows that are no samples."""

    @pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
    def test_an_empty_text_is_a_permanent_failure(self, tmp_path: Path, ending: str) -> None:
        columns = {"text": ["a", "", " \t", None, "b"], "label": ["x"] * 5}
        found = scan(write_table(tmp_path / f"t{ending}", columns))
        assert found.payloads() == ["a", "b"]
        assert [(f.id, f.reason, f.kind) for f in found.failures] == [
            (f"t:{row}", "the text is empty", "permanent") for row in (2, 3, 4)
        ]

    def test_half_a_pair_is_a_permanent_failure(self, tmp_path: Path) -> None:
        columns = {"premise": ["a", "", "c"], "hypothesis": ["b", "b", " "]}
        found = scan(write_table(tmp_path / "t.csv", columns))
        assert found.payloads() == [("a", "b")]
        assert [f.reason for f in found.failures] == [
            "the first text of the pair is empty",
            "the second text of the pair is empty",
        ]

    def test_half_a_surrogate_pair_is_named(self, tmp_path: Path) -> None:
        found = scan(
            write(tmp_path / "t.jsonl", '{"text": "a"}\n{"text": "\\ud83d"}\n{"text": "\\ud83d\\ude00"}\n')
        )
        assert found.payloads() == ["a", "\U0001f600"]
        assert [(f.id, f.kind) for f in found.failures] == [("t:2", "permanent")]
        with pytest.raises(DataError, match="surrogate"):
            scan(write(tmp_path / "u.jsonl", '{"text": "\\ud83d"}\n'))

    def test_a_nul_is_a_character_like_any_other(self, tmp_path: Path) -> None:
        assert scan(write(tmp_path / "t.csv", "text,label\na\0b,x\n")).payloads() == ["a\0b"]
        assert scan(write(tmp_path / "t.jsonl", '{"text": "a\\u0000b"}\n')).payloads() == ["a\0b"]

    def test_columns_that_change_their_type_are_strings(self, tmp_path: Path) -> None:
        lines = '{"text": "2020-01-01", "label": 1}\n{"text": 5, "label": "x", "more": {"a": 1}}\n'
        found = scan(write(tmp_path / "t.jsonl", lines))
        assert found.payloads() == ["2020-01-01", "5"]
        assert found.column("label:label") == ["1", "x"]
        assert "columns left out: 'more' (structs)" in found.source.description

    @pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
    @pytest.mark.parametrize(
        ("column", "value", "kind"),
        [("labels", {"a": 1}, "structs"), ("text", ["a b", "c"], "lists"), ("text", {"a": 1}, "structs")],
    )
    def test_a_column_that_cannot_play_its_role_is_named(
        self, tmp_path: Path, ending: str, column: str, value: object, kind: str
    ) -> None:
        columns = {"text": ["a"], "labels": ["x"]} | {column: [value]}
        path = write_table(tmp_path / f"t{ending}", columns)
        with pytest.raises(DataError, match=rf"'{column}' holds {kind}, which cannot be used there"):
            scan(path)

    def test_a_list_within_a_list_is_no_label(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.parquet", {"text": ["a"], "labels": [[["x"]]]})
        with pytest.raises(DataError, match="'labels' holds lists of list"):
            scan(path)
        assert scan(path, labels=False).payloads() == ["a"]

    def test_bytes_are_no_text(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.parquet", {"text": [b"abc"], "label": ["x"]})
        with pytest.raises(DataError, match="'text' holds bytes"):
            scan(path, text_column="text")

    def test_a_text_of_a_million_characters_is_a_text(self, tmp_path: Path) -> None:
        text = "word " * 200_000
        for ending in (".csv", ".jsonl", ".parquet"):
            path = write_table(tmp_path / f"t{ending}", {"text": [text, "b c"], "label": ["x", "y"]})
            assert scan(path).payloads() == [text, "b c"]

    def test_ids_that_are_not_unique_are_named(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", {"text": list("abc"), "nr": ["7", "8", "7"]})
        with pytest.raises(DataError, match=r"t\.csv, row 1: the id '7' in column 'nr' is not unique"):
            scan(path, id_column="nr")

    def test_an_empty_id_is_named(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", {"text": list("abc"), "nr": ["7", "", "9"]})
        with pytest.raises(DataError, match=r"t\.csv, row 2: the id in column 'nr' is empty"):
            scan(path, id_column="nr")

    def test_a_value_that_is_no_split_is_named(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", {"text": list("abc"), "part": ["train", "test", "tset"]})
        with pytest.raises(DataError, match=r"t\.csv, row 3: 'tset' in the split column 'part' is no split"):
            scan(path, split_column="part")

    def test_a_column_of_splits_and_others_is_not_left_aside(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", "text,label,split\na,x,train\nb,y,test\nc,x,extra\nd,x,\n")
        with pytest.raises(
            ConfigError, match=r"'split' holds 'train', which is a split, and 'extra'.*--split-map extra=test"
        ):
            scan(path)
        found = scan(path, split_map={"extra": "none"})
        assert found.by_id("split") == {"t:1": "train", "t:2": "test", "t:4": None}
        assert found.payloads() == ["a", "b", "d"]
        assert not found.failures
        both = write(tmp_path / "b.csv", "text,label,split\na,x,dev\nb,y,val\n")
        with pytest.raises(
            ConfigError, match="the split column 'split': 'dev' and 'val' both mean validation"
        ):
            scan(both)
        other = write(tmp_path / "u.csv", "text,label,fold\na,x,1\nb,y,2\n")
        assert scan(other).column("split") == [None, None]

    @pytest.mark.parametrize("label", ["2", "-1", "cat"])
    def test_a_label_without_a_name_is_named(self, tmp_path: Path, label: str) -> None:
        path = write_table(tmp_path / "t.csv", {"text": list("abc"), "label": ["0", "1", label]})
        with pytest.raises(DataError, match=rf"t\.csv, row 3: the label is '{label}', .* 0 to 1"):
            scan(path, label_names=("a", "b"))

    def test_label_names_need_one_label_column(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", {"text": ["a"], "one": ["0"], "two": ["1"]})
        for columns in (None, ("one", "two")):
            with pytest.raises(ConfigError, match="the label names are for one column"):
                scan(path, label_names=("a", "b"), label_columns=columns)


class TestFolders:
    """Folders that hold more than one thing."""

    def test_images_beside_tables_ask_which(self, tmp_path: Path) -> None:
        write_image(tmp_path / "cat" / "a.png")
        write_table(tmp_path / "labels.csv", {"file_name": ["cat/a.png"], "label": ["x"]})
        with pytest.raises(ConfigError, match=r"both images and tables \(labels\.csv\).*labels\.csv\)"):
            scan(tmp_path)
        assert scan(tmp_path / "labels.csv").column("label:label") == ["x"]
        assert scan(tmp_path, image_column="file_name").source.modality == "image"

    def test_several_tables_not_named_by_split_ask_which(self, tmp_path: Path) -> None:
        for name in ("a.csv", "b.csv"):
            write_table(tmp_path / name, {"text": ["a"]})
        with pytest.raises(ConfigError, match=r"2 tables, none named by split \(a\.csv, b\.csv\)"):
            scan(tmp_path)

    def test_a_split_in_two_formats_asks_which(self, tmp_path: Path) -> None:
        for name in ("train.csv", "train.jsonl"):
            write_table(tmp_path / name, {"text": ["a"]})
        with pytest.raises(ConfigError, match=r"train\.csv and train\.jsonl, one split twice"):
            scan(tmp_path)

    def test_a_file_without_the_text_column_is_named(self, tmp_path: Path) -> None:
        write_table(tmp_path / "train.csv", {"text": ["a"], "label": ["x"]})
        write_table(tmp_path / "test.csv", {"sentence": ["b"], "label": ["x"]})
        with pytest.raises(ConfigError, match=r"test\.csv has no column 'text', only 'sentence', 'label'"):
            scan(tmp_path)

    def test_a_missing_path_names_the_nearest(self, tmp_path: Path) -> None:
        write_table(tmp_path / "train.csv", {"text": ["a"]})
        with pytest.raises(DataError, match=r"no file or folder .*did you mean .*/train\.csv\?"):
            scan(tmp_path / "trian.csv")

    @pytest.mark.parametrize("name", ["x\0y", "~nobody-of-this-name/x", "a" * 5000])
    def test_an_impossible_path_is_one_line(self, name: str) -> None:
        with pytest.raises(DataError):
            scan(name)

    def test_a_file_of_another_kind_says_what_can_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"notes\.doc cannot be read as data; headstart reads .*\.parquet"
        ):
            scan(write(tmp_path / "notes.doc", "hello"))

    def test_tables_further_down_are_pointed_at(self, tmp_path: Path) -> None:
        write_table(tmp_path / "data" / "train.csv", {"text": ["a"]})
        with pytest.raises(DataError, match=r"1 \.csv; pass the folder that holds the tables itself"):
            scan(tmp_path)


@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.text("text,label\n\"'\t;{}[]:\\u d0é\0", max_size=100).map(
            lambda text: f"text,label\n{text}".encode()
        ),
        st.text('text,label\n"{}[]:\\ud1', max_size=60).map(lambda text: f'{{"text": "a"}}\n{text}'.encode()),
    ),
    ending=st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]),
)
@settings(max_examples=examples(300), deadline=None)
def test_no_content_makes_anything_but_a_clear_error(
    content: bytes, ending: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{ending}"
    path.write_bytes(content)
    with suppress(HeadstartError):
        found = scan(path)
        assert len(found.payloads()) == found.table.num_rows


QUESTION = {"context": "Paris is a capital.", "question": "What is Paris?"}
OTHER_TASKS: dict[str, tuple[dict[str, object], str]] = {
    "answers anywhere": (
        {**QUESTION, "answers": {"text": ["a capital"]}},
        "'question' and 'answers' are questions with answers that do not say where",
    ),
}


@pytest.mark.parametrize("name", OTHER_TASKS)
def test_what_another_task_is_made_of_is_refused_by_name(name: str, tmp_path: Path) -> None:
    row, said = OTHER_TASKS[name]
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(json.dumps({"id": number, **row}) for number in range(6)), "utf-8")
    with pytest.raises(DataError, match=f"{said}.*does not learn yet"):
        open_source(str(path), SourceOptions())


def test_a_named_column_of_it_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    rows = [{**QUESTION, "answers": {"text": ["a capital"]}} for _ in range(6)]
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert open_source(str(path), SourceOptions(text_column="question")).modality == "text"
