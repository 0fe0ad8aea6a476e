"""Keys: 128 bits that say which bytes a feature was computed from.

A key is BLAKE2b-128 of the modality's name, a NUL byte, and the sample's encoded bytes: the bytes
of an image file, the UTF-8 of a text, both length-prefixed parts of a pair. Two names of one photo are
one key; a renamed, moved or relabelled sample keeps its key.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.types import Modality, Payload

KEY_BYTES = 16


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
    digest = blake2b(modality.encode("ascii") + b"\0", digest_size=KEY_BYTES)
    digest.update(encode(payload))
    return digest.digest()


def pack(keys: Iterable[bytes]) -> NDArray[np.uint8]:
    """Keys as an array of shape (N, 16)."""
    return np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES)


def words(keys: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Keys as two native 64-bit columns whose order is the order of the bytes.

    Two integer columns sort and search several times faster than byte strings, and unlike numpy's
    ``S16`` they do not strip trailing NULs.
    """
    columns = np.ascontiguousarray(keys).view(">u8").astype(np.uint64).reshape(-1, 2)
    return np.ascontiguousarray(columns[:, 0]), np.ascontiguousarray(columns[:, 1])


def first_occurrences(keys: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The rows, in order, at which a key is seen for the first time."""
    hi, lo = words(keys)
    order = np.lexsort((lo, hi))  # stable, so the first of equal keys is the earliest row
    hi, lo = hi[order], lo[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (hi[1:] != hi[:-1]) | (lo[1:] != lo[:-1])
    return np.sort(order[first])


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
    if len(hi) == 0:
        return np.zeros(len(keys), dtype=np.int64), np.zeros(len(keys), dtype=bool)
    query_hi, query_lo = words(keys)
    order = np.argsort(query_hi, kind="stable")  # sorted look-ups are several times faster
    positions = np.empty(len(keys), dtype=np.int64)
    positions[order] = np.searchsorted(hi, query_hi[order])
    positions = np.minimum(positions, len(hi) - 1)
    while True:  # a second round happens only where the first 64 bits of two keys are equal
        behind = (hi[positions] == query_hi) & (lo[positions] < query_lo)
        behind &= positions < len(hi) - 1
        if not behind.any():
            break
        positions[behind] += 1
    return positions, (hi[positions] == query_hi) & (lo[positions] == query_lo)


def contains(keys: NDArray[np.uint8], queries: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of the queries, shape (M, 16), are among the keys, shape (N, 16); shape (M,)."""
    hi, lo = words(keys)
    order = np.lexsort((lo, hi))
    return search(hi[order], lo[order], queries)[1]
