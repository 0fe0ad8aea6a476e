"""Making the splits that the data does not bring.

Test takes 20 % and validation 10 % of the rest, by rank of BLAKE2b(seed, key) within each class.
Equal keys stay together, and samples that come later leave earlier assignments alone.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from headstart.keys import first_occurrences, words
from headstart.types import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.int8]

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1
NOT_GIVEN = -1
TRAIN, VALIDATION, TEST = range(3)

_ALIASES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


def split_name(name: str) -> str | None:
    """The split that a folder, file or cell means by its name; None if it means none.

    Examples
    --------
    >>> split_name("Dev"), split_name("shirts")
    ('validation', None)
    """
    return _ALIASES.get(name.strip().lower())


def complete_splits(
    keys: NDArray[np.uint8],
    classes: NDArray[np.int64],
    given: Codes,
    earlier: Codes,
    seed: int = 0,
) -> Codes:
    """Assign every sample to train, validation or test.

    Parameters
    ----------
    keys : ndarray of uint8, shape (N, 16)
    classes : ndarray of int64, shape (N,)
        The stratum of each sample.
    given : ndarray of int8, shape (N,)
        What the data says: an index into ``SPLITS``, or -1. Never changed, except that validation
        is made out of the train samples if the data has none, and test if it has none of that.
    earlier : ndarray of int8, shape (N,)
        What the set said before about the same key, or -1. Followed wherever the data is silent.
    seed : int

    Returns
    -------
    ndarray of int8, shape (N,)
        Indices into ``SPLITS``; complete, and disjoint in keys as far as the data itself is.
    """
    makes = [code for code in (TEST, VALIDATION) if not (given == code).any()]
    said = _by_key(keys, given)
    follow = ~np.isin(earlier, [NOT_GIVEN, *makes])  # `_make` follows it for what it makes
    silent = np.where(follow, earlier, TRAIN)
    split = np.where(said == NOT_GIVEN, silent, said).astype(np.int8)
    free = _keys_of_one_split(keys, split)
    for code, share in ((TEST, TEST_SHARE), (VALIDATION, VALIDATION_SHARE)):
        if code in makes:
            _make(split, code, share, keys, classes, free, earlier, seed)
    return split


def describe_making(given: Codes) -> str | None:
    """What `complete_splits` will make, in a phrase; None if the data brings it all."""
    missing = [
        f"{SPLITS[code]} ({share:.0%}{rest})"
        for code, share, rest in ((TEST, TEST_SHARE, ""), (VALIDATION, VALIDATION_SHARE, " of the rest"))
        if not (given == code).any()
    ]
    return " and ".join(missing) or None


def _by_key(keys: NDArray[np.uint8], given: Codes) -> Codes:
    """What the data says of each row, or else of another row with the same key."""
    group = _group(keys)
    of_key = np.full(group.max(initial=-1) + 1, NOT_GIVEN, dtype=np.int8)
    np.maximum.at(of_key, group, given)
    return np.where(given == NOT_GIVEN, of_key[group], given).astype(np.int8)


def _keys_of_one_split(keys: NDArray[np.uint8], split: Codes) -> NDArray[np.bool_]:
    """Rows whose key is in train only: a photo that is in test already must not enter validation."""
    group = _group(keys)
    fixed = np.zeros(group.max(initial=-1) + 1, dtype=bool)
    fixed[group[split != TRAIN]] = True
    free: NDArray[np.bool_] = ~fixed[group]
    return free


def _group(keys: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The number of each row's key, equal for equal keys."""
    hi, lo = words(keys)
    order = np.lexsort((lo, hi))
    new = np.ones(len(order), dtype=np.int64)
    new[1:] = (hi[order][1:] != hi[order][:-1]) | (lo[order][1:] != lo[order][:-1])
    group = np.empty(len(order), dtype=np.int64)
    group[order] = np.cumsum(new) - 1
    return group


def _make(
    split: Codes,
    code: int,
    share: float,
    keys: NDArray[np.uint8],
    classes: NDArray[np.int64],
    free: NDArray[np.bool_],
    earlier: Codes,
    seed: int,
) -> None:
    """Move a share of the free train samples of every class to ``code``, in place."""
    candidates = np.flatnonzero(free & (split == TRAIN))
    candidates = candidates[first_occurrences(keys[candidates])]
    chosen = np.zeros(len(split), dtype=bool)
    for stratum in np.unique(classes[candidates]):
        members = candidates[classes[candidates] == stratum]
        kept = members[earlier[members] == code]
        new = members[earlier[members] == NOT_GIVEN]
        wanted = min(_share_of(len(members), share) - len(kept), len(new))
        chosen[kept] = True
        if wanted > 0:
            chosen[new[np.argsort(_ranks(seed, keys[new]))[:wanted]]] = True
    group = _group(keys)
    moves = np.zeros(group.max(initial=-1) + 1, dtype=bool)
    moves[group[chosen]] = True
    split[moves[group] & free] = code


def _share_of(n: int, share: float) -> int:
    """At least one of two or more, never all of them."""
    return min(max(round(n * share), 1), n - 1) if n > 1 else 0


def _ranks(seed: int, keys: NDArray[np.uint8]) -> NDArray[np.uint64]:
    salt = seed.to_bytes(8, "little", signed=True)
    digests = (blake2b(salt + key.tobytes(), digest_size=8).digest() for key in keys)
    return np.fromiter((int.from_bytes(digest, "big") for digest in digests), np.uint64, len(keys))
