"""What every source must do: inherit from `SourceContract` and say how one is opened.

::

    class TestMyFormat(SourceContract):
        @pytest.fixture
        def open_data(self, tmp_path: Path) -> Callable[[], Source]:
            write_my_format(tmp_path / "data.mine")
            return lambda: open_source(tmp_path / "data.mine")
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headstart.keys import key_of
from headstart.types import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Source

    OpenData = Callable[[], Source]


class KeysInMemory:
    """A memo of keys by fingerprint; counts what it did not know."""

    def __init__(self) -> None:
        self.known: dict[bytes, bytes] = {}
        self.n_unknown = 0

    def lookup(self, fingerprints: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The keys that are known, zeros for others."""
        found = [self.known.get(fingerprint.tobytes()) for fingerprint in fingerprints]
        self.n_unknown += found.count(None)
        keys = b"".join(key or bytes(16) for key in found)
        known = np.array([key is not None for key in found], dtype=bool)
        return np.frombuffer(keys, dtype=np.uint8).reshape(-1, 16), known

    def remember(self, fingerprints: NDArray[np.uint8], keys: NDArray[np.uint8]) -> None:
        """Keep keys under fingerprints."""
        pairs = zip(fingerprints, keys, strict=True)
        self.known.update((fingerprint.tobytes(), key.tobytes()) for fingerprint, key in pairs)


def scan_all(source: Source, memo: KeysInMemory | None = None) -> pa.Table:
    """All samples of a source in one table."""
    return pa.concat_tables([block.table for block in source.scan(memo or KeysInMemory())])


class SourceContract:
    """Tests that every source passes. The data must hold at least two samples that can be read."""

    def test_it_says_what_the_data_was_taken_for(self, open_data: OpenData) -> None:
        """One line, before and after a scan."""
        source = open_data()
        assert source.description
        assert "\n" not in source.description
        scan_all(source)
        assert source.description
        assert "\n" not in source.description

    def test_a_scan_gives_the_columns_of_a_set(self, open_data: OpenData) -> None:
        """Ids, keys, splits and origins, then labels and metadata, each of its type."""
        source = open_data()
        schema = scan_all(source).schema
        assert schema.names[:4] == ["id", "key", "split", "origin"]
        assert schema.field("key").type == pa.binary(16)
        assert {schema.field(name).type for name in ("id", "split", "origin")} == {pa.string()}
        assert all(name.startswith(("label:", "meta:")) for name in schema.names[4:])
        labels = {name.removeprefix("label:") for name in schema.names if name.startswith("label:")}
        assert labels == set(source.label_kinds) == set(source.label_names)

    def test_ids_are_unique_and_splits_are_known(self, open_data: OpenData) -> None:
        """A sample is named by its id alone, and is in a split of ours or in none yet."""
        table = scan_all(open_data())
        ids = table.column("id").to_pylist()
        assert len(ids) >= 2
        assert len(set(ids)) == len(ids)
        assert set(table.column("split").to_pylist()) <= {None, *SPLITS}

    def test_a_key_is_that_of_the_payload(self, open_data: OpenData) -> None:
        """What the model will see is what the cache is addressed by."""
        source = open_data()
        memo, start = KeysInMemory(), 0
        for block in source.scan(memo):
            keys = block.table.column("key").to_pylist()
            for row, key in enumerate(keys, start):  # of a stream, only while its block is the last one
                assert key_of(source.modality, source.payload(row)) == key
            start += len(keys)
        assert start >= 2

    def test_every_scan_gives_the_same(self, open_data: OpenData) -> None:
        """The order depends on the data alone, and a memo changes nothing."""
        memo = KeysInMemory()
        first = scan_all(open_data(), memo)
        assert scan_all(open_data()).equals(first)
        assert scan_all(open_data(), memo).equals(first)
        source = open_data()
        scan_all(source)
        if not source.streams:
            assert scan_all(source).equals(first)
