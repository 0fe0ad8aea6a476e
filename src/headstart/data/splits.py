"""Making the splits that the data does not bring.

Test takes 20 % and validation 10 % of the rest, by rank of BLAKE2b(seed, key) within each class.
Equal keys stay together, and samples that come later leave earlier assignments alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.data.column_names import plain
from headstart.errors import ConfigError
from headstart.keys import KEY_BYTES, copies_among, slices
from headstart.types import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.keys import Copies

    Codes = NDArray[np.int8]

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1
NOT_GIVEN = -1
SHOWN_NAMES = 3
TRAIN, VALIDATION, TEST = range(3)

LEFT_OUT = "none"
"""What ``--split-map`` calls the split of samples that are not taken."""

NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "eval"),
    "test": ("test", "testing", "holdout", "t10k"),
}
"""Each split under the names that people give it."""
_ALIASES = {name: split for split, names in NAMES.items() for name in names}


def split_name(name: str) -> str | None:
    """The split that a folder, file or cell means by its name; None if it means none.

    Examples
    --------
    >>> split_name("Dev"), split_name("shirts")
    ('validation', None)
    """
    return _ALIASES.get(plain(name))


def parse_split_map(given: Any) -> dict[str, str]:
    """The splits that names of the data's own stand for: a mapping, or ``NAME=SPLIT`` by comma.

    Raises
    ------
    ConfigError
        It is written otherwise, or a split is none.

    Examples
    --------
    >>> parse_split_map("eval=test, Extra=none")
    {'eval': 'test', 'extra': 'none'}
    """
    if given is None:
        return {}
    if isinstance(given, str | list | tuple):
        parts = given.split(",") if isinstance(given, str) else given
        pairs = [str(part).partition("=") for part in parts if str(part).strip()]
        if not all(equals and name.strip() for name, equals, _ in pairs):
            raise ConfigError(f"--split-map takes NAME=SPLIT, such as eval=validation (got {given!r})")
        given = {name: split for name, _, split in pairs}
    if not isinstance(given, Mapping):
        raise ConfigError(f"--split-map takes names and splits, such as eval=validation (got {given!r})")
    found = {}
    for name, split in given.items():
        meant = LEFT_OUT if split is None or plain(str(split)) == LEFT_OUT else split_name(str(split))
        if meant is None:
            raise ConfigError(
                f"--split-map {name}={split}: {split!r} is no split; there are train, validation, test, and none to "
                "leave samples out"
            )
        found[plain(str(name))] = meant
    return found


class SplitNames:
    """What the names of splits in one container mean: a folder, a table, tars, or a data set.

    Whatever the container is, a name that is not known is refused and never taken for train, and so are two names of
    one split, unless ``--split-map`` says what is meant by one of them (``given``).
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def of(self, name: str) -> str | None:
        """The split that a name means, `LEFT_OUT`, or None if it means none."""
        return self._given.get(plain(name)) or split_name(name)

    def speak_in(self, name: str) -> bool:
        """Whether a part of a name is that of a split, as in ``cifar10-train``."""
        return any(self.of(part) for part in re.split(r"[-_. ]", name))

    def hint(self, name: str) -> str | None:
        """The split that a name seems to mean by one of its parts, or but for a number; None if it seems to mean none.

        Examples
        --------
        >>> names = SplitNames({})
        >>> names.hint("20news-bydate-train"), names.hint("test1"), names.hint("bus")
        ('train', 'test', None)
        """
        parts = [*reversed(re.split(r"[-_. ]", name)), name.rstrip("0123456789")]
        return self.of(name) or next(filter(None, map(self.of, parts)), None)

    def suggestion(self, names: Iterable[str]) -> str:
        """The ``--split-map`` that gives a split to every name that has none, by what it seems to mean."""
        unknown = [name for name in dict.fromkeys(names) if self.of(name) is None]
        return "--split-map " + quote(",".join(f"{name}={self.hint(name) or 'test'}" for name in unknown))

    def check(self, names: Iterable[str], place: object) -> None:
        """Refuse names of splits that cannot stand beside each other.

        Raises
        ------
        ConfigError
            One is not known, or two mean one split.
        """
        by_split: dict[str, str] = {}
        names = list(dict.fromkeys(names))
        if unknown := [name for name in names if self.of(name) is None]:
            shown = " and ".join(map(repr, unknown[:SHOWN_NAMES])) + (
                " …" if len(unknown) > SHOWN_NAMES else ""
            )
            are = "is no name of a split that is known; say what it is"
            if len(unknown) > 1:
                are = "are no names of splits that are known; say what they are"
            raise ConfigError(
                f"{place}: {shown} {are}, such as {self.suggestion(names)}, or --split-map {unknown[0]}=none to leave "
                "it out"
            )
        for name in names:
            split = str(self.of(name))
            if plain(name) in self._given:
                continue
            other = by_split.setdefault(split, name)
            if plain(other) != plain(name):
                raise ConfigError(
                    f"{place}: {other!r} and {name!r} both mean {split}; say what {name!r} is, such as --split-map "
                    f"{name}=none to leave it out, or {name}={split} to take both together"
                )

    def said(self, names: Iterable[str]) -> list[str]:
        """The names that are not those of their splits, with what they were taken for."""
        told = {name: self.of(name) for name in names}
        renamed = [
            f"{name!r} as {split}"
            for name, split in told.items()
            if split not in (plain(name), LEFT_OUT, None)
        ]
        left = [f"{name!r} left out" for name, split in told.items() if split == LEFT_OUT]
        return [f"splits: {', '.join([*renamed, *left])}"] if renamed or left else []


