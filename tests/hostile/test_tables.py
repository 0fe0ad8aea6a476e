"""Tables that say, or unpack to, more than a memory holds end in one line."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.cache.matrices import open_matrix
from headstart.data import SourceOptions, delimited, json_rows, open_source, streams
from headstart.errors import DataError

from ..end_to_end.conftest import command
from ..memory import measured
from .test_files import footer_of

BOMBS = {
    "t.csv": b"text,label\na", "quoted.csv": b'text,label\n"a', "t.tsv": b'text\tlabel\na "b', "t.txt": b"a\nb",
    "t.jsonl": b'{"text": "a", "label": "b"}\n{"text": "', "t.json": b'[{"text": "a"}, {"text": "',
}  # fmt: skip

BLOCK = b"a" * (1 << 20)


def write_bomb(path: Path, start: bytes, n_bytes: int) -> Path:
    """A small file whose last line is long."""
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write(start)
        for _ in range(n_bytes >> 20):
            file.write(BLOCK)
    return path


@pytest.mark.parametrize("name", BOMBS)
def test_a_line_without_an_end_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for module, bound in (
        (streams, "LONGEST_LINE"),
        (json_rows, "LONGEST_VALUE"),
        (delimited, "LONGEST_ROW"),
    ):
        monkeypatch.setattr(module, bound, 1 << 19)
    path = write_bomb(tmp_path / f"{name}.zst", BOMBS[name], 6 << 20)
    with pytest.raises(DataError, match=r"(line|row) 2:? .*is longer than 524,288 characters"):
        open_source(path, SourceOptions())


def test_what_must_be_unpacked_is_not_unpacked_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "SLACK", 0)
    path = write_bomb(tmp_path / "t.parquet.zst", b"PAR1", 8 << 20)
    with pytest.raises(DataError, match="unpacks to more than 1,000 times its size"):
        open_source(path, SourceOptions())


@pytest.mark.parametrize("n_rows", [-3, -1, 2**40])
def test_a_footer_of_the_users_own_table_that_cannot_be_true(tmp_path: Path, n_rows: int) -> None:
    pq.write_table(pa.table({"text": ["a", "b"], "label": ["x", "y"]}), tmp_path / "t.parquet")
    lie = footer_of((tmp_path / "t.parquet").read_bytes(), n_rows)
    (tmp_path / "t.parquet").write_bytes(lie)
    with pytest.raises(DataError, match=r"t\.parquet cannot be read: .*its footer says"):
        open_source(tmp_path / "t.parquet", SourceOptions())


def test_a_table_of_equal_rows_is_true(tmp_path: Path) -> None:
    """Its rows take next to no bytes each."""
    rows = pa.DictionaryArray.from_arrays(pa.array([0] * 300_000, pa.int8()), ["a"])
    pq.write_table(pa.table({"text": rows}), tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 4000
    assert "300,000 rows" in open_source(tmp_path / "t.parquet", SourceOptions()).description


def test_a_matrix_that_cannot_be_as_large_as_it_says(tmp_path: Path) -> None:
    """No memory is taken for it that the machine does not have."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        content, {"descr": "<f8", "fortran_order": False, "shape": (2**44, 2**10)}
    )
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.writestr("features.npy", content.getvalue())
    with pytest.raises(DataError, match=r"m\.npz cannot be read"):
        open_matrix(tmp_path / "m.npz")


@pytest.mark.slow
def test_memory_is_bounded_whatever_a_line_unpacks_to(tmp_path: Path) -> None:
    path = write_bomb(tmp_path / "t.csv.zst", BOMBS["t.csv"], 1 << 30)
    assert path.stat().st_size < 1 << 20
    code, said, peak = measured(command("extract", path, "--backbone", "timm:resnet18"))
    assert code == 1
    assert "line 2: it is longer than" in said
    assert peak < 700_000_000
