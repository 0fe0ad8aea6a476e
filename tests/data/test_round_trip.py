"""Texts come back as they were written, with the same keys, from every format."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.label_cells import clean_label
from headstart.keys import key_of
from tests.data.conftest import scan, write_images, write_table

from ..variants import examples

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: not text.isspace())
CSV_TEXT = TEXT.filter(lambda text: "\r" not in text)  # Python's writer does not quote a lone \r


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
@given(data=st.data())
@settings(max_examples=examples(40), deadline=None)
def test_any_texts_come_back(
    ending: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    cells = TEXT if ending in (".jsonl", ".parquet") else CSV_TEXT
    texts = data.draw(st.lists(cells, min_size=1, max_size=8))
    labels = data.draw(st.lists(cells, min_size=len(texts), max_size=len(texts)))
    path = tmp_path_factory.getbasetemp() / f"round{ending}"
    found = scan(write_table(path, {"text": texts, "label": [f"_{label}" for label in labels]}))
    assert found.payloads() == texts
    assert found.keys == [key_of("text", text) for text in texts]
    assert found.column("label:label") == [clean_label(f"_{label}") for label in labels]


@given(texts=st.lists(TEXT, min_size=2, max_size=8, unique=True), data=st.data())
@settings(max_examples=examples(40), deadline=None)
def test_the_order_of_rows_changes_no_key(
    texts: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "order.jsonl"
    shuffled = data.draw(st.permutations(texts))
    before = scan(write_table(path, {"text": texts}))
    keys = dict(zip(before.payloads(), before.keys, strict=True))
    after = scan(write_table(path, {"text": shuffled}))
    assert after.keys == [keys[text] for text in shuffled]


PROGRAM = """
import json
import sys
import numpy as np
from headstart.data import SourceOptions, open_source

class NoMemo:
    def lookup(self, fingerprints):
        return fingerprints, np.zeros(len(fingerprints), dtype=bool)

    def remember(self, fingerprints, keys):
        pass

for path in sys.argv[1:]:
    path, _, asked = path.partition("?")
    options = SourceOptions(**json.loads(asked or "{}"))
    source = open_source(path, options)
    assert sum(block.table.num_rows for block in source.scan(NoMemo()))
    source.payload(0), source.label_names, source.label_kinds, source.description
"""

SPILLING = "import headstart.data.growing; headstart.data.growing.IN_MEMORY = 0"


def of_every_label_kind(root: Path) -> list[Path]:
    """Tables of lists and of numbers; tables of flags and of cells to split lie beside them."""
    write_table(root / "flags.csv", {"text": ["a", "b"], "rain": [1, 0], "fog": ["yes", ""]})
    write_table(root / "cells.csv", {"text": ["a", "b"], "label": ['["x"]', "y|z"]})
    lists = {"text": ["a", "b"], "label": [["x", "y"], None]}
    numbers = {"text": ["a", "b"], "label": [0.5, None]}
    return [
        write_table(root / "lists.jsonl", lists),
        write_table(root / "lists.parquet", lists),
        write_table(root / "numbers.csv", numbers),
        write_table(root / "numbers.parquet", numbers),
    ]


def with_images_inside(root: Path) -> list[str]:
    """A table with images as structs, for images and for pairs; and a folder with metadata."""
    write_images(root / "meta", "train/cat/a.png", "test/dog/b.png", "c.png")
    content = (root / "meta" / "c.png").read_bytes()
    cells = [{"bytes": content, "path": "c.png"}, {"bytes": None, "path": "meta/c.png"}]
    write_table(root / "inside.parquet", {"image": cells, "caption": ["one", "two"]})
    names = ["train/cat/a.png", "./test/dog/b.png", "test/dog/b.png", "../c.png"]
    write_table(root / "meta" / "metadata.csv", {"file_name": names, "caption": ["a b"] * 4})
    pairs = '"text_column": "caption"'
    return [
        f'{root / "inside.parquet"}?{{"image_column": "image"}}',
        f'{root / "inside.parquet"}?{{"image_column": "image", {pairs}}}',
        str(root / "meta"),
        f'{root / "meta"}?{{"image_column": "file_name", {pairs}}}',
    ]


@pytest.mark.parametrize("before", ["", SPILLING], ids=["in memory", "in a temporary file"])
def test_reading_imports_neither_pandas_nor_torch(before: str, tmp_path: Path) -> None:
    """pyarrow imports pandas wherever it is installed, unless one is careful."""
    for library in ("pandas", "torch", "PIL"):
        (tmp_path / "lib" / library).mkdir(parents=True)
        trap = "import traceback; traceback.print_stack(); raise SystemExit(f'{__name__} was imported')"
        (tmp_path / "lib" / library / "__init__.py").write_text(trap)
    columns = {"text": ["a", ""], "label": [1.0, None], "split": ["train", "test"], "nr": ["1", "2"]}
    tables = [write_table(tmp_path / f"t{ending}", columns) for ending in (".csv", ".jsonl", ".parquet")]
    data = [f'{path}?{{"id_column": "nr"}}' for path in tables]
    write_images(tmp_path, "images/cat/a.png", "images/cat/b.png")
    (tmp_path / "images" / "cat" / "zero.png").touch()
    data.append(str(tmp_path / "images"))
    data += [str(path) for path in of_every_label_kind(tmp_path)]
    data.append(f'{tmp_path / "flags.csv"}?{{"label_kind": "multi", "label_columns": ["rain", "fog"]}}')
    data.append(f'{tmp_path / "cells.csv"}?{{"label_kind": "multi"}}')
    data += with_images_inside(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", before + PROGRAM, *data],
        env={"PYTHONPATH": ":".join([str(tmp_path / "lib"), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
