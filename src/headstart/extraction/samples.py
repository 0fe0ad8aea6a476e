"""The table of samples that a source is registered as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from headstart.arrow import keys_from_arrow
from headstart.errors import DataError
from headstart.extraction.limit import NO_LIMIT, FailureLimit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo, Progress, Source
    from headstart.types import Failure, SampleBlock


@dataclass(frozen=True, slots=True)
class Samples:
    """All usable samples of a source, in its order.

    Parameters
    ----------
    table : pyarrow.Table
        The columns of a `SampleBlock`, N rows.
    keys : ndarray of uint8, shape (N, 16)
    failures : list of Failure
        What the source could not read.
    """

    table: pa.Table
    keys: NDArray[np.uint8]
    failures: list[Failure]

    def __len__(self) -> int:
        return len(self.keys)


def register(source: Source, memo: KeyMemo, progress: Progress, limit: FailureLimit = NO_LIMIT) -> Samples:
    """Scan a source: ids, keys, splits and labels of every sample.

    Raises
    ------
    DataError
        It has no usable sample, or more that are not than the limit allows.
    """
    blocks: list[SampleBlock] = []
    failures: list[Failure] = []
    progress.begin("scanning", None)
    try:
        for block in source.scan(memo):
            blocks.append(block)
            failures.extend(block.failures)
            limit.check(failures)
            progress.advance(block.table.num_rows)
    finally:
        progress.end()
    return samples_of(blocks)


def samples_of(blocks: Sequence[SampleBlock]) -> Samples:
    """The blocks of a scan as one table.

    Raises
    ------
    DataError
        There is no sample in them.
    """
    failures = [failure for block in blocks for failure in block.failures]
    if not sum(block.table.num_rows for block in blocks):
        detail = f": {failures[0].id}: {failures[0].reason}" if failures else ""
        raise DataError(f"no usable sample was found ({len(failures)} were skipped{detail})")
    table = pa.concat_tables([block.table for block in blocks], promote_options="default")
    return Samples(table, keys_from_arrow(table.column("key")), failures)
