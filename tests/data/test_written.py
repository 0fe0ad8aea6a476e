"""Tables of texts and of what is to be written for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.data import open_source
from headstart.data.options import SourceOptions
from headstart.errors import ConfigError, HeadstartError
from tests.data.conftest import scan

ROWS = [{"input": f"2026-11-{day:02}", "target": f"the {day}th of November"} for day in range(10, 30)]


def jsonl(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "data.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return path


def csv(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "data.csv"
    lines = [",".join(rows[0]), *(",".join(f'"{value}"' for value in row.values()) for row in rows)]
    path.write_text("\n".join(lines), "utf-8")
    return path


def parquet(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "data.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("write", [jsonl, csv, parquet])
def test_an_unmistakable_pair_is_read_as_what_it_is(write: Any, tmp_path: Path) -> None:
    found = scan(write(tmp_path, ROWS))
    assert found.source.label_kinds == {"target": "seq2seq"}
    assert found.payloads() == [row["input"] for row in ROWS]
    assert found.table.column("label:target").to_pylist() == [[row["target"]] for row in ROWS]
    assert "labels in 'target' (texts to write)" in found.source.description


@pytest.mark.parametrize("write", [jsonl, csv, parquet])
def test_columns_can_be_named(write: Any, tmp_path: Path) -> None:
    rows = [{"iso": row["input"], "words": row["target"]} for row in ROWS]
    found = scan(write(tmp_path, rows), input_column="iso", target_column="words")
    assert found.source.label_kinds == {"words": "seq2seq"}
    assert found.payloads() == [row["input"] for row in ROWS]


def test_usual_names_do_where_the_kind_is_said(tmp_path: Path) -> None:
    rows = [{"id": n, "article": row["target"] * 3, "highlights": row["input"]} for n, row in enumerate(ROWS)]
    found = scan(jsonl(tmp_path, rows), label_kind="seq2seq")
    assert found.source.label_kinds == {"highlights": "seq2seq"}
    assert found.payloads()[0] == rows[0]["article"]


def test_lists_are_references(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"source": "a b", "target": ["x y", "y x"]}, {"source": "c", "target": []}]
    found = scan(jsonl(tmp_path, rows), label_kind="seq2seq")
    assert found.table.column("label:target").to_pylist() == [["x y", "y x"], None]


@pytest.mark.parametrize(
    "rows",
    [
        [{"input": f"a film {n}", "target": ["good", "bad"][n % 2]} for n in range(20)],
        [{"input": f"C{n}O", "target": n / 7} for n in range(20)],
        [{"text": f"a film {n}", "source": "the web", "target": ["good", "bad"][n % 2]} for n in range(20)],
        [{"source": f"a film {n}", "target": ["g", "b"][n % 2]} for n in range(20)],
    ],
    ids=["classes", "numbers", "a text beside them", "letters"],
)
def test_labels_stay_labels(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    assert scan(jsonl(tmp_path, rows)).source.label_kinds["target"] in ("single", "regression")


def test_inputs_without_a_word_are_found_for_predicting(tmp_path: Path) -> None:
    rows = [{"input": row["input"]} for row in ROWS]
    source = open_source(str(jsonl(tmp_path, rows)), SourceOptions(labels=False))
    assert source.modality == "text"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"input_column": "inputs"}, "--input-column inputs: there is no such column.*did you mean 'input'"),
        ({"target_column": "no"}, "--target-column no: there is no such column"),
        (
            {"input_column": "input", "text_column": "input"},
            "--input-column and --text-column both say the same",
        ),
        (
            {"target_column": "target", "label_columns": ("target",)},
            "--target-column and --label-column both say the same",
        ),
        ({"target_column": "target", "label_kind": "single"}, "--label-kind single is something else"),
        ({"input_column": "input", "target_column": "input"}, "cannot be both"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        open_source(str(jsonl(tmp_path, ROWS)), SourceOptions(**options))


def test_no_target_is_said(tmp_path: Path) -> None:
    path = jsonl(tmp_path, [{"question": "who are you"}, {"question": "and you then"}])
    with pytest.raises(
        ConfigError, match="no column of texts to write among 'question'; name it with --target"
    ):
        open_source(str(path), SourceOptions(label_kind="seq2seq"))


def test_they_are_for_tables(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.txt").write_text("a text", "utf-8")
    with pytest.raises(HeadstartError, match="--target-column"):
        open_source(str(tmp_path), SourceOptions(target_column="x"))


def test_what_other_data_was_read_with_gives_way(tmp_path: Path) -> None:
    earlier = SourceOptions(input_column="input", target_column="target", label_kind="seq2seq")
    rows = [{"text": row["input"], "out": row["target"]} for row in ROWS]
    asked = SourceOptions(text_column="text", label_columns=("out",)).remembering(earlier)
    assert open_source(str(jsonl(tmp_path, rows)), asked).label_kinds == {"out": "seq2seq"}


def test_what_was_found_is_told_so_that_other_data_is_read_alike(tmp_path: Path) -> None:
    rows = [{"question": row["input"], "answer": row["target"]} for row in ROWS]
    path = jsonl(tmp_path, rows)
    found = open_source(str(path), SourceOptions(label_kind="seq2seq")).found_columns
    assert found == {"input_column": "question", "target_column": "answer"}
    again = open_source(str(path), SourceOptions(labels=False, **found))
    assert again.modality == "text"  # and no pair of question and answer
    assert (
        open_source(str(path), SourceOptions(input_column="question", target_column="answer")).found_columns
        == {}
    )
