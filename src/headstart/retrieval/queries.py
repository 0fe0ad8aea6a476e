"""What is looked for: texts, images, samples of the set, or vectors; and their vectors in the space of its feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import codes_by_name
from headstart.backbones.pooling import display_tap
from headstart.data.pixels import as_array, is_array
from headstart.errors import ConfigError, DataError
from headstart.options import did_you_mean
from headstart.retrieval.contents import QueryContents

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.sets import HeldSamples

MOST_COMPARED = 20_000
"""Ids among which the nearest to a mistyped one is looked for."""


@dataclass(frozen=True, slots=True)
class Queries:
    """Q queries.

    Parameters
    ----------
    names : sequence of str
        Their texts, the paths of their images, or their ids.
    X : ndarray of shape (Q, D)
    own : ndarray of int64, shape (Q,)
        Their numbers among the samples that are searched; -1 where they are none.
    part : slice, optional
        The columns of the feature that they are compared with; None: all.
    contents : QueryContents
        What is shown of them.
    """

    names: Sequence[str]
    X: NDArray[Any]
    own: NDArray[np.int64]
    part: slice | None = None
    contents: QueryContents = field(default_factory=QueryContents)


def samples_like(
    everything: HeldSamples, among: HeldSamples, names: Sequence[str], ids: pa.ChunkedArray
) -> Queries:
    """Samples of the set, whose ``ids`` are those of all, whether they are among those that are searched or not.

    A DataError says that there is none of a name, or that it has no feature.
    """
    codes = codes_by_name(ids, names)
    rows = np.array([int((codes == list(names).index(name)).argmax()) for name in names], dtype=np.int64)
    for name, row in zip(names, rows.tolist(), strict=True):
        _check_id(everything, ids, name, row)
    places = np.full(len(everything.chosen), -1, dtype=np.int64)
    places[among.chosen] = np.arange(len(among))
    held = np.cumsum(everything.chosen) - 1
    return Queries(names, everything.open(is_ragged=False).take(held[rows]), places[rows])


def _check_id(held: HeldSamples, ids: pa.ChunkedArray, name: str, row: int) -> None:
    if ids[row].as_py() != name:
        known = ids.slice(0, MOST_COMPARED).to_pylist()
        hint = did_you_mean(name, known, "its ids are", most=3)
        raise DataError(f"set {held.of.name!r} has no sample {name!r}{hint}")
    if not held.chosen[row]:
        raise DataError(
            f"sample {name!r} of set {held.of.name!r} has no feature: it failed; see failures.jsonl"
        )


def vectors_in(query: Any) -> NDArray[Any] | None:
    """Query vectors, shape (Q, D), of an array of floats with one or two axes, which is no image."""
    if not is_array(query):
        return None
    array = as_array(query)
    if array.dtype.kind != "f" or array.ndim not in (1, 2):
        return None
    return array.reshape(-1, array.shape[-1])


def given_vectors(held: HeldSamples, X: NDArray[Any]) -> Queries:
    """Vectors in the space of the feature; a ConfigError says that they cannot be."""
    width = held.open(is_ragged=False).kind.width
    if X.shape[1] != width:
        raise ConfigError(
            f"a query has {X.shape[1]:,} numbers, and {held.feature.backbone} at {display_tap(held.feature.tap)} of "
            f"set {held.of.name!r} {width:,}"
        )
    if not len(X) or not np.isfinite(X).all():
        raise ConfigError("a query holds a number that is not finite" if len(X) else "there is no query")
    names = [f"vector {number}" for number in range(len(X))]
    return Queries(names, X, np.full(len(X), -1, dtype=np.int64))
