"""Clusters as a column of the set's metadata: a new state of the set, in which nothing else is another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from headstart.arrow import keys_from_arrow
from headstart.cache.commit import commit_set
from headstart.cache.corrections import ENTRY, LINEAGE, KeptCorrections, lineage, turn_of
from headstart.cache.layout import META
from headstart.cache.made_columns import MADE_COLUMNS, joined
from headstart.cache.store import Cache
from headstart.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.types import Json


def check_name(features: FeatureSet, name: str) -> None:
    """Refuse a column that the data has, before any work is done.

    Raises
    ------
    ConfigError
        Its values would be lost.
    """
    if META + name in features.samples.column_names and name not in features.info.get(MADE_COLUMNS, {}):
        raise ConfigError(
            f"set {features.name!r} has a column {META + name!r} of its data, which clusters would replace; choose "
            "another --name"
        )


def keep_column(
    features: FeatureSet, name: str, keys: NDArray[np.uint8], values: pa.Array, about: Mapping[str, Json]
) -> FeatureSet:
    """Put values into a column of the set, by the keys that they are of: in the state that is in force by now.

    Samples of other keys have none.
    """
    cache = Cache(features.cache)
    while True:
        target = cache.open_set(features.name)
        check_name(target, name)
        table = target.samples
        column = joined(keys, values, keys_from_arrow(table.column("key")))
        if META + name in table.column_names:
            table = table.set_column(table.column_names.index(META + name), META + name, column)
        else:
            table = table.append_column(META + name, column)
        left_out = ("format", "created", LINEAGE)
        info = {entry: value for entry, value in target.info.items() if entry not in left_out}
        info[MADE_COLUMNS] = {**info.get(MADE_COLUMNS, {}), name: dict(about)}
        corrections = _kept(target)
        if corrections is not None:
            info[LINEAGE] = {**lineage(target.info), target.digest: turn_of(target.info)}
        done = commit_set(cache, target.name, table, info, target.failures, target.digest, corrections)
        if done is not None:
            return done


def _kept(target: FeatureSet) -> KeptCorrections | None:
    """The decisions that a state stands on, as the next one keeps them."""
    entry = target.info.get(ENTRY)
    if entry is None:
        return None
    return KeptCorrections(target.corrections, entry, entry["classes"])
