"""Images inside Parquet files: their bytes are read when they are needed, and never all at once."""

from __future__ import annotations

import os
import random
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data import SourceOptions, open_source
from headstart.errors import ConfigError, DataError, SampleError
from headstart.keys import key_of
from tests.data.conftest import KnowsAll, MemoryMemo, scan, write_image, write_table

from ..variants import examples


def pictures(folder: Path, n: int) -> list[bytes]:
    return [write_image(folder / f"{number}.png", number).read_bytes() for number in range(n)]


def write_parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


@pytest.mark.parametrize("as_structs", [False, True])
@pytest.mark.parametrize("rows_per_group", [1, 3, 100])
def test_bytes_are_images(tmp_path: Path, as_structs: bool, rows_per_group: int) -> None:
    contents = pictures(tmp_path / "i", 8)
    cells = [{"bytes": content, "path": f"{n}.png"} for n, content in enumerate(contents)]
    columns = {"image": cells if as_structs else contents, "label": list("aabbccdd"), "note": ["x"] * 8}
    found = scan(write_parquet(tmp_path / "t.parquet", columns, row_group_size=rows_per_group))
    assert found.source.modality == "image"
    assert found.payloads() == contents
    assert found.keys == [key_of("image", content) for content in contents]
    assert found.ids == [f"t:{row}" for row in range(1, 9)]
    assert found.column("label:label") == list("aabbccdd")
    assert found.column("meta:note") == ["x"] * 8
    assert found.source.rows_per_block == min(rows_per_group, 8)
    assert found.source.description == "Parquet, 8 rows: images in 'image', labels in 'label' (4 classes)"


def test_the_keys_are_those_of_files(tmp_path: Path) -> None:
    contents = pictures(tmp_path / "i", 3)
    inside = scan(write_parquet(tmp_path / "t.parquet", {"image": contents}))
    assert inside.keys == scan(tmp_path / "i").keys


def test_a_path_serves_where_there_are_no_bytes(tmp_path: Path, later: Callable[[], None]) -> None:
    contents = pictures(tmp_path / "i", 3)
    later()
    cells = [
        {"bytes": contents[0], "path": "elsewhere.png"},
        {"bytes": None, "path": "i/1.png"},
        {"bytes": None, "path": str(tmp_path / "i" / "2.png")},
        {"bytes": None, "path": "gone.png"},
        {"bytes": None, "path": None},
        {"bytes": b"", "path": "i/1.png"},
        None,
    ]
    memo = MemoryMemo()
    path = write_parquet(tmp_path / "t.parquet", {"image": cells})
    found = scan(path, memo)
    assert found.payloads() == contents
    assert [(f.id, f.kind) for f in found.failures] == [
        ("t:4", "transient"),
        *((f"t:{row}", "permanent") for row in (5, 6, 7)),
    ]
    assert found.failures[0].reason == "gone.png: the file is missing"
    assert found.failures[1].reason == "the image is empty: there are no bytes, and no path"
    write_image(tmp_path / "i" / "1.png", 9)  # the table is as it was
    assert scan(path, memo).keys[1] == key_of("image", (tmp_path / "i" / "1.png").read_bytes())


def test_null_and_empty_bytes_are_named(tmp_path: Path) -> None:
    contents = pictures(tmp_path / "i", 2)
    found = scan(write_parquet(tmp_path / "t.parquet", {"image": [contents[0], None, b"", contents[1]]}))
    assert found.payloads() == contents
    assert [(f.id, f.kind) for f in found.failures] == [("t:2", "permanent"), ("t:3", "permanent")]


def test_split_files_are_one_data_set(tmp_path: Path) -> None:
    contents = pictures(tmp_path / "i", 6)
    (tmp_path / "d").mkdir()
    for shard in (0, 1):
        columns = {"image": contents[2 * shard : 2 * shard + 2], "label": [0, 1]}
        write_parquet(tmp_path / "d" / f"train-0000{shard}-of-00002.parquet", columns)
    write_table(tmp_path / "d" / "test.parquet", {"image": ["../i/4.png", "../i/5.png"], "label": [0, 1]})
    found = scan(tmp_path / "d")
    assert dict(zip(found.ids, found.payloads(), strict=True)) == {
        "test:1": contents[4],
        "test:2": contents[5],
        **{f"train:{row + 1}": contents[row] for row in range(4)},
    }
    assert found.column("split") == ["test", "test", "train", "train", "train", "train"]
    assert found.column("origin")[-1] == "train-00001-of-00002.parquet:2"


def test_a_second_scan_reads_no_image(tmp_path: Path, later: Callable[[], None]) -> None:
    contents = pictures(tmp_path / "i", 20)
    plain = {"compression": "none", "use_dictionary": False}
    columns = {"image": contents, "label": [1] * 20}
    path = write_parquet(tmp_path / "t.parquet", columns, row_group_size=4, **plain)
    later()
    memo = MemoryMemo()
    first = scan(path, memo)
    assert (memo.n_unknown, len(memo.known)) == (20, 20)
    assert scan(path, memo).keys == first.keys
    assert memo.n_unknown == 20
    spoilt = bytearray(path.read_bytes())
    start = spoilt.index(contents[7])
    spoilt[start - 40 : start + len(contents[7])] = bytes(40 + len(contents[7]))
    path.write_bytes(spoilt)
    blocks = list(open_source(path, SourceOptions()).scan(KnowsAll()))
    assert sum(block.table.num_rows for block in blocks) == 20


def test_a_young_file_is_not_remembered(tmp_path: Path) -> None:
    memo = MemoryMemo()
    scan(write_parquet(tmp_path / "t.parquet", {"image": pictures(tmp_path / "i", 2)}), memo)
    assert memo.known == {}


