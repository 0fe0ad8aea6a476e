"""Keys: 128 bits that say which bytes a feature was computed from.

A key is BLAKE2b-128 of the modality's name, a NUL byte, and the sample's encoded bytes: the bytes
of an image file, the UTF-8 of a text, both length-prefixed parts of a pair, as are all words of a sequence. Two names
of one photo are one key; a renamed, moved or relabelled sample keeps its key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.types import Modality, Payload

KEY_BYTES = 16
ROWS_AT_ONCE = 1 << 16
"""Rows of a table of any size that are worked on together, where what that takes for each is not kept."""


def encode(payload: Payload) -> bytes:
    """The bytes that a payload is known by.

    Examples
    --------
    >>> encode(("ab", "c"))[:9]
    b'\\x02\\x00\\x00\\x00\\x00\\x00\\x00\\x00a'
    """
    if isinstance(payload, bytes):
        return payload
    if isinstance(payload, str):
        return payload.encode("utf-8")
    parts = [part if isinstance(part, bytes) else part.encode("utf-8") for part in payload]
    # Without the lengths ("ab", "c") and ("a", "bc") would share a key.
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


def key_of(modality: Modality, payload: Payload) -> bytes:
    """The 16-byte key of one sample.

    Examples
    --------
    >>> key_of("text", "hello").hex() == key_of("image", b"hello").hex()
    False
    """
    digest = _begun(modality).copy()
    digest.update(encode(payload))
    return digest.digest()


def text_keys() -> Callable[[str], bytes]:
    """What `key_of` gives of a text, in two thirds of the time: for a table of them.

    Examples
    --------
    >>> text_keys()("hello") == key_of("text", "hello")
    True
    """
    begin = _begun("text").copy

    def key_of_text(text: str) -> bytes:
        digest = begin()
        digest.update(text.encode())
        return digest.digest()

    return key_of_text


@cache
def _begun(modality: Modality) -> blake2b:
    """The part that all samples of a modality share: to copy it is faster than to begin anew."""
    return blake2b(modality.encode("ascii") + b"\0", digest_size=KEY_BYTES)


def pack(keys: Iterable[bytes]) -> NDArray[np.uint8]:
    """Keys as an array of shape (N, 16)."""
    return np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES)


def words(keys: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Keys as two native 64-bit columns whose order is the order of the bytes.

    Two integer columns sort and search several times faster than byte strings, and unlike numpy's
    ``S16`` they do not strip trailing NULs.
    """
    return _word(keys, 0), _word(keys, 1)


