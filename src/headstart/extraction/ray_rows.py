"""What travels to workers on other machines: rows of samples by name, and the means to read them there."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import keys_from_arrow, keys_to_arrow
from headstart.errors import ConfigError, SampleError
from headstart.extraction.plan import ExtractionPlan
from headstart.extraction.samples import NAMES, Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.augmentation import View
    from headstart.cache.space import Space
    from headstart.contracts import Payloads, ShardFormat
    from headstart.types import Modality, Payload

MOST_BYTES = 64 << 20
"""That the means to read samples may have: more are samples themselves, which only this process has."""
MOST_ROWS = 16_384  # of a table: as many as are sorted by length together
LEAST_ROWS = 64
TABLES_PER_WORKER = 8  # so that all of them end together


@dataclass(frozen=True, slots=True)
class RowPlan:
    """What is the same for all rows of an `ExtractionPlan`."""

    spaces: tuple[Space, ...]
    taps: tuple[str, ...]
    shard_format: ShardFormat
    views: tuple[View | None, ...]
    modality: Modality

    def of(self, rows: pa.Table, source: Payloads | None) -> ExtractionPlan:
        """The plan of some rows, read from ``source``, or from the rows themselves."""
        keys = keys_from_arrow(rows.column("key"))
        n = rows.num_rows
        wants = np.array(rows.column("wants").to_pylist(), dtype=bool).reshape(n, len(self.views))
        units = np.frombuffer(bytes(rows.column("unit").to_pylist()), dtype=np.uint8)
        payloads: Payloads = SentTexts(rows, self.modality) if source is None else ChosenRows(source, rows)
        return ExtractionPlan(
            payloads,
            Samples(rows.select(NAMES), keys, []),
            self.spaces,
            self.taps,
            self.shard_format,
            np.arange(n),
            units,
            n,
            self.views,
            wants,
        )


class ChosenRows:
    """Rows of a source as a source of their own."""

    rows_per_block = None

    def __init__(self, source: Payloads, rows: pa.Table) -> None:
        self._source = source
        self._rows: list[int] = rows.column("row").to_pylist()

    @property
    def modality(self) -> Modality:
        return self._source.modality

    def read_ahead(self, row: int) -> None:
        self._source.read_ahead(self._rows[row])

    def payload(self, row: int) -> Payload:
        return self._source.payload(self._rows[row])


class SentTexts:
    """Texts that came with their rows: alone, in pairs, or as words."""

    rows_per_block = None

    def __init__(self, rows: pa.Table, modality: Modality) -> None:
        self.modality = modality
        self._contents = rows.column("content")

    def read_ahead(self, row: int) -> None:
        return

    def payload(self, row: int) -> Payload:
        content = self._contents[row].as_py()
        if content is None:
            raise SampleError("it changed after it was scanned, or cannot be read any more")
        return content[0] if self.modality == "text" else tuple(content)


def sends_content(source: Payloads) -> bool:
    """Whether samples travel with their rows.

    Texts are short and were read to be keyed; where they lie in a table, each worker would have to read all of it.
    """
    return "image" not in source.modality


def reader_of(source: Payloads) -> bytes:
    """What workers open to read samples by their rows, pickled; nothing where samples travel.

    Raises
    ------
    ConfigError
        The samples are in the memory of this process.
    """
    if sends_content(source):
        return b""
    try:
        pickled = pickle.dumps(source)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise ConfigError(f"{_ONLY_HERE} ({error}); {_WAY_OUT}") from error
    if len(pickled) > MOST_BYTES:
        raise ConfigError(f"{_ONLY_HERE} ({len(pickled) >> 20:,} MiB of them); {_WAY_OUT}")
    return pickled


_ONLY_HERE = "these samples lie in the memory of this process, and --engine ray works in others"
_WAY_OUT = "write them to files that all nodes see, or leave out --engine"


def tables_of(plan: ExtractionPlan, positions: NDArray[np.int64], n_workers: int) -> list[pa.Table]:
    """Rows of a plan's ``todo`` in tables, each of whole units: what one worker claims, no other waits for."""
    enough = min(max(-(-len(positions) // (n_workers * TABLES_PER_WORKER)), LEAST_ROWS), MOST_ROWS)
    order = np.argsort(plan.units[positions], kind="stable")
    positions = positions[order]
    ends = np.append(np.flatnonzero(np.diff(plan.units[positions])) + 1, len(positions))
    tables, start = [], 0
    for end in ends.tolist():
        if end - start >= enough or end == len(positions):
            tables.append(_table(plan, positions[start:end]))
            start = end
    return tables


def _table(plan: ExtractionPlan, positions: NDArray[np.int64]) -> pa.Table:
    rows = plan.todo[positions]
    names = plan.samples.table.select(NAMES).take(pa.array(rows.tolist(), pa.int64()))
    columns: dict[str, Any] = {
        **{name: names.column(name) for name in NAMES},
        "key": keys_to_arrow(plan.samples.keys[rows]),
        "row": pa.array(rows.tolist(), pa.int64()),
        "unit": pa.array(plan.units[positions].tolist(), pa.uint8()),
        "wants": pa.array(plan.wants[positions].tolist(), pa.list_(pa.bool_())),
    }
    if sends_content(plan.source):
        columns["content"] = pa.array(_contents(plan.source, rows.tolist()), pa.list_(pa.string()))
    return pa.table(columns)


def _contents(source: Payloads, rows: Sequence[int]) -> list[list[str] | None]:
    contents: list[list[str] | None] = []
    for row in rows:
        try:
            payload = source.payload(row)
        except SampleError:
            contents.append(None)
        else:
            contents.append([payload] if isinstance(payload, str) else [str(part) for part in payload])
    return contents
