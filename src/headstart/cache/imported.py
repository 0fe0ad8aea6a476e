"""Rows that something else computed, in a space of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from headstart.cache.formats import concatenated
from headstart.cache.layout import SHARD_BYTES
from headstart.cache.matrices import Matrix
from headstart.cache.recipe import NUMERICS, Recipe
from headstart.cache.space import Space
from headstart.contracts import Progress, ShardFormat
from headstart.errors import MismatchError
from headstart.keys import KEY_BYTES, first_occurrences
from headstart.progress import shown
from headstart.types import Features

SCHEME = "imported:"


def imported_spec(backbone: str) -> str:
    """What a set calls the backbone of imported features.

    Examples
    --------
    >>> imported_spec("resnet"), imported_spec("imported:resnet")
    ('imported:resnet', 'imported:resnet')
    """
    return SCHEME + backbone.removeprefix(SCHEME)


def imported_recipe(backbone: str, dtype: np.dtype[np.floating]) -> Recipe:
    """The recipe of imported features: what they are called is all that is known of how they came about."""
    half = dtype == np.float16
    return Recipe(
        {
            "weights": "imported",
            "architecture": {"library": "imported", "name": backbone.removeprefix(SCHEME)},
            "preprocessing": {},
            "tap": "pooler",
            "compute": "fp16" if half else "fp32",
            "stored": "float16" if half else "float32",
            "numerics": NUMERICS,
        }
    )


def imported_keys(name: str, ids: Iterable[str]) -> NDArray[np.uint8]:
    """Keys of samples of which nothing but an id is known, shape (N, 16); "0" of one set is not "0" of another.

    Examples
    --------
    >>> imported_keys("photos", ["a.jpg"]).tobytes().hex()
    'ca952a6bed87a7491db1b103c479d959'
    """
    start = blake2b(b"imported\0" + name.encode("utf-8") + b"\0", digest_size=KEY_BYTES)
    digests = bytearray()  # and no list of them: each would take four times its bytes
    for one in ids:
        digest = start.copy()
        digest.update(one.encode("utf-8"))
        digests += digest.digest()
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, KEY_BYTES)


def check_imported(space: Space, keys: NDArray[np.uint8], matrix: Matrix, progress: Progress) -> None:
    """Read all rows once, before anything is written.

    Raises
    ------
    DataError
        A value cannot be stored.
    MismatchError
        The space holds another vector under one of the keys, or two rows of one key differ: a vector in
        a space never changes. Or its vectors are of another width: a space has but one.
    """
    width = space.rows(keys[:0]).kind.width
    if len(space) and width != matrix.width:
        raise MismatchError(
            f"{matrix.path} has {matrix.width} numbers a row, and the cache holds features of {width} under that "
            "name; import it under another --backbone name"
        )
    with shown(progress, "checking", len(keys)):
        _check(space, keys, matrix, progress)


def fill_imported(
    space: Space,
    keys: NDArray[np.uint8],
    matrix: Matrix,
    shard_format: ShardFormat,
    progress: Progress,
) -> int:
    """Commit those rows of a matrix that was checked which the space does not hold; how many they were."""
    fresh = np.zeros(len(keys), dtype=bool)
    fresh[first_occurrences(keys)] = True
    fresh &= ~space.held(keys)
    if not fresh.any():
        return 0
    with shown(progress, "importing", int(fresh.sum())):
        for features in _shards(keys, matrix, fresh):
            space.commit(features, shard_format)
            progress.advance(len(features))
    return int(fresh.sum())


def _check(space: Space, keys: NDArray[np.uint8], matrix: Matrix, progress: Progress) -> None:
    held = space.held(keys)
    before = space.rows(keys[held])
    place = np.cumsum(held) - 1  # of a held row among those
    copies = np.ones(len(keys), dtype=bool)
    copies[first_occurrences(keys)] = False
    twice = {keys[row].tobytes() for row in np.flatnonzero(copies)}
    seen: dict[bytes, bytes] = {}
    start = 0
    for block in matrix.blocks():
        rows = np.arange(start, start + len(block))
        there = rows[held[rows]]
        differ = (before.take(place[there]) != block[there - start]).any(axis=1)
        if differ.any():
            _refuse(matrix, int(there[np.flatnonzero(differ)[0]]), "the cache holds another vector")
        for row in rows if twice else ():
            key = keys[row].tobytes()
            if key in twice and seen.setdefault(key, vector := block[row - start].tobytes()) != vector:
                _refuse(matrix, int(row), "an earlier row has another vector")
        start += len(block)
        progress.advance(len(block))


def _shards(keys: NDArray[np.uint8], matrix: Matrix, wanted: NDArray[np.bool_]) -> Iterator[Features]:
    """The wanted rows in shards of the usual size."""
    parts: list[Features] = []
    n_bytes = start = 0
    for block in matrix.blocks():
        chosen = wanted[start : start + len(block)]
        parts.append(Features(keys[start : start + len(block)][chosen], block[chosen]))
        n_bytes += parts[-1].values.nbytes
        start += len(block)
        if n_bytes >= SHARD_BYTES:
            yield concatenated(parts)
            parts, n_bytes = [], 0
    if n_bytes:
        yield concatenated(parts)


def _refuse(matrix: Matrix, row: int, why: str) -> None:
    raise MismatchError(
        f"{matrix.path}, row {row + 1}: {why} under the same key, and a vector in a space never changes; "
        "import it under another --backbone name, or under another --set name"
    )
