"""The shard formats, by the name that users give and by the ending of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from headstart.contracts import ShardFormat, ShardReader

FormatName: TypeAlias = Literal["hdf5", "parquet"]


def shard_format(name: FormatName) -> ShardFormat:
    """The format of a name."""
    match name:
        case "hdf5":
            from headstart.cache.hdf5 import Hdf5Format

            return Hdf5Format()
        case "parquet":
            from headstart.cache.parquet import ParquetFormat

            return ParquetFormat()


def open_shard(path: Path) -> ShardReader:
    """Open a shard of either format."""
    return shard_format("hdf5" if path.suffix == ".h5" else "parquet").open(path)
