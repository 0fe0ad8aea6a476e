"""A table that does not fit into memory gives the same samples, and the same payloads, as one that does."""

from __future__ import annotations

import gzip
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather

import headstart.data.growing
from headstart.data import open_source
from headstart.data.read_table import BLOCK_BYTES
from headstart.data.table_file import RowNumbers
from headstart.errors import DataError
from headstart.extraction.samples import samples_of
from tests.data.conftest import MemoryMemo, Scan, scan, write_image, write_images, write_table

N = 20_000


def columns(n: int = N) -> dict[str, list[str]]:
    return {
        "text": ["" if row % 97 == 5 else f"text number {row}" for row in range(n)],
        "label": [f"class {row % 3}" if row % 50 else "" for row in range(n)],
        "name": [f"id {row}" for row in range(n)],
        "split": [["train", "", "test"][row % 3] for row in range(n)],
        "tags": [["a|b", "b", ""][row % 3] for row in range(n)],
        "note": [f"note {row}" for row in range(n)],
    }


def a_csv(root: Path) -> Path:
    path = write_table(root / "t.csv", columns())
    lines = path.read_text("utf-8").splitlines(keepends=True)
    lines[9_000:9_000] = ["a,b,c\n"]
    path.write_text("".join(lines), "utf-8")
    return path


def a_jsonl(root: Path) -> Path:
    """With blank lines, a line that nothing can store, and a column that comes late."""
    with open(root / "t.jsonl", "w", encoding="utf-8") as file:
        for number, row in enumerate(zip(*columns().values(), strict=True)):
            cells = dict(zip(columns(1), row, strict=True)) | ({"late": number} if number > 15_000 else {})
            cells["text"] = "\ud800" if number == 12_345 else cells["text"]
            file.write(("\n" if number % 999 == 0 else "") + json.dumps(cells) + "\n")
    return root / "t.jsonl"


def a_parquet(root: Path) -> Path:
    table = pa.table({**columns(), "number": pa.array(range(N), pa.int32())})
    pq.write_table(table, root / "t.parquet", row_group_size=7_000)
    return root / "t.parquet"


def files_by_split(root: Path) -> Path:
    """Two files, of which one lacks a column."""
    write_table(root / "both" / "train.csv", columns(5_000))
    write_table(root / "both" / "test.csv", {k: v for k, v in columns(3_000).items() if k != "note"})
    return root / "both"


def a_folder(root: Path) -> Path:
    write_images(root / "photos", *(f"{'ab'[n % 2]}/{n:03d}.png" for n in range(200)))
    (root / "photos" / "a" / "empty.png").touch()
    return root / "photos"


def images_inside(root: Path) -> Path:
    cells = [write_image(root / "one.png", number).read_bytes() for number in range(100)]
    return write_table(root / "images.parquet", {"image": cells, "label": ["a", "b"] * 50})


