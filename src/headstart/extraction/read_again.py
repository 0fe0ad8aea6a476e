"""The data that a set was made of, read again: single samples of it, by key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.cache.store import Cache
from headstart.config import ColumnConfig
from headstart.data import open_source
from headstart.data.given import Given
from headstart.errors import ConfigError, MismatchError
from headstart.extraction.samples import Samples, register
from headstart.keys import first_by_key, search, words

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Payloads, Progress
    from headstart.types import Json


@dataclass(frozen=True)
class RawData:
    """The data that a set was made of, read again, with each key once, in order, and its row in the source."""

    source: Payloads
    samples: Samples
    keys: NDArray[np.uint8]
    rows: NDArray[np.int64]

    def holds(self, table: pa.Table) -> NDArray[np.bool_]:
        """Which rows of a set's table are samples that the data still has, shape (N,)."""
        return search(*words(self.keys), keys_from_arrow(table.column("key")))[1]

    def payloads(self, table: pa.Table) -> Callable[[int], Any]:
        """From a row of a set's table to the content of that sample; the data must have all of them."""
        places, there = search(*words(self.keys), keys_from_arrow(table.column("key")))
        if not there.all():
            first = table.column("id")[int(np.flatnonzero(~there)[0])].as_py()
            raise MismatchError(
                f"{int((~there).sum()):,} samples of the set are not in the data any more, e.g. {first!r}: it has "
                "changed since; extract it anew, or bring back what it was"
            )
        numbers = self.rows[places]
        return lambda row: self.source.payload(int(numbers[row]))


def read_again(features: FeatureSet, data: Any, progress: Progress, layout: str | None = None) -> RawData:
    """Open the data that a set was made of, where it is now, or where it was; a stream will not do.

    ``layout`` is the order of the axes of arrays in memory.
    """
    said: Mapping[str, Json] = features.info["source"]
    location = data if data is not None else said["location"]
    if location is None:
        raise ConfigError(
            f"set {features.name!r} was made of data in memory; give the data itself, as it was given to extract, "
            "instead of the set"
        )
    columns = said["columns"].items()
    known = {name: value for name, value in columns if "label" not in name and name != "streaming"}
    source = open_source(
        location, ColumnConfig(**known).source_options(labels=False), said["modality"], Given(layout=layout)
    )
    if source.streams:
        raise ConfigError(
            f"{source.description} can be read only as a stream, and single samples of it are needed; unpack "
            "it, or use its cached features alone"
        )
    samples = register(source, Cache(features.cache).keys, progress)
    rows = first_by_key(samples.keys)
    return RawData(source, samples, samples.keys[rows], rows)
