"""What people see of a sample: its text, or where its picture lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import keys_from_arrow
from headstart.cache.store import Cache
from headstart.config import ColumnConfig
from headstart.data import open_source
from headstart.errors import BackboneError, ConfigError, DataError, StorageError
from headstart.extraction.samples import register
from headstart.keys import contains
from headstart.progress import Silence

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.types import Json

MOST_SAMPLES = 50_000
"""Data of more samples is not read again for the sake of a few."""
MOST_LETTERS = 500
TEXTS = ("text", "text-pair")


def inputs_of(features: FeatureSet, table: pa.Table) -> list[str]:
    """What each sample of a table is, for people to read.

    Parameters
    ----------
    features : FeatureSet
    table : pyarrow.Table
        Rows of the set, with ``id``, ``key`` and ``origin``.

    Returns
    -------
    list of str
        The text, cut to 500 letters, where the data is still where it was, and small; else the origin, such as a
        file or a row of a table.
    """
    origins = [origin or "" for origin in table.column("origin").to_pylist()]
    said = features.info["source"]
    if (
        said["modality"] not in TEXTS
        or not said["location"]
        or len(features) > MOST_SAMPLES
        or not len(table)
    ):
        return origins
    try:
        texts = _texts(features, said, table)
    except (ConfigError, DataError, BackboneError, StorageError, OSError):
        return origins  # the data has moved or changed: what is shown is no reason to fail
    return [
        texts.get(name, origin) for name, origin in zip(table.column("id").to_pylist(), origins, strict=True)
    ]


def _texts(features: FeatureSet, said: Mapping[str, Json], table: pa.Table) -> dict[str, str]:
    """The texts of those whose content is what it was, by id."""
    known = {name: value for name, value in said["columns"].items() if "label" not in name}
    if known.get("streaming"):
        return {}
    source = open_source(
        said["location"], ColumnConfig(**known).source_options(labels=False), said["modality"]
    )
    if source.streams:
        return {}
    samples = register(source, Cache(features.cache).keys, Silence())
    ids = samples.table.column("id")
    wanted = pc.is_in(ids, table.column("id").combine_chunks()).to_numpy(zero_copy_only=False)
    wanted &= contains(keys_from_arrow(table.column("key")), samples.keys)
    return {ids[row].as_py(): _text(source.payload(row)) for row in wanted.nonzero()[0].tolist()}


def _text(payload: Any) -> str:
    parts: Sequence[Any] = [payload] if isinstance(payload, str) else payload
    text = " | ".join(str(part) for part in parts)
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"
