"""The shard formats, by the name that users give and by the ending of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from headstart.errors import ConfigError

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


def format_name(name: str) -> FormatName:
    """A format's name, as a user wrote it.

    Raises
    ------
    ConfigError
        There is none of that name.
    """
    match name:
        case "hdf5" | "parquet":
            return name
    raise ConfigError(f"there is no shard format {name!r}; choose hdf5 or parquet")


def format_of(path: Path) -> FormatName:
    """The format of a shard, by the ending of its name."""
    return "hdf5" if path.suffix == ".h5" else "parquet"


def open_shard(path: Path) -> ShardReader:
    """Open a shard of either format."""
    return shard_format(format_of(path)).open(path)


def count_rows(path: Path) -> int:
    """How many rows a shard says that it has; nothing but its metadata is read, and not its digest."""
    if format_of(path) == "hdf5":
        return len(open_shard(path).keys())  # mapped, not read
    from headstart.cache.parquet import count_rows as count_parquet_rows

    return count_parquet_rows(path)
