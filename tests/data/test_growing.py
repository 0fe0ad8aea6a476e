"""A table that grew in batches is the same table, whether it fitted into memory or not."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.growing import GrowingTable

from ..variants import examples

TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=8)), max_size=12)
LISTS = st.one_of(st.none(), st.lists(st.text(max_size=3), max_size=3))


def batch_of(texts: list[str | None], lists: list[list[str] | None], with_lists: bool) -> pa.Table:
    columns = {"text": pa.array(texts, pa.string()), "number": pa.array(range(len(texts)), pa.int64())}
    if with_lists:
        columns["lists"] = pa.array((lists * len(texts))[: len(texts)], pa.list_(pa.string()))
    return pa.table(columns)


BATCHES = st.lists(
    st.builds(batch_of, TEXTS, st.lists(LISTS, min_size=1, max_size=4), st.booleans()), min_size=1, max_size=8
)


def grown(batches: list[pa.Table], limit: int) -> GrowingTable:
    table = GrowingTable(limit)
    for batch in batches:
        table.append(batch)
    return table


@settings(deadline=None, max_examples=examples(100))
@given(BATCHES, st.integers(0, 400))
def test_what_was_added_is_what_is_read_wherever_it_lies(batches: list[pa.Table], limit: int) -> None:
    table = grown(batches, limit)
    expected = pa.concat_tables(batches, promote_options="default")
    assert table.whole().equals(expected)
    table.release()
    assert table.whole().equals(expected)


def test_a_column_outlives_what_it_was_taken_from() -> None:
    column = grown([pa.table({"n": pa.array(range(1000))})], limit=0).whole().column("n")
    gc.collect()
    assert column.to_pylist() == list(range(1000))


def test_a_small_table_needs_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert grown([pa.table({"n": [1, 2]})] * 3, limit=1 << 20).whole().num_rows == 6


def test_where_no_file_can_be_written_the_table_stays_in_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert grown([pa.table({"n": [1, 2]})] * 3, limit=0).whole().column("n").to_pylist() == [1, 2] * 3


FULL_DISK = """
import resource, signal, sys
import pyarrow as pa
from headstart.data.growing import GrowingTable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
table = GrowingTable(limit=100_000)
for start in range(0, 200_000, 5_000):
    table.append(pa.table({"n": pa.array(range(start, start + 5_000))}))
assert table.whole().column("n").to_pylist() == list(range(200_000))
"""


def test_a_disk_that_fills_up_loses_no_row() -> None:
    done = subprocess.run([sys.executable, "-X", "dev", "-c", FULL_DISK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


MEMORY = """
import array, os, sys
import pyarrow as pa
from headstart.data.growing import GrowingTable

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

numbers = array.array("q", range(65_536))
def batch():
    return pa.table({"n": pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])})

table = GrowingTable(limit=1 << 20)
table.append(batch())
before = resident()
for _ in range(128):
    table.append(batch())
column = table.whole().column("n")
for number, chunk in enumerate(column.chunks):
    assert bytes(chunk.buffers()[1])[8] == 1
    table.release()
    assert resident() - before < 16 << 20, (number, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_64_megabytes_are_read_without_being_in_memory_together() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
