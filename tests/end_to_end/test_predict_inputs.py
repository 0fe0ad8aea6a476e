"""What ``headstart predict`` takes: texts on the command line, several images, and the inputs beside the answers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import headstart as hs

from .conftest import IMAGES, Result, some_texts, write_image, write_texts

Runner = Callable[..., Result]


@pytest.fixture
def image_run(headstart: Runner, photos: Path, tmp_path: Path) -> Path:
    assert headstart("extract", photos, "--backbone", IMAGES, "--set", "p").code == 0
    assert headstart("fit-head", "p", "--head", "ridge", "--out", "image-run").code == 0
    return tmp_path / "image-run"


def rows(done: Result) -> list[dict[str, str]]:
    assert done.code == 0, done.err
    return list(csv.DictReader(io.StringIO(done.out)))


def test_texts_of_the_command_line(headstart: Runner, run: Path) -> None:
    texts = ["abc, number 81 ox", "xyw number 80 oxox"]
    write_texts(Path("same.csv"), [(text, "class 0") for text in texts])
    in_table = rows(headstart("predict", run, "same.csv"))
    done = rows(headstart("predict", run, "--text", texts[0], "--text", texts[1], "--with-inputs"))
    assert [row.pop("input") for row in done] == texts
    assert [row.pop("id") for row in done] == ["0", "1"]
    assert done == [{name: cell for name, cell in row.items() if name != "id"} for row in in_table]
    [alone] = rows(headstart("predict", run, "--text", texts[0]))
    assert (alone["id"], alone["prediction"]) == ("0", done[0]["prediction"])


def test_inputs_stand_beside_every_row_of_a_table(headstart: Runner, run: Path) -> None:
    texts = some_texts(4)
    texts[2] = ("", "class 0")
    write_texts(Path("new.csv"), texts)
    assert headstart("predict", run, "new.csv", "--with-inputs", "--out", "out.jsonl").code == 0
    done = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [row["input"] for row in done if row["error"] is None] == [text for text, _ in texts if text]
    assert [row["id"] for row in done if row["error"]] == ["new:3"]


def test_a_text_that_is_there_is_data_and_one_that_looks_like_a_path_is_refused(
    headstart: Runner, run: Path
) -> None:
    write_texts(Path("new.csv"), some_texts(3))
    assert len(rows(headstart("predict", run, "--text", "new.csv"))) == 3
    for text in ("old.csv", "a/b", "photo.jpg"):
        done = headstart("predict", run, "--text", text)
        assert done.code == 1
        assert f"there is no file or folder {text}" in done.err
    mixed = headstart("predict", run, "--text", "new.csv", "--text", "abc")
    assert (mixed.code, "new.csv" in mixed.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say what to predict"),
        (("train.csv", "--text", "abc"), "--text goes without DATA"),
        (("train.csv", "train.csv"), "train.csv is none"),
    ],
)
def test_what_is_meant_must_be_clear(headstart: Runner, run: Path, words: tuple[str, ...], said: str) -> None:
    done = headstart("predict", run, *words)
    assert done.code == 2
    assert said in done.err


def test_several_images(headstart: Runner, image_run: Path, photos: Path) -> None:
    for number in range(3):
        write_image(Path("square") / f"{number}.png", 90 + number)
    paths = ["square/2.png", "square/0.png", "square/1.png", "square/0.png"]
    done = rows(headstart("predict", image_run, *paths, "--with-inputs"))
    assert [row["input"] for row in done] == paths
    assert {row["prediction"] for row in done} == {"square"}
    missing = headstart("predict", image_run, "square/0.png", "square/9.png")
    assert (missing.code, missing.err.strip()) == (1, "error: there is no file square/9.png")
    assert "reads images" in headstart("predict", image_run, "--text", "a square").err
    refused = headstart("predict", image_run, "square/0.png", "square/1.png", "--out", "square/1.png")
    assert refused.code == 2


def test_text_files_are_a_text_each_where_there_are_several(headstart: Runner, run: Path) -> None:
    Path("notes").mkdir()
    texts = {"notes/b.txt": "abc number 7\nox and ox", "notes/a.txt": "xyw number 8", "notes/c.txt": "abc né"}
    for name, text in texts.items():
        Path(name).write_bytes(text.encode("latin-1" if name == "notes/c.txt" else "utf-8"))
    refused = headstart("predict", run, *texts)
    assert (refused.code, "notes/c.txt is not utf-8; say what it is: --encoding" in refused.err) == (1, True)
    Path("notes/c.txt").write_text(texts["notes/c.txt"], "utf-8")
    several = headstart("predict", run, *texts, "--with-inputs")
    assert (
        "3 texts, a file each (of one file alone, and of a pattern in quotes, each line is a text)"
        in several.err
    )
    assert [(row["id"], row["input"]) for row in rows(several)] == list(texts.items())
    folder = {row["id"]: row for row in rows(headstart("predict", run, "notes"))}
    expected = {row["id"].removeprefix("notes/"): row["prediction"] for row in rows(several)}
    assert {name: row["prediction"] for name, row in folder.items()} == expected
    in_python = hs.predict("run", [Path(name) for name in texts])
    assert in_python.column("id").to_pylist() == list(texts)
    assert in_python.labels == [row["prediction"] for row in rows(several)]
    alone = rows(headstart("predict", run, "notes/b.txt", "--with-inputs"))
    assert [row["input"] for row in alone] == ["abc number 7", "ox and ox"]
    Path("notes/b.txt").write_text("")
    with_empty = rows(headstart("predict", run, "notes/b.txt", "notes/a.txt"))
    assert [(row["id"], bool(row["error"])) for row in with_empty] == [
        ("notes/b.txt", True),
        ("notes/a.txt", False),
    ]
    mixed = headstart("predict", run, "notes/a.txt", "train.csv")
    assert (mixed.code, "train.csv is none" in mixed.err) == (2, True)


def test_standard_input(headstart: Runner, run: Path) -> None:
    write_texts(Path("new.csv"), some_texts(5))
    in_file = rows(headstart("predict", run, "new.csv"))
    piped = headstart("predict", run, "-", "--with-inputs", stdin=Path("new.csv").read_bytes())
    assert [row["input"] for row in rows(piped)] == [text for text, _ in some_texts(5)]
    assert [row["prediction"] for row in rows(piped)] == [row["prediction"] for row in in_file]
    lines = headstart("predict", run, "-", "--with-inputs", stdin=b"abc number 1 ox\nxyw, number 2\n")
    assert [row["input"] for row in rows(lines)] == ["abc number 1 ox", "xyw, number 2"]
    assert "standard input is empty" in headstart("predict", run, "-", stdin=b"").err
