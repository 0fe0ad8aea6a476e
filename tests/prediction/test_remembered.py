"""Files are read as the data of the run was, where they are like it; where they are not, that is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import headstart as hs
from headstart.errors import ConfigError

from ..end_to_end.conftest import TEXTS, some_texts
from ..end_to_end.conftest import in_a_fresh_folder as in_a_fresh_folder

Rows = list[tuple[str, str]]
N = 30


def rows(suffix: str = "") -> Rows:
    return [(f"{text} née{suffix}", label) for text, label in some_texts(N)]


def write(name: str, lines: list[str], encoding: str = "utf-8") -> Path:
    path = Path(name)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    return path


def fitted(path: Path, **options: Any) -> Any:
    features = hs.extract(path, TEXTS, set="t", quiet=True, **options)
    return hs.fit_head(features, "ridge", out="run", plots="none")


def said(capsys: pytest.CaptureFixture[str], run: Any, data: Any, **options: Any) -> tuple[list[Any], str]:
    capsys.readouterr()
    table = run.predict(data, quiet=False, **options)
    return table.column("prediction").to_pylist(), capsys.readouterr().err


@pytest.fixture
def odd(capsys: pytest.CaptureFixture[str]) -> Any:
    """A run on a file that says nothing of itself: no header, semicolons, Latin-1."""
    lines = [f"{label};{text};note {n}" for n, (text, label) in enumerate(rows())]
    path = write("train.csv", lines, "latin-1")
    return fitted(path, header=False, columns=["kind", "body", "note"], delimiter=";", encoding="latin-1",
                  text_column="body", label_column="kind")  # fmt: skip


def test_a_file_of_the_same_kind_needs_no_option(odd: Any, capsys: pytest.CaptureFixture[str]) -> None:
    new = rows(" encore")
    expected = odd.predict([text for text, _ in new]).labels
    write("new.csv", [f"{label};{text};x" for text, label in new], "latin-1")
    found, err = said(capsys, odd, "new.csv")
    assert found == expected
    assert "texts in 'body'" in err
    evaluated = odd.evaluate("new.csv", plots="none")
    assert evaluated.metrics["n"] == N
    assert evaluated.predictions.column("label").to_pylist() == [label for _, label in new]


def test_a_header_under_a_run_without_one_is_found(odd: Any, capsys: pytest.CaptureFixture[str]) -> None:
    new = rows(" encore")
    expected = odd.predict([text for text, _ in new]).labels
    write("headed.csv", ["note;kind;body", *(f"x;{label};{text}" for text, label in new)], "latin-1")
    found, err = said(capsys, odd, "headed.csv")
    assert found == expected  # by the file's own names, in its own order
    assert "it has a header; the run's data was read without one" in err
    assert odd.evaluate("headed.csv", plots="none").metrics["n"] == N


def test_other_cells_encodings_and_formats(odd: Any, capsys: pytest.CaptureFixture[str]) -> None:
    new = rows(" encore")
    texts = [text for text, _ in new]
    expected = odd.predict(texts).labels
    write("commas.csv", [f"{label},{text},x" for text, label in new])
    found, err = said(capsys, odd, "commas.csv")
    assert found == expected
    assert "cells are divided by commas, and not as those of the run's data" in err
    assert "it is UTF-8, and the run's data was latin-1" in err
    write("alone.csv", texts, "latin-1")
    found, err = said(capsys, odd, "alone.csv")
    assert found == expected
    assert "it has 1 column, and the run's data 3" in err
    pq.write_table(pa.table({"text": texts, "n": ["x"] * N}), "new.parquet")
    found, err = said(capsys, odd, "new.parquet")
    assert found == expected
    assert "no column 'body', which had the texts of the run's data" in err
    write("lines.txt", texts)
    assert said(capsys, odd, "lines.txt")[0] == expected


def test_what_is_asked_for_counts(odd: Any) -> None:
    write("asked.csv", ["words,body", *(f"{text},nothing" for text, _ in rows())])
    found = odd.predict("asked.csv", text_column="words", delimiter=",", encoding="utf-8", header=True)
    assert found.labels == odd.predict([text for text, _ in rows()]).labels
    with pytest.raises(ConfigError, match="wordz"):
        odd.predict("asked.csv", text_column="wordz")


def test_a_missing_header_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    texts = [f"{n} {text}" for n, (text, _) in enumerate(rows())]
    labels = [label for _, label in rows()]
    lines = [f"{text},{label}" for text, label in zip(texts, labels, strict=True)]
    run = fitted(write("train.csv", ["3,4", *lines]), header=True, text_column="3", label_column="4")
    found, err = said(capsys, run, write("new.csv", lines))
    assert len(found) == N
    assert "it has no header, and the run's data has one" in err


def test_ids_are_remembered_and_splits_for_evaluations_alone() -> None:
    lines = [f"n{n},{text},{label},{['test', 'x', 'dev'][n % 3]}" for n, (text, label) in enumerate(rows())]
    path = write("train.csv", ["name,text,label,part", *lines])
    run = fitted(path, id_column="name", split_column="part", split_map="x=train")
    assert run.predict("train.csv").column("id").to_pylist() == [f"n{n}" for n in range(N)]
    assert run.evaluate("train.csv", plots="none").metrics["n"] == 10
    write("new.csv", ["text", *(text for text, _ in rows())])
    assert len(run.predict("new.csv")) == N
    held = run.evaluate([text for text, _ in rows()], labels=[label for _, label in rows()])
    assert held.metrics["n"] == N
