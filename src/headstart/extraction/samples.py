"""The table of samples that a source is registered as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from headstart.arrow import keys_from_arrow
from headstart.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo, Progress, Source
    from headstart.types import Failure


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


def register(source: Source, memo: KeyMemo, progress: Progress) -> Samples:
    """Scan a source: ids, keys, splits and labels of every sample.

    Raises
    ------
    DataError
        It has no usable sample.
    """
    tables: list[pa.Table] = []
    failures: list[Failure] = []
    progress.begin("scanning", None)
    try:
        for block in source.scan(memo):
            tables.append(block.table)
            failures.extend(block.failures)
            progress.advance(block.table.num_rows)
    finally:
        progress.end()
    if not sum(table.num_rows for table in tables):
        detail = f": {failures[0].id}: {failures[0].reason}" if failures else ""
        raise DataError(f"no usable sample was found ({len(failures)} were skipped{detail})")
    table = pa.concat_tables(tables, promote_options="default")
    return Samples(table, keys_from_arrow(table.column("key")), failures)