def complete_splits(
    keys: NDArray[np.uint8],
    classes: NDArray[np.integer[Any]],
    given: Codes,
    earlier: Codes,
    seed: int = 0,
    copies: Copies | None = None,
    groups: Callable[[int], str | None] | None = None,
) -> Codes:
    """Assign every sample to train, validation or test.

    Parameters
    ----------
    keys : ndarray of uint8, shape (N, 16)
    classes : ndarray of int, shape (N,)
        The stratum of each sample.
    given : ndarray of int8, shape (N,)
        What the data says: an index into ``SPLITS``, or -1. Never changed, except that validation
        is made out of the train samples if the data has none, and test if it has none of that.
    earlier : ndarray of int8, shape (N,)
        What the set said before about the same key, or -1. Followed wherever the data is silent.
    seed : int
    copies : Copies, optional
        The rows that share a key with another, or belong to another by its group; None: look for those of one key.
    groups : callable, optional
        Gives the group of a row, whose rank is then that of its group.

    Returns
    -------
    ndarray of int8, shape (N,)
        Indices into ``SPLITS``; complete, and disjoint in keys as far as the data itself is.
    """
    copies = copies_among(keys) if copies is None else copies
    makes = [code for code in (TEST, VALIDATION) if not (given == code).any()]
    said = _by_key(copies, given)
    follow = np.all([earlier != code for code in (NOT_GIVEN, *makes)], axis=0)  # `_make` follows the others
    split = np.where(said == NOT_GIVEN, np.where(follow, earlier, np.int8(TRAIN)), said)
    free = _keys_of_one_split(copies, split)
    ranks = _Ranks(seed, keys, groups)
    for code, share in ((TEST, TEST_SHARE), (VALIDATION, VALIDATION_SHARE)):
        if code in makes:
            _make(split, code, share, classes, free, earlier, copies, ranks)
    return split


def count_shared(copies: Copies, split: Codes) -> int:
    """In how many splits too many the keys are: a key in all three counts twice."""
    seen = np.zeros((copies.n_groups, len(SPLITS)), dtype=bool)
    seen[copies.groups, split[copies.rows]] = True
    return int(seen.sum()) - copies.n_groups


def describe_making(given: Codes) -> str | None:
    """What `complete_splits` will make, in a phrase; None if the data brings it all."""
    missing = [
        f"{SPLITS[code]} ({share:.0%}{rest})"
        for code, share, rest in ((TEST, TEST_SHARE, ""), (VALIDATION, VALIDATION_SHARE, " of the rest"))
        if not (given == code).any()
    ]
    return " and ".join(missing) or None


