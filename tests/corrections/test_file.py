"""Files of corrections as people and programs write them, and as they break."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pytest

from headstart.corrections.file import read_files
from headstart.errors import ConfigError, DataError

KEY, DIGEST = "0123456789abcdef" * 2, "0123456789abcdef"
HEADER = "key,id,label,old,new,action,note,digest"


def line(**changes: str) -> str:
    values = {
        "key": KEY, "id": "a.png", "label": "kind", "old": "cat", "new": "dog", "action": "relabel", "note": "",
        "digest": DIGEST,
    } | changes  # fmt: skip
    return ",".join(values.values())


def file(tmp_path: Path, *lines: str, between: str = "\n", start: bytes = b"") -> Path:
    path = tmp_path / "corrections.csv"
    path.write_bytes(start + between.join([*lines, ""]).encode())
    return path


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = file(
        tmp_path, HEADER, line(), line(id='"b, ""c""\nd.png"', new=" dog "), line(action="drop", new="")
    )
    (found,) = read_files(path)
    assert [row.id for row in found.rows] == ["a.png", 'b, "c"\nd.png', "a.png"]
    assert [row.new for row in found.rows] == ["dog", " dog ", ""]
    assert found.name == "corrections.csv"
    assert found.rows[2].place == f"{path}, line 5"


@pytest.mark.parametrize(
    ("between", "start"), [("\r\n", b""), ("\n", b"\xef\xbb\xbf"), ("\r\n", b"\xef\xbb\xbf")]
)
def test_bom_and_windows_line_ends_change_nothing(tmp_path: Path, between: str, start: bytes) -> None:
    (plain,) = read_files(file(tmp_path, HEADER, line()))
    (other,) = read_files(file(tmp_path, HEADER, line(), between=between, start=start))
    assert other.rows == plain.rows


@pytest.mark.parametrize("between", [";", "\t"])
def test_what_a_spreadsheet_writes_with_semicolons_or_tabs_is_the_same(tmp_path: Path, between: str) -> None:
    values = [KEY, "a,b.png", "kind", "cat", 'x "y"; z', "relabel", "", DIGEST]
    rows = [HEADER.split(","), values]
    path = tmp_path / "c.csv"
    with open(path, "w", newline="", encoding="utf-8-sig") as out:
        csv.writer(out, delimiter=between).writerows(rows)
    (found,) = read_files(path)
    assert (found.rows[0].id, found.rows[0].new, found.rows[0].digest) == ("a,b.png", 'x "y"; z', DIGEST)
    path.write_text(path.read_text("utf-8") + between.join([KEY, "a"]), "utf-8")
    with pytest.raises(
        DataError, match=r"line 3: 2 values where the header has 8; put values with (semicolons|tabs)"
    ):
        read_files(path)


def test_columns_may_stand_in_any_order_and_the_note_may_lack(tmp_path: Path) -> None:
    names = [name for name in reversed(HEADER.split(",")) if name != "note"]
    path = tmp_path / "c.csv"
    with open(path, "w", newline="") as out:
        writer = csv.writer(out)
        values = {
            "key": KEY,
            "id": "a",
            "label": "kind",
            "old": "",
            "new": "x",
            "action": "relabel",
            "digest": DIGEST,
        }
        writer.writerows([names, [values[name] for name in names]])
    (found,) = read_files(path)
    assert (found.rows[0].key, found.rows[0].note, found.rows[0].digest) == (KEY, "", DIGEST)


def test_blank_lines_and_no_rows_are_fine(tmp_path: Path) -> None:
    assert read_files(file(tmp_path, HEADER))[0].rows == ()
    (found,) = read_files(file(tmp_path, "", HEADER, "", line(), ""))
    assert [row.place.rpartition(" ")[2] for row in found.rows] == ["4"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "is empty"),
        (["key;id;label"], "no column 'key'"),
        (["id,label,old,new,action,note,digest"], "no column 'key'"),
        ([HEADER + ",key", line() + "," + KEY], "several columns 'key'"),
        ([HEADER, line(), line(key="12E+31")], "line 3: '12E\\+31' is no key"),
        ([HEADER, line(digest="x")], "line 2: 'x' is no digest"),
        ([HEADER, line(action="relable")], "line 2: there is no action 'relable'; did you mean 'relabel'"),
        ([HEADER, line(new="")], "line 2: relabel without a new label"),
        ([HEADER, line(action="keep")], "line 2: keep takes no new label"),
        ([HEADER, line() + ",more"], "line 2: 9 values where the header has 8"),
        ([HEADER, line(), KEY], "line 3: 1 values"),
        ([HEADER, line(id='"never closed')], "line 2: .*RFC 4180"),
        ([HEADER, line(id='"closed"more')], "line 2: .*RFC 4180"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line_with_its_place(
    tmp_path: Path, lines: list[str], said: str
) -> None:
    path = file(tmp_path, *lines) if lines else tmp_path / "corrections.csv"
    path.touch()
    with pytest.raises(DataError, match=said) as raised:
        read_files(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes(f"{HEADER}\n{line()}\n".encode() + line(new="café").encode("latin-1"))
    with pytest.raises(DataError, match="line 3: it is not UTF-8"):
        read_files(path)
    path.write_bytes(f"{HEADER}\n{line()}\n".encode("utf-16"))
    with pytest.raises(DataError, match="line 1: it is not UTF-8"):
        read_files(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_files(tmp_path / "none.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_files(tmp_path)
    broken = {name: ["x"] for name in HEADER.split(",")} | {
        "key": [KEY],
        "digest": [DIGEST],
        "id": ["\ud800"],
    }
    with pytest.raises(DataError, match="row 0: it holds half of a character"):
        read_files(pytest.importorskip("pandas").DataFrame(broken, dtype=object))
    with pytest.raises(ConfigError, match="got a int"):
        read_files(7)


def test_a_long_text_is_a_label_like_others(tmp_path: Path) -> None:
    (found,) = read_files(file(tmp_path, HEADER, line(new="x" * 300_000)))
    assert len(found.rows[0].new) == 300_000


def test_tables_of_a_program_say_the_same(tmp_path: Path) -> None:
    columns = {
        "key": [bytes.fromhex(KEY)] * 2, "id": ["a.png", "b.png"], "label": ["kind"] * 2, "old": ["cat", None],
        "new": ["dog", "dog"], "action": ["relabel"] * 2, "digest": [DIGEST] * 2,
    }  # fmt: skip
    (wanted,) = read_files(file(tmp_path, HEADER, line(), line(id="b.png", old="")))
    arrow = pa.table(columns | {"key": pa.array(columns["key"], pa.binary(16))})
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(columns | {"key": [KEY, KEY]})
    for table in (arrow, frame):
        (found,) = read_files([table])
        assert [row.key for row in found.rows] == [KEY, KEY]
        assert [(row.id, row.old, row.new) for row in found.rows] == [
            (row.id, row.old, row.new) for row in wanted.rows
        ]


def test_cells_of_a_table_may_be_numbers_and_lists() -> None:
    columns = {
        "key": [KEY] * 2, "id": ["a", "b"], "label": ["kind"] * 2, "old": [1.0, float("nan")],
        "new": [2.5, 3], "action": ["relabel"] * 2, "digest": [DIGEST] * 2,
    }  # fmt: skip
    pandas = pytest.importorskip("pandas")
    (found,) = read_files(pandas.DataFrame(columns))
    assert [(row.old, row.new) for row in found.rows] == [("1", "2.5"), ("", "3")]
    (found,) = read_files(pa.table(columns | {"old": [["a"], None], "new": [["a", "b"], []]}))
    assert [(row.old, row.new) for row in found.rows] == [('["a"]', '["a", "b"]'), ("", "[]")]