def all_of(found: Scan) -> tuple[object, ...]:
    said = found.source.description, dict(found.source.label_names), dict(found.source.label_kinds)
    return found.table.to_pydict(), found.table.schema, found.failures, said


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (a_csv, {}),
        (a_csv, {"id_column": "name", "label_columns": ("tags",), "label_kind": "multi"}),
        (a_jsonl, {}),
        (a_parquet, {}),
        (a_parquet, {"id_column": "name", "label_columns": ("number",), "label_kind": "regression"}),
        (files_by_split, {}),
        (a_folder, {}),
    ],
)
def test_what_does_not_fit_into_memory_is_read_all_the_same(
    make: Callable[[Path], Path], options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make(tmp_path)
    small = scan(data, **options)
    monkeypatch.setattr(headstart.data.growing, "IN_MEMORY", 1000)
    large = scan(data, **options)
    assert all_of(large) == all_of(small)
    rows = np.random.default_rng(0).integers(0, small.table.num_rows, 700).tolist()
    assert [large.source.payload(row) for row in rows] == [small.source.payload(row) for row in rows]


def test_rows_longer_than_a_block_are_read(tmp_path: Path) -> None:
    texts = ["short", "long " * BLOCK_BYTES, "short again"]
    found = scan(write_table(tmp_path / "t.csv", {"text": texts, "label": ["a", "b", "c"]}))
    assert found.payloads() == texts
    assert found.ids == ["t:1", "t:2", "t:3"]


def test_a_row_that_is_not_utf8_is_named_by_its_number_in_the_file(tmp_path: Path) -> None:
    texts = [b"fine %d" % row for row in range(N)]
    texts[N - 2] = b"\xff"
    raw = pa.array(texts, pa.binary())
    text = pa.Array.from_buffers(pa.string(), N, raw.buffers())
    pq.write_table(pa.table({"text": text}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=f"row {N - 1:,}: the text in column 'text' is not UTF-8"):
        scan(tmp_path / "t.parquet")


@given(st.lists(st.booleans(), max_size=60))
def test_row_numbers_skip_what_was_left_out(is_row: list[bool]) -> None:
    expected = [number for number, kept in enumerate(is_row, 1) if kept]
    numbers = RowNumbers(len(expected), [number for number, kept in enumerate(is_row, 1) if not kept])
    assert len(numbers) == len(expected)
    assert [numbers[place] for place in range(len(expected))] == expected
    assert [numbers[-place] for place in range(1, len(expected) + 1)] == expected[::-1]
    for start in range(0, len(expected) + 2, 3):
        assert numbers[start : start + 5].tolist() == expected[start : start + 5]


# Not ru_maxrss, which a process inherits from the one that starts it.
PEAK = """
import re, sys
import numpy as np
from headstart.data import open_source

class NoMemo:
    def lookup(self, fingerprints):
        return fingerprints, np.zeros(len(fingerprints), dtype=bool)

    def remember(self, fingerprints, keys):
        pass

n = sum(block.table.num_rows for block in open_source(sys.argv[1]).scan(NoMemo()))
print(n, re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1))
"""


def many(path: Path, n: int) -> Path:
    """So many texts of about a dozen words, some of them with quotes and commas."""
    texts = [f'text number {row} of "some" texts, as people, or machines, write them' for row in range(n)]
    labels = [f"l{row % 3}" for row in range(n)]
    ending = "".join(path.suffixes)
    if ending == ".json":
        path.write_text(json.dumps([{"text": a, "label": b} for a, b in zip(texts, labels, strict=True)]))
    elif ending == ".txt":
        path.write_text("".join(f"__label__{b} {a}\n" for a, b in zip(texts, labels, strict=True)))
    elif ending == ".feather":
        feather.write_feather(pa.table({"text": texts, "label": labels}), path)
    else:
        write_table(
            path.with_suffix("") if ending.endswith(".gz") else path, {"text": texts, "label": labels}
        )
        if ending.endswith(".gz"):
            path.write_bytes(gzip.compress(path.with_suffix("").read_bytes(), 1))
    return path


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(
    "ending", [".csv", ".tsv", ".csv.gz", ".jsonl", ".json", ".parquet", ".feather", ".txt"]
)
def test_a_million_rows_take_little_more_memory_than_a_hundred_thousand(ending: str, tmp_path: Path) -> None:
    peaks = []
    for n in (100_000, 1_000_000):
        path = many(tmp_path / f"t{n}{ending}", n)
        done = subprocess.run([sys.executable, "-c", PEAK, path], capture_output=True, check=True, text=True)
        counted, peak = map(int, done.stdout.split())
        assert counted == n
        peaks.append(peak)
    assert peaks[1] <= 1.3 * peaks[0], peaks


OTHER_PROCESS = """
import pickle, sys
payloads, samples, rows = pickle.load(sys.stdin.buffer)
found = [payloads.payload(row) for row in rows]
names = [samples.table.column("id")[row].as_py() for row in rows]
pickle.dump((payloads.modality, payloads.rows_per_block, found, names), sys.stdout.buffer)
"""


@pytest.mark.parametrize(
    ("make", "in_memory"),
    [
        (a_csv, 1 << 30),
        *((make, 1000) for make in (a_csv, images_inside)),
        *(
            pytest.param(make, 1000, marks=pytest.mark.slow)
            for make in (a_jsonl, a_parquet, files_by_split, a_folder)
        ),
    ],
)
def test_another_process_can_be_handed_the_samples(
    make: Callable[[Path], Path], in_memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the workers of an extraction are; what lies in a file is not sent."""
    monkeypatch.setattr(headstart.data.growing, "IN_MEMORY", in_memory)
    source = open_source(make(tmp_path))
    samples = samples_of(source.scan(MemoryMemo()))
    rows = list(range(0, len(samples), 37))
    sent = pickle.dumps((source, samples, rows))
    if sys.platform == "linux" and in_memory < len(samples):
        assert len(sent) < 100_000 + 40 * len(samples)
    done = subprocess.run([sys.executable, "-c", OTHER_PROCESS], input=sent, capture_output=True, check=True)
    ids = samples.table.column("id").to_pylist()
    assert pickle.loads(done.stdout) == (  # noqa: S301  made by the program above
        source.modality,
        source.rows_per_block,
        [source.payload(row) for row in rows],
        [ids[row] for row in rows],
    )
