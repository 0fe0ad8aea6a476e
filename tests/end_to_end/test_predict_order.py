"""Predictions come in the order of the data; a sample that failed has its row in its place, and a reason."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import headstart as hs

from .conftest import IMAGES, Result, some_texts, write_image, write_texts
from .test_containers import as_parquet, as_tars, images

Runner = Callable[..., Result]


def rows_of(ending: str, out: str) -> list[dict[str, str | None]]:
    match ending:
        case "parquet":
            with pq.ParquetFile("out.parquet") as file:
                return file.read().to_pylist()  # type: ignore[no-any-return]
        case "jsonl":
            return [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    text = out if ending == "stdout" else Path("out.csv").read_text()
    return [{name: cell or None for name, cell in row.items()} for row in csv.DictReader(io.StringIO(text))]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl", "stdout"])
def test_failed_rows_of_a_table_stay_in_their_place(headstart: Runner, run: Path, ending: str) -> None:
    texts = some_texts(12)
    texts[6] = ("", "class 0")
    texts[0] = ("  ", "class 0")
    write_texts(Path("new.csv"), texts)
    out = () if ending == "stdout" else ("--out", f"out.{ending}")
    done = headstart("predict", run, "new.csv", *out)
    assert done.code == 0, done.err
    assert "found 12: 10 predicted, 2 skipped (" in done.err
    rows = rows_of(ending, done.out)
    assert [row["id"] for row in rows] == [f"new:{number}" for number in range(1, 13)]
    bad = [row["prediction"] is None for row in rows]
    assert bad == [number in (0, 6) for number in range(12)]
    assert [row["error"] for row in rows] == ["the text is empty" if is_bad else None for is_bad in bad]
    assert all(value is None for name, value in rows[6].items() if name not in ("id", "error"))


def test_what_cannot_be_read_and_what_the_backbone_refuses_keep_their_places_alike(
    headstart: Runner, run: Path
) -> None:
    texts = some_texts(9)
    texts[2], texts[5], texts[6] = ("", ""), ("zebra", ""), ("", "")
    write_texts(Path("new.csv"), texts)
    done = headstart("predict", run, "new.csv", "--out", "out.jsonl", TINY_NAN="some")
    assert done.code == 0, done.err
    rows = rows_of("jsonl", "")
    assert [row["id"] for row in rows] == [f"new:{number}" for number in range(1, 10)]
    reasons = {number: row["error"] for number, row in enumerate(rows) if row["prediction"] is None}
    assert reasons[2] == reasons[6] == "the text is empty"
    assert set(reasons) == {2, 5, 6}
    assert reasons[5] not in (None, reasons[2])


def test_texts_in_memory_keep_their_places(run: Path) -> None:
    texts = [text for text, _ in some_texts(15)]
    texts[10] = " "
    table = hs.load_run(run).predict(texts)
    assert table.column("id").to_pylist() == [str(number) for number in range(15)]
    assert [value is None for value in table.column("prediction").to_pylist()] == [n == 10 for n in range(15)]


def test_images_keep_their_places_in_a_folder_and_in_memory(photos: Path) -> None:
    fitted = hs.fit_head(hs.extract(photos, backbone=IMAGES, quiet=True), head="ridge")
    new = Path("new")
    paths = [write_image(new / f"{name}.png", number) for number, name in enumerate("abcdef")]
    paths[2].write_bytes(b"")
    paths[4].write_text("not an image")
    table = fitted.predict(new)
    assert table.column("id").to_pylist() == [path.name for path in paths]
    assert [value is None for value in table.column("prediction").to_pylist()] == [
        n in (2, 4) for n in range(6)
    ]
    backwards = [str(path) for path in reversed(paths)]
    assert fitted.predict(backwards).column("id").to_pylist() == backwards


@pytest.mark.parametrize("kind", ["tars", "parquet", "tables"])
def test_samples_of_several_files_keep_their_places(photos: Path, kind: str) -> None:
    fitted = hs.fit_head(hs.extract(photos, backbone=IMAGES, quiet=True), head="ridge")
    rows = [(name, label, b"" if number in (3, 7) else content)
            for number, (name, label, content) in enumerate(images(12))]  # fmt: skip
    match kind:
        case "tars":
            data = as_tars(Path("tars"), rows, 5)
        case "parquet":
            data = as_parquet(Path("all.parquet"), rows)
        case "tables":
            data = Path("tables")
            data.mkdir()
            as_parquet(data / "test.parquet", rows[:5])
            as_parquet(data / "train.parquet", rows[5:])
    table = fitted.predict(data)
    numbers = [int(name.rpartition(":")[2]) for name in table.column("id").to_pylist() if ":" in name]
    assert numbers in ([], [*range(1, 13)], [*range(1, 6), *range(1, 8)])
    bad = [value is None for value in table.column("prediction").to_pylist()]
    assert bad == [number in (3, 7) for number in range(12)]
    assert all(table.column("error").to_pylist()[number] for number in (3, 7))
