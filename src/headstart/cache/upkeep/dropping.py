"""Dropping rows out of a space: which shards change, and writing what is kept of them anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.cache.formats import format_of, shard_format
from headstart.cache.upkeep.merging import Component, pack_groups, replace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.index import Index
    from headstart.cache.space import Space


@dataclass(frozen=True, slots=True)
class Drop:
    """What would change.

    Parameters
    ----------
    components : tuple of Component
        Those that hold a row which is not kept.
    kept_bytes : mapping
        About how many bytes of each are kept.
    n_rows, n_bytes : int
        What goes, in all.
    """

    components: tuple[Component, ...]
    kept_bytes: Mapping[Component, int]
    n_rows: int
    n_bytes: int


def plan_drop(index: Index, keep: NDArray[np.bool_], components: Sequence[Component]) -> Drop:
    """Find the components that have to be written anew.

    Parameters
    ----------
    index : Index
    keep : ndarray of bool, shape (len(index),)
        Which of its rows are kept.
    components : sequence of Component
        Those that may be changed.
    """
    kept = _shares_kept(index, keep, components)
    changing = tuple(one for one in components if kept[one] < 1)
    sizes = {one: int(one.n_bytes * kept[one]) for one in changing}
    names = np.array([name for one in changing for name in one.names], dtype=np.str_)
    at = np.isin(np.array(index.shards), names)[index.shard]
    n_bytes = sum(one.n_bytes - sizes[one] for one in changing)
    return Drop(changing, sizes, int((at & ~keep).sum()), n_bytes)


def drop_rows(
    space: Space, index: Index, keep: NDArray[np.bool_], drop: Drop, dispose: Callable[[Path], object]
) -> None:
    """Write what is kept anew, and take the old shards away; see `headstart.cache.upkeep.merging.replace`."""
    for group in pack_groups(drop.components, drop.kept_bytes):
        names = [name for one in group for name in one.names]
        largest = max(names, key=lambda name: (space.shards_dir / name).stat().st_size)
        replace(space, index, names, shard_format(format_of(Path(largest))), dispose, keep)


def _shares_kept(
    index: Index, keep: NDArray[np.bool_], components: Sequence[Component]
) -> dict[Component, float]:
    """The share of each component's keys that are kept, in [0, 1]."""
    n_rows = np.bincount(index.shard, minlength=len(index.shards))
    n_kept = np.bincount(index.shard[keep], minlength=len(index.shards))
    number = {name: position for position, name in enumerate(index.shards)}
    members = {one: [number[name] for name in one.names] for one in components}
    return {one: float(n_kept[at].sum() / max(n_rows[at].sum(), 1)) for one, at in members.items()}
