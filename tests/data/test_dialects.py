"""No table loses, merges or moves a row in silence: quotes, NULs and line ends are read as said, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.errors import ConfigError, DataError
from tests.data.conftest import scan

TEXTS = [f"the film was {'good' if row % 2 else 'bad'} in part {row}" for row in range(40)]
LABELS = [("neg", "pos")[row % 2] for row in range(40)]


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8"))
    return path


def table(mark: str, quoted: tuple[int, ...], end: str = "\n") -> str:
    rows = zip(TEXTS, LABELS, strict=True)
    lines = ((('"' if row in quoted else "") + text + mark + label) for row, (text, label) in enumerate(rows))
    return end.join(["text" + mark + "label", *lines, ""])


@pytest.mark.parametrize(
    ("name", "mark", "quoted"),
    [
        ("two.tsv", "\t", (6, 20)),
        ("two.csv", ",", (6, 20)),
        ("one.tsv", "\t", (30,)),
        ("one.csv", ",", (30,)),
    ],
)
def test_a_quote_at_the_start_of_a_cell_swallows_no_row(
    tmp_path: Path, name: str, mark: str, quoted: tuple[int, ...]
) -> None:
    found = scan(write(tmp_path / name, table(mark, quoted)))
    assert found.payloads() == [('"' if row in quoted else "") + text for row, text in enumerate(TEXTS)]
    assert found.column("label:label") == LABELS
    assert f"quotes taken literally (line {quoted[0] + 2}: " in found.source.description


def test_rows_between_a_quote_that_opens_and_one_that_closes_are_not_merged(tmp_path: Path) -> None:
    lines = table(",", ()).split("\n")
    lines[7], lines[20] = f'"{lines[7]}', lines[20].replace(",", '",')
    path = write(tmp_path / "t.csv", "\n".join(lines))
    with pytest.raises(
        DataError, match=r"t\.csv, row 7: the 14 lines of a quoted cell look like rows .*--quoting none"
    ):
        scan(path)
    assert scan(path, quoting="none").table.num_rows == 40
    found = scan(path, quoting="double")
    assert found.table.num_rows == 27
    assert "1 cell of several lines (the longest has 14, in row 7;" in found.source.description


def test_cells_of_several_lines_are_read_and_said(tmp_path: Path) -> None:
    poem = "Roses are red,\nviolets are blue,\nsugar is sweet,"
    rows = "".join(f'"{poem} {row}",{label}\n' for row, label in enumerate(LABELS))
    found = scan(write(tmp_path / "t.csv", f"text,label\n{rows}"))
    assert found.payloads() == [f"{poem} {row}" for row in range(40)]
    assert "40 cells of several lines (the longest has 3, in row 1" in found.source.description


def test_quotes_within_cells_are_characters(tmp_path: Path) -> None:
    for name, mark in (("t.csv", ","), ("t.tsv", "\t")):
        content = f'text{mark}label\n5" screen{mark}x\n"say ""hi"""{mark}y\nit is 6" wide{mark}x\n'
        assert scan(write(tmp_path / name, content)).payloads() == ['5" screen', 'say "hi"', 'it is 6" wide']


def test_in_tsv_quotes_that_all_close_enclose_cells_and_it_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", 'text\tlabel\n"one of\tthem"\tx\ntwo of them\ty\n')
    found = scan(path)
    assert found.payloads() == ["one of\tthem", "two of them"]
    assert "quotes enclose cells" in found.source.description
    found = scan(path, quoting="none")
    assert (found.payloads(), len(found.failures)) == (["two of them"], 1)


def test_quotes_that_are_wrong_either_way_are_refused_with_line_and_option(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'text,label\n"a, b",x\n"Hello" she said,y\n')
    message = (
        r"t\.csv, line 3: text follows a closing quote, and taken literally it would have 3 values where the header "
        r"has 2 in row 1; .*--quoting double .*--quoting none"
    )
    with pytest.raises(DataError, match=message):
        scan(path)
    assert scan(path, quoting="double").payloads() == ["a, b", "Hello she said"]
    with pytest.raises(ConfigError, match="there is no quoting 'some'; there are auto, double, none"):
        scan(path, quoting="some")


def test_nul_characters_are_kept_and_said(tmp_path: Path) -> None:
    for name, mark in (("t.csv", ","), ("t.tsv", "\t")):
        content = f'text{mark}label\na\0b c{mark}x\n"d\0{mark}e"{mark}y\n\0f{mark}x\n'
        found = scan(write(tmp_path / name, content))
        assert found.payloads() == ["a\0b c", f"d\0{mark}e", "\0f"]
        assert found.column("label:label") == ["x", "y", "x"]
        assert "3 NUL characters kept" in found.source.description


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_end_ends_rows(tmp_path: Path, end: str) -> None:
    found = scan(write(tmp_path / "t.csv", table(",", (), end)))
    assert (found.payloads(), found.column("label:label")) == (TEXTS, LABELS)
    assert "line ends" not in found.source.description


def test_line_ends_of_several_kinds_are_said_and_one_within_a_cell_is_refused(tmp_path: Path) -> None:
    found = scan(write(tmp_path / "t.csv", "text,label\r\none of,x\ntwo of,y\rthree of,x\n"))
    assert found.payloads() == ["one of", "two of", "three of"]
    assert "line ends of several kinds (1 carriage returns alone end rows)" in found.source.description
    with pytest.raises(
        DataError, match=r"row 2: 1 values where the header has 2, and carriage returns alone"
    ):
        scan(write(tmp_path / "u.csv", "text,label\none of,x\ntwo\rof,y\n"))
    assert scan(write(tmp_path / "q.csv", 'text,label\n"two\rof",y\n')).payloads() == ["two\rof"]


def test_the_same_rows_come_from_files_longer_than_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks end with rows, wherever cells of several lines, quotes and line ends fall."""
    cells = [f'say "{row}"\r\nand, {"x" * (row % 50)}\n"' for row in range(3000)]
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells]
    content = "\r\n".join(["text,label", *(f"{cell},l{row % 3}" for row, cell in enumerate(quoted))])
    for size in (1 << 20, 999):
        monkeypatch.setattr("headstart.data.streams.texts.__defaults__", (size,))
        found = scan(write(tmp_path / "t.csv", content))
        assert found.payloads() == cells
        assert found.column("label:label") == [f"l{row % 3}" for row in range(3000)]
