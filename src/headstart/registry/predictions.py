"""Reading back what a run said of each sample: its ``predictions.parquet``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headstart.arrow import codes_by_name, mask_of
from headstart.errors import StorageError
from headstart.keys import KEY_BYTES

PREDICTIONS = "predictions.parquet"
COLUMNS = ("id", "key", "split", "label", "prediction")
ROWS_AT_ONCE = 1 << 16


def read_predictions(run: Path, split: str) -> pa.Table:
    """The predictions of a run for the samples of one split, in their order.

    Raises
    ------
    StorageError
        The file is missing, truncated or damaged, or lacks a column.
    """
    path = run / PREDICTIONS
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            _check(path, schema)
            batches = file.iter_batches(ROWS_AT_ONCE, use_threads=False)
            return pa.Table.from_batches([of_split(batch, split) for batch in batches], schema)
    except FileNotFoundError as error:
        raise StorageError(f"{run} has no {PREDICTIONS}; restore it, or make the run again") from error
    except (pa.ArrowException, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StorageError(
            f"{path} cannot be read ({reason[:120]}): it is truncated or damaged; restore it, or make the run again"
        ) from error


def of_split(rows: Any, split: str) -> Any:
    """The rows of a table, or of a batch of one, that are in a split."""
    return rows.filter(mask_of(codes_by_name(rows.column("split"), [split]) == 0))


def _check(path: Path, schema: pa.Schema) -> None:
    missing = [name for name in COLUMNS if name not in schema.names]
    if missing:
        raise StorageError(
            f"{path} has no column {missing[0]!r}, so headstart did not write it; make the run again"
        )
    for name, expected in (("key", pa.binary(KEY_BYTES)), ("split", pa.string()), ("id", pa.string())):
        if schema.field(name).type != expected:
            raise StorageError(
                f"{path} has {schema.field(name).type} in column {name!r}, expected {expected}; make the run again"
            )
