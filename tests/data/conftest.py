"""Real files in fresh folders, and a memo of keys in memory."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image

from headstart.contracts import Source
from headstart.data import SourceOptions, open_source
from headstart.data.given import Given
from headstart.types import Failure


class MemoryMemo:
    """Keys by fingerprint, in a dictionary; counts what it did not know."""

    def __init__(self) -> None:
        self.known: dict[bytes, bytes] = {}
        self.n_unknown = 0

    def lookup(self, fingerprints: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        found = [self.known.get(fingerprint.tobytes()) for fingerprint in fingerprints]
        self.n_unknown += found.count(None)
        keys = b"".join(key or bytes(16) for key in found)
        known = np.array([key is not None for key in found], dtype=bool)
        return np.frombuffer(keys, dtype=np.uint8).reshape(-1, 16), known

    def remember(self, fingerprints: NDArray[np.uint8], keys: NDArray[np.uint8]) -> None:
        self.known.update(
            (fingerprint.tobytes(), key.tobytes())
            for fingerprint, key in zip(fingerprints, keys, strict=True)
        )


class KnowsAll:
    """A memo that knows every image, and keeps nothing."""

    def lookup(self, fingerprints: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        return fingerprints, np.ones(len(fingerprints), dtype=bool)

    def remember(self, fingerprints: NDArray[np.uint8], keys: NDArray[np.uint8]) -> None:
        raise AssertionError("all of it is known")


@dataclass(frozen=True)
class Scan:
    """All that a source gave."""

    source: Source
    table: pa.Table
    failures: list[Failure]

    def column(self, name: str) -> list[Any]:
        return list(self.table.column(name).to_pylist())

    @property
    def ids(self) -> list[str]:
        return self.column("id")

    @property
    def keys(self) -> list[bytes]:
        return self.column("key")

    def payloads(self) -> list[Any]:
        return [self.source.payload(row) for row in range(self.table.num_rows)]

    def by_id(self, name: str) -> dict[str, Any]:
        return dict(zip(self.ids, self.column(name), strict=True))


def scan(
    data: Any,
    memo: MemoryMemo | None = None,
    modality: Any = None,
    given: Given | None = None,
    **options: Any,
) -> Scan:
    """Open data and scan all of it."""
    source = open_source(data, SourceOptions(**options), modality, given)
    blocks = list(source.scan(memo or MemoryMemo()))
    failures = [failure for block in blocks for failure in block.failures]
    return Scan(source, pa.concat_tables([block.table for block in blocks]), failures)


def write_image(path: Path, number: int = 0) -> Path:
    """A small picture, another for every number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_images(root: Path, *names: str) -> Path:
    """Pictures of these names, each another."""
    for number, name in enumerate(names):
        write_image(root / name, number)
    return root


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and it is ten seconds later: what was written before is no longer young."""

    def advance() -> None:
        now = time.time_ns
        monkeypatch.setattr("time.time_ns", lambda: now() + 10_000_000_000)

    return advance


def write_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Write columns as the file's ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = list(zip(*columns.values(), strict=True))
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        pq.write_table(pa.table(dict(columns)), path)
    elif path.suffix in (".jsonl", ".ndjson"):
        lines = (json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) for row in rows)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    else:
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerows([list(columns), *rows])
    return path