def ranks(keys: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The place of each key in the order of keys, shape (N,); of equal keys the first row comes first.

    Examples
    --------
    >>> ranks(pack([bytes([3] * 16), bytes([1] * 16), bytes([3] * 16)])).tolist()
    [1, 0, 2]
    """
    high, low = words(keys)
    places = np.empty(len(keys), dtype=np.int64)
    places[np.lexsort((low, high))] = np.arange(len(keys))
    return places


def first_by_key(keys: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The first row of each key, in the order of the keys."""
    order, is_first = _sorted(keys)
    return order[is_first]


def first_occurrences(keys: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The rows, in order, at which a key is seen for the first time."""
    copies = copies_among(keys)
    if not len(copies.rows):
        return np.arange(len(keys))
    chosen = np.ones(len(keys), dtype=bool)
    chosen[copies.rows[~copies.is_first]] = False
    return np.flatnonzero(chosen)


@dataclass(frozen=True, slots=True)
class Copies:
    """The rows whose key is that of another row as well, equal keys together; ``groups`` numbers the keys from 0.

    Most data has few of them: what must be the same for equal keys is settled among these rows alone.
    """

    rows: NDArray[np.int64]
    groups: NDArray[np.int64]
    is_first: NDArray[np.bool_]

    @property
    def n_groups(self) -> int:
        """How many keys there are more than once."""
        return int(self.is_first.sum())


def copies_among(keys: NDArray[np.uint8]) -> Copies:
    """The rows that share a key with another.

    Examples
    --------
    >>> copies = copies_among(pack([b"a" * 16, b"b" * 16, b"a" * 16]))
    >>> copies.rows.tolist(), copies.groups.tolist()
    ([0, 2], [0, 0])
    """
    near = _perhaps_copies(keys)
    order, is_first = _sorted(keys[near])
    again = np.flatnonzero(~is_first)
    shared = np.zeros(len(near), dtype=bool)
    shared[again] = shared[again - 1] = True
    firsts = is_first[shared]
    return Copies(near[order[shared]], np.cumsum(firsts) - 1, firsts)


def units_among(keys: NDArray[np.uint8], groups: NDArray[np.int64]) -> Copies:
    """The rows that belong to another by a key or a group that both have, as `copies_among`; a group below 0 is none.

    Examples
    --------
    >>> keys = pack([b"a" * 16, b"b" * 16, b"a" * 16, b"c" * 16])
    >>> units = units_among(keys, np.array([0, 1, 2, 1]))
    >>> units.rows.tolist(), units.groups.tolist()
    ([0, 2, 1, 3], [0, 0, 1, 1])
    """
    n = len(keys)
    unit = np.arange(n)
    copies = copies_among(keys)
    grouped = np.flatnonzero(groups >= 0)
    together = ((copies.rows, copies.groups), (grouped, groups[grouped]))
    while True:
        before = unit.copy()
        for rows, codes in together:
            least = np.full(int(codes.max(initial=-1)) + 1, n)
            np.minimum.at(least, codes, unit[rows])
            unit[rows] = least[codes]
        if np.array_equal(before, unit):
            break
    order = np.argsort(unit, kind="stable")
    shared = np.bincount(unit, minlength=n)[unit[order]] > 1
    rows = order[shared]
    is_first = np.ones(len(rows), dtype=bool)
    is_first[1:] = unit[rows][1:] != unit[rows][:-1]
    return Copies(rows, np.cumsum(is_first) - 1, is_first)


def search(
    hi: NDArray[np.uint64], lo: NDArray[np.uint64], keys: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Look keys up in two columns that are sorted by (hi, lo).

    Returns
    -------
    positions : ndarray of int64, shape (N,)
        Where each key stands; meaningless where it was not found.
    found : ndarray of bool, shape (N,)
    """
    positions = np.zeros(len(keys), dtype=np.int64)
    found = np.zeros(len(keys), dtype=bool)
    for rows in slices(len(keys) if len(hi) else 0):
        query_hi, query_lo = words(keys[rows])
        at = np.minimum(places(hi, lo, query_hi, query_lo), len(hi) - 1)
        positions[rows], found[rows] = at, (hi[at] == query_hi) & (lo[at] == query_lo)
    return positions, found


def places(
    hi: NDArray[np.uint64],
    lo: NDArray[np.uint64],
    query_hi: NDArray[np.uint64],
    query_lo: NDArray[np.uint64],
) -> NDArray[np.int64]:
    """How many of N entries, sorted by (hi, lo), come before each query; in [0, N]."""
    order = np.argsort(query_hi, kind="stable")  # sorted look-ups are several times faster
    positions = np.empty(len(query_hi), dtype=np.int64)
    positions[order] = np.searchsorted(hi, query_hi[order])
    while True:  # a second round happens only where the first 64 bits of two keys are equal
        inside = np.flatnonzero(positions < len(hi))
        at = positions[inside]
        behind = inside[(hi[at] == query_hi[inside]) & (lo[at] < query_lo[inside])]
        if not len(behind):
            return positions
        positions[behind] += 1


def contains(keys: NDArray[np.uint8], queries: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of the queries, shape (M, 16), are among the keys, shape (N, 16); shape (M,)."""
    found = same_rows(keys, queries)  # of data that grew, nearly all: what is left is looked for
    left = np.flatnonzero(~found)
    if len(left) == len(queries):
        return _among(keys, queries)
    found[left] = _among(keys, queries[left])
    return found


def same_rows(keys: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of M other keys equal the key in the same row, shape (M,).

    Examples
    --------
    >>> same_rows(pack([b"a" * 16, b"b" * 16]), pack([b"a" * 16, b"c" * 16, b"b" * 16])).tolist()
    [True, False, False]
    """
    same = np.zeros(len(others), dtype=bool)
    for rows in slices(min(len(keys), len(others))):
        one, other = (_halves(some[rows]) for some in (keys, others))
        same[rows] = (one[:, 0] == other[:, 0]) & (one[:, 1] == other[:, 1])
    return same


def slices(n: int, rows: int = ROWS_AT_ONCE) -> Iterator[slice]:
    """Slices that cover n rows, so many at a time."""
    return (slice(start, min(start + rows, n)) for start in range(0, n, rows))


def _halves(keys: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Both halves of each key, shape (N, 2): to compare, but not in the order of keys."""
    return np.ascontiguousarray(keys).view(np.uint64)


def _word(keys: NDArray[np.uint8], number: int) -> NDArray[np.uint64]:
    """The first (0) or the second (1) half of each key as a native integer."""
    column: NDArray[np.uint64] = np.ascontiguousarray(keys).view(">u8")[:, number].astype(np.uint64)
    return column


def _sorted(keys: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The rows in the order of their keys, and whether each has another key than the one before it."""
    hi = _word(keys, 0)
    order = np.argsort(hi, kind="stable")
    hi = hi[order]
    is_first = np.ones(len(keys), dtype=bool)
    np.not_equal(hi[1:], hi[:-1], out=is_first[1:])
    del hi
    again = np.flatnonzero(~is_first)
    if not len(again):
        return order, is_first
    lo = _word(keys, 1)
    if (lo[order[again]] != lo[order[again - 1]]).any():  # keys that differ in their second half only
        hi, order = _word(keys, 0), np.lexsort((lo, _word(keys, 0)))
        is_first[1:] = (hi[order[1:]] != hi[order[:-1]]) | (lo[order[1:]] != lo[order[:-1]])
    return order, is_first


def _perhaps_copies(keys: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The rows whose first half another row has as well: hardly any, most often.

    To sort numbers takes a tenth of the time of finding the order that sorts them.
    """
    hi = _word(keys, 0)
    hi.sort()
    shared = np.unique(hi[1:][hi[1:] == hi[:-1]])
    del hi
    if not len(shared):
        return np.empty(0, dtype=np.int64)
    return np.concatenate([rows.start + _rows_in(shared, _word(keys[rows], 0)) for rows in slices(len(keys))])


def _rows_in(some: NDArray[np.uint64], column: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The rows of a column that hold one of some sorted numbers."""
    at = np.minimum(np.searchsorted(some, column), len(some) - 1)
    return np.flatnonzero(some[at] == column)


def _among(keys: NDArray[np.uint8], queries: NDArray[np.uint8]) -> NDArray[np.bool_]:
    if len(queries) < len(keys):  # the fewer are sorted: a failure or two among a million samples
        return _met(queries, keys)
    found = _may_be_in(keys, queries)
    near = np.flatnonzero(found)
    found[near] = search(*words(keys[first_by_key(keys)]), queries[near])[1]
    return found


def _met(queries: NDArray[np.uint8], keys: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of the queries are met on a walk through the keys."""
    order, is_first = _sorted(queries)
    hi, lo = words(queries[order[is_first]])
    met = np.zeros(len(hi), dtype=bool)
    for rows in slices(len(keys) if len(queries) else 0):
        positions, found = search(hi, lo, keys[rows][_may_be_in(queries, keys[rows])])
        met[positions[found]] = True
    present = np.empty(len(queries), dtype=bool)
    present[order] = met[np.cumsum(is_first) - 1]
    return present


def _may_be_in(some: NDArray[np.uint8], keys: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which keys begin like one of some, by their first two bytes: few do, if those are few."""
    begins = np.zeros(1 << 16, dtype=bool)
    begins[_first_bytes(some)] = True
    return begins[_first_bytes(keys)]


def _first_bytes(keys: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The first two bytes of each key as a number."""
    return np.ascontiguousarray(keys).view(np.uint16)[:, 0]