def _by_key(copies: Copies, given: Codes) -> Codes:
    """What the data says of each row, or else of another row with the same key."""
    said = given.copy()
    of_key = np.full(copies.n_groups, NOT_GIVEN, dtype=np.int8)
    np.maximum.at(of_key, copies.groups, given[copies.rows])
    silent = given[copies.rows] == NOT_GIVEN
    said[copies.rows[silent]] = of_key[copies.groups[silent]]
    return said


def _keys_of_one_split(copies: Copies, split: Codes) -> NDArray[np.bool_]:
    """Rows whose key is in train only: a photo that is in test already must not enter validation."""
    free: NDArray[np.bool_] = split == TRAIN
    fixed = np.zeros(copies.n_groups, dtype=bool)
    fixed[copies.groups[~free[copies.rows]]] = True
    free[copies.rows] = ~fixed[copies.groups]
    return free


def _make(
    split: Codes,
    code: int,
    share: float,
    classes: NDArray[np.integer[Any]],
    free: NDArray[np.bool_],
    earlier: Codes,
    copies: Copies,
    ranks: _Ranks,
) -> None:
    """Move a share of the free train samples of every class to ``code``, in place."""
    candidates = free & (split == TRAIN)
    candidates[copies.rows[~copies.is_first]] = False  # a key takes part once, by its first row
    chosen = np.zeros(len(split), dtype=bool)
    for members in _by_class(np.flatnonzero(candidates), classes):
        kept = members[earlier[members] == code]
        new = members[earlier[members] == NOT_GIVEN]
        wanted = min(_share_of(len(members), share) - len(kept), len(new))
        chosen[kept] = True
        if wanted > 0:
            chosen[new[np.argsort(ranks.of(new))[:wanted]]] = True
    moves = np.zeros(copies.n_groups, dtype=bool)
    moves[copies.groups[chosen[copies.rows]]] = True
    chosen[copies.rows] = moves[copies.groups]
    split[chosen & free] = code


def _by_class(rows: NDArray[np.int64], classes: NDArray[np.integer[Any]]) -> Iterator[NDArray[np.int64]]:
    """The rows of each class, in their order."""
    of_rows = classes[rows]
    order = np.argsort(of_rows, kind="stable")
    starts = np.flatnonzero(np.diff(of_rows[order])) + 1
    for members in np.split(order, starts) if len(rows) else ():
        yield rows[members]


def _share_of(n: int, share: float) -> int:
    """At least one of two or more, never all of them."""
    return min(max(round(n * share), 1), n - 1) if n > 1 else 0


class _Ranks:
    """The ranks of keys, each computed once, when it is first asked for: who is not taken for test is
    asked again for validation."""

    def __init__(
        self, seed: int, keys: NDArray[np.uint8], groups: Callable[[int], str | None] | None = None
    ) -> None:
        self._groups = groups
        self._salt = seed.to_bytes(8, "little", signed=True)
        self._keys = keys
        self._ranks = np.zeros(len(keys), dtype=np.uint64)
        self._known = np.zeros(len(keys), dtype=bool)

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """The ranks of some rows."""
        unknown = rows[~self._known[rows]]
        for part in slices(len(unknown)):
            if self._groups is None:
                self._ranks[unknown[part]] = self._computed(self._keys[unknown[part]].tobytes())
            else:
                self._ranks[unknown[part]] = self._of_groups(unknown[part].tolist())
        self._known[unknown] = True
        return self._ranks[rows]

    def _of_groups(self, rows: Sequence[int]) -> NDArray[np.uint64]:
        assert self._groups is not None
        named = ((row, self._groups(row)) for row in rows)
        known = (
            self._keys[row].tobytes() if group is None else group.encode("utf-8") for row, group in named
        )
        digests = b"".join(blake2b(self._salt + one, digest_size=8).digest() for one in known)
        return np.frombuffer(digests, dtype=">u8").astype(np.uint64)

    def _computed(self, keys: bytes) -> NDArray[np.uint64]:
        digests = b"".join(
            blake2b(self._salt + keys[start : start + KEY_BYTES], digest_size=8).digest()
            for start in range(0, len(keys), KEY_BYTES)
        )
        return np.frombuffer(digests, dtype=">u8").astype(np.uint64)
