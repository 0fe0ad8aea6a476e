"""The inputs behind the samples of a set: texts and images, where its data still is where and what it was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.arrow import keys_from_arrow, positions_in
from headstart.errors import BackboneError, ConfigError, DataError, SampleError, StorageError
from headstart.extraction.read_again import read_again
from headstart.progress import Silence

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Payloads
    from headstart.extraction.samples import Samples
    from headstart.types import Payload


@dataclass(frozen=True)
class SetInputs:
    """The data of a set, opened and scanned again."""

    source: Payloads
    samples: Samples
    root: Path
    """The folder that the data lies in."""

    def rows_of(self, table: pa.Table) -> NDArray[np.int64]:
        """The row of the data of each sample by ``id`` and ``key``; -1 where it is gone or another one now."""
        rows = positions_in(table.column("id"), self.samples.table.column("id"))
        if not len(self.samples.keys):
            return rows
        same = (self.samples.keys[np.maximum(rows, 0)] == keys_from_arrow(table.column("key"))).all(axis=1)
        return np.where(same, rows, -1)

    def payload(self, row: int) -> Payload | None:
        """The content of a row; None if it cannot be read any more."""
        try:
            return self.source.payload(row)
        except SampleError:
            return None

    def path(self, row: int) -> Path | None:
        """The file that a row is, on this machine; None where it is a part of one."""
        origin = self.samples.table.column("origin")[row].as_py()
        path = self.root / origin if origin else self.root
        return path.absolute() if path.is_file() else None


def inputs_of_set(features: FeatureSet) -> SetInputs | None:
    """The data of a set; None where it has moved, or lay in memory, or can only be streamed."""
    said = features.info["source"]
    if not said["location"] or said["columns"].get("streaming"):
        return None
    try:
        raw = read_again(features, None, Silence())
    except (ConfigError, DataError, BackboneError, StorageError, OSError):
        return None  # what is shown beside features is no reason to fail
    location = Path(str(said["location"]))
    return SetInputs(raw.source, raw.samples, location if location.is_dir() else location.parent)
