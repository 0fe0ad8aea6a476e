"""The splits that a set assigned, read without its other columns, and a row group at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.arrow import codes_by_name, keys_from_arrow
from headstart.cache.sets import REPAIR
from headstart.errors import CorruptShardError
from headstart.keys import KEY_BYTES
from headstart.types import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet


def read_splits(features: FeatureSet) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """The keys of a set, shape (N, 16), and the split of each as an index into ``SPLITS``, shape (N,).

    Raises
    ------
    CorruptShardError
        Its table of samples cannot be read.
    """
    path = features.path / "samples.parquet"
    try:
        with pq.ParquetFile(path) as file:
            keys = np.empty((file.metadata.num_rows, KEY_BYTES), dtype=np.uint8)
            splits = np.empty(len(keys), dtype=np.int8)
            start = 0
            for number in range(file.num_row_groups):
                group = file.read_row_group(number, columns=["key", "split"], use_threads=False)
                rows = slice(start, start + group.num_rows)
                keys[rows] = keys_from_arrow(group.column("key"))
                splits[rows] = codes_by_name(group.column("split"), SPLITS)
                start += group.num_rows
    except (OSError, pa.ArrowException) as error:
        raise CorruptShardError(f"{path} cannot be read ({error}); {REPAIR}") from error
    return keys, splits