def test_a_file_that_changes_during_the_run_is_named(tmp_path: Path) -> None:
    contents = pictures(tmp_path / "i", 40)
    path = write_parquet(tmp_path / "t.parquet", {"image": contents[:20]}, row_group_size=1)
    found = scan(path)
    write_parquet(path, {"image": contents[20:]}, row_group_size=1)
    with pytest.raises(SampleError, match=r"t\.parquet has changed since it was opened"):
        found.source.payload(0)
    path.unlink()
    with pytest.raises(SampleError, match=r"t\.parquet, row 1: the file is missing"):
        found.source.payload(0)


def test_a_file_that_changes_before_it_is_scanned_is_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", {"image": pictures(tmp_path / "i", 2)})
    source = open_source(path, SourceOptions())
    write_parquet(path, {"image": [b"other"]})
    with pytest.raises(DataError, match=r"t\.parquet has changed"):
        list(source.scan(MemoryMemo()))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_half_a_file_is_named(tmp_path: Path, share: float) -> None:
    path = write_parquet(tmp_path / "t.parquet", {"image": pictures(tmp_path / "i", 50)})
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(DataError, match=r"t\.parquet cannot be read: .*cut short"):
        scan(path)


def test_a_damaged_page_is_named(tmp_path: Path) -> None:
    contents = [random.Random(n).randbytes(500) for n in range(50)]
    path = write_parquet(
        tmp_path / "t.parquet", {"image": contents}, compression="snappy", use_dictionary=False
    )
    spoilt = bytearray(path.read_bytes())
    spoilt[4:60] = b"\xff" * 56
    path.write_bytes(spoilt)
    with pytest.raises(DataError, match=r"t\.parquet cannot be read"):
        scan(path)


def test_several_threads_get_what_one_would(tmp_path: Path) -> None:
    contents = [b"%d" % n * 50 for n in range(2000)]
    found = scan(write_parquet(tmp_path / "t.parquet", {"image": contents}, row_group_size=37))
    rows = random.Random(0).sample(range(2000), 2000)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(found.source.payload, rows)) == [contents[row] for row in rows]


def test_more_files_than_may_be_open_are_read(tmp_path: Path) -> None:
    for shard in range(12):
        write_parquet(tmp_path / f"train-{shard:05d}.parquet", {"image": [b"%d" % shard] * 3})
    found = scan(tmp_path)
    assert [found.source.payload(row) for row in (35, 0, 17)] == [b"11", b"0", b"5"]
    assert [found.source.payload(row) for row in range(36)] == [b"%d" % (row // 3) for row in range(36)]


@given(
    contents=st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=30),
    rows_per_group=st.integers(1, 12),
    data=st.data(),
)
@settings(max_examples=examples(30), deadline=None)
def test_any_rows_in_any_order_give_their_bytes(
    contents: list[bytes], rows_per_group: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    found = scan(write_parquet(path, {"image": contents}, row_group_size=rows_per_group))
    rows = data.draw(st.lists(st.integers(0, len(contents) - 1), max_size=20))
    assert [found.source.payload(row) for row in rows] == [contents[row] for row in rows]


def test_a_large_row_group_is_read_piece_by_piece(tmp_path: Path) -> None:
    """64 MB in one row group; what a scan holds is a few chunks of 16 MB in Arrow, and less in Python."""
    path = tmp_path / "t.parquet"
    schema = pa.schema([("image", pa.binary())])
    with pq.ParquetWriter(
        path, schema, use_dictionary=False, compression="none", write_batch_size=8
    ) as writer:
        writer.write_table(pa.table({"image": [bytes([n]) * 250_000 for n in range(256)]}, schema))
    pa.default_memory_pool().release_unused()
    before = pa.default_memory_pool().bytes_allocated()
    tracemalloc.start()
    found = scan(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.source.rows_per_block == 256
    assert peak < 40 << 20
    assert sum(len(found.source.payload(row)) for row in range(256)) == 64_000_000
    assert pa.default_memory_pool().bytes_allocated() - before < 150 << 20


class TestWhichColumn:
    """Which column holds the images."""

    def test_bytes_under_any_name_are_images_if_nothing_else_is(self, tmp_path: Path) -> None:
        contents = pictures(tmp_path / "i", 2)
        path = write_parquet(tmp_path / "t.parquet", {"blob": contents, "label": ["x", "y"]})
        assert scan(path).payloads() == contents
        path = write_parquet(tmp_path / "u.parquet", {"a": contents, "b": contents})
        with pytest.raises(ConfigError, match="'a', 'b' could each be the image"):
            scan(path)
        assert scan(path, image_column="b").source.description.endswith("columns left out: 'a' (bytes)")

    def test_images_and_texts_ask_which_or_both(self, tmp_path: Path) -> None:
        contents = pictures(tmp_path / "i", 2)
        path = write_parquet(tmp_path / "t.parquet", {"image": contents, "caption": ["one", "two"]})
        with pytest.raises(ConfigError, match=r"--image-column image or --text-column caption, or both"):
            scan(path)
        assert scan(path, text_column="caption").payloads() == ["one", "two"]

    @pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view(), "categories"])
    def test_bytes_of_every_type_are_images(self, tmp_path: Path, kind: Any) -> None:
        first, second = pictures(tmp_path / "i", 2)
        contents = [first, second, first]
        column = pa.array(contents).dictionary_encode() if kind == "categories" else pa.array(contents, kind)
        found = scan(write_parquet(tmp_path / "t.parquet", {"image": column}))
        assert found.payloads() == contents
