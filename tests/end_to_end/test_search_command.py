"""`headstart search`: from a query to a table, a file or a contact sheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from .conftest import IMAGES, Result, write_image

Runner = Callable[..., Result]
ROWS = [
    ("the card is lost", "lost"),
    ("where is my card", "late"),
    ("a card/payment", "pay"),
    ("money", "pay"),
]


@pytest.fixture
def texts(headstart: Runner, tiny_bert: Path) -> Path:
    lines = [",".join(row) for row in (("text", "label"), *ROWS)]
    Path("texts.csv").write_text("\n".join(lines) + "\n", "utf-8")
    assert headstart("extract", "texts.csv", "--backbone", f"hf:{tiny_bert}", "--set", "texts").code == 0
    return Path("texts.csv")


@pytest.mark.usefixtures("texts")
def test_a_text_is_answered_as_a_table_as_csv_and_as_json(headstart: Runner) -> None:
    done = headstart("search", "texts", "money", "-k", "2")
    assert done.code == 0
    header, first, _ = done.out.splitlines()
    assert header.split() == ["rank", "id", "label", "split", "score", "origin", "input"]
    assert first.split()[:3] == ["1", "texts:4", "pay"]
    assert "1 query among 4 samples of set texts, by cosine of" in done.err
    found = headstart("search", "texts", "money", "-k", "2", "--json", "-q")
    assert [row["rank"] for row in found.json] == [1, 2]
    assert found.json[0]["id"] == "texts:4"
    assert not found.err
    rows = list(csv.DictReader(io.StringIO(headstart("search", "texts", "money", "--csv").out)))
    assert len(rows) == 4
    assert rows[0]["input"] == "money"


@pytest.mark.usefixtures("texts")
def test_answers_and_a_sheet_are_written_to_files(headstart: Runner) -> None:
    search = ("search", "texts", "--like", "texts:1", "--like", "texts:2", "-k", "2")
    for name in ("a.parquet", "a.csv", "a.jsonl"):
        done = headstart(*search, "--out", name)
        assert (done.code, done.out) == (0, "")
        assert Path(name).stat().st_size
    assert pq.read_table("a.parquet").column("query").to_pylist() == ["texts:1"] * 2 + ["texts:2"] * 2
    assert headstart(*search, "--sheet", "s.html", "-q").code == 0
    assert "where is my card" in Path("s.html").read_text("utf-8")
    again = headstart(*search, "--sheet", "s.html")
    assert again.code == 2
    assert "s.html is there already" in again.err
    assert headstart(*search, "--out", "a.xlsx").code == 2


@pytest.mark.usefixtures("texts")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["money.jpg"], 1, "there is no file or folder money.jpg; --text takes it as a text"),
        (["card/payment"], 1, "there is no file or folder card/payment; --text"),
        ([""], 2, "empty text"),
        ([], 2, "say what to look for"),
        (["--like", "texts:9"], 1, "has no sample 'texts:9'; its ids are: texts:1"),
        (["money", "--where", "label=lots"], 1, "label=lots; did you mean 'lost'"),
        (["money", "--where", "colour=red"], 2, "has no column 'colour'; it has: split, label:label"),
        (["money", "--csv", "--json"], 2, "leave one out"),
        (["photo.png"], 2, "cannot be compared with images: only a dual encoder"),
    ],
)
def test_a_mistake_is_said_in_a_line(headstart: Runner, words: list[str], code: int, said: str) -> None:
    write_image(Path("photo.png"), 1)
    done = headstart("search", "texts", *words)
    assert done.code == code
    assert said in done.err
    assert len(done.err.splitlines()) <= 2


@pytest.mark.usefixtures("texts")
def test_a_text_that_looks_like_a_path_is_forced(headstart: Runner) -> None:
    assert headstart("search", "texts", "--text", "a card/payment", "--json").json[0]["id"] == "texts:3"
    assert headstart("search", "texts", "--text", "card/payment", "--where", "label=pay", "-q").code == 0


def test_words_and_spans_have_several_vectors(headstart: Runner, tiny_bert: Path) -> None:
    Path("w.conll").write_text("the O\ncat B-animal\n\na O\ndog B-animal\n", "utf-8")
    backbone = f"hf:{tiny_bert}"
    assert headstart("extract", "w.conll", "--backbone", backbone, "--set", "words").code == 0
    done = headstart("search", "words", "the cat")
    assert done.code == 2
    assert "several vectors a sample" in done.err


def test_a_folder_of_photos_is_searched_by_a_photo(headstart: Runner, photos: Path) -> None:
    assert headstart("extract", photos, "--backbone", IMAGES, "--set", "photos").code == 0
    first, second = sorted(photos.rglob("*.png"))[:2]
    done = headstart("search", "photos", first, "-k", "3", "--json", "--sheet", "s.png")
    assert done.code == 0
    assert done.json[0]["score"] == pytest.approx(1)
    both = headstart("search", "photos", "--image", first, "--image", second, "-k", "1", "--json").json
    assert [row["id"] for row in both] == [f"circle/{path.name}" for path in (first, second)]
    with Image.open("s.png") as image:
        assert min(image.size) > 200


@pytest.mark.usefixtures("texts")
def test_a_file_of_queries_in_another_encoding_is_read_as_the_error_says(headstart: Runner) -> None:
    Path("queries.txt").write_bytes("lost card\ncaf\xe9\n".encode("latin-1"))
    refused = headstart("search", "texts", "queries.txt")
    assert refused.code == 1
    assert "pass --encoding latin-1" in refused.err
    found = headstart("search", "texts", "queries.txt", "--encoding", "latin-1", "-k", "1", "--json")
    assert [row["query"] for row in found.json] == ["lost card", "caf\xe9"]
