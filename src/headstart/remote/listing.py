"""What lies under a prefix of a bucket, listed once: names and identities in flat arrays, found again by bisection."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import column_of, numbers_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.remote.store import Object

    Stats = tuple[int, int, int, int, int]
    """What an object is known by, in the form of `headstart.files.stat_fields`."""

N_FIELDS = 5
SIZE, CHANGED = 2, 3
ALWAYS_NEW = 1 << 62
"""The time of a change that is never old: what has it is not remembered."""
_TWO = Struct("<2q")
_AFTER_FOLDER = "0"  # the character behind the slash


def stats_of(address: str, found: Object) -> Stats:
    """What an object is known by: address and tag, size, and when it changed where there is no tag.

    Examples
    --------
    >>> from datetime import datetime, timezone
    >>> from headstart.remote.store import Object
    >>> stats_of("s3://b/x", Object("x", 7, datetime.fromtimestamp(0, timezone.utc), '"a"'))[2:]
    (7, 0, 0)
    """
    changed = round(found.modified.timestamp() * 1_000_000_000)
    is_weak = found.tag is not None and found.tag.startswith("W/")
    tag = found.tag if not is_weak else f"{found.tag} {changed}"  # a weak one may stay while bytes change
    digest = blake2b(f"{address}\0{tag or ''}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
    first, second = _TWO.unpack(digest)
    moment = 0 if tag is not None else changed or ALWAYS_NEW
    return first, second, found.size, moment, moment


class Listing:
    """The objects below a prefix: paths relative to it, sorted by their bytes, and their stats, shape (N, 5)."""

    def __init__(self, names: pa.Array, stats: NDArray[np.int64]) -> None:
        self.names, self.stats = names, stats

    @classmethod
    def of(cls, objects: Iterable[Object], key: str, address: str) -> Listing:
        """The listing of a folder whose key and address are given; what marks folders is left out."""
        names, ends, stats = bytearray(), array("q", [0]), array("q")
        start = len(key) + 1 if key else 0
        for found in objects:
            if name := found.path[start:]:
                names += name.encode("utf-8")
                ends.append(len(names))
                stats.extend(stats_of(f"{address}/{name}", found))
        n = len(ends) - 1
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(names)]
        column = pa.Array.from_buffers(pa.large_string(), n, buffers)
        order = numbers_of(pc.sort_indices(column)).astype(np.int64)
        fields = np.frombuffer(stats, dtype=np.int64).reshape(n, N_FIELDS)[order]
        return cls(column.take(column_of(order)), fields)._without_markers()

    def _without_markers(self) -> Listing:
        """Without the empty objects that consoles make for folders: each has others below it."""
        empty = np.flatnonzero(self.stats[:, SIZE] == 0).tolist()
        marks = [place for place in empty if len(self.within(f"{self.name(place)}/"))]
        if not marks:
            return self
        keep = np.ones(len(self), dtype=bool)
        keep[marks] = False
        return Listing(self.names.take(column_of(np.flatnonzero(keep))), self.stats[keep])

    def __len__(self) -> int:
        return len(self.names)

    def name(self, place: int) -> str:
        """The path of an object."""
        return str(self.names[place].as_py())

    def find(self, name: str) -> int | None:
        """The place of an object; None if there is none."""
        place = self._first(name)
        return place if place < len(self) and self.name(place) == name else None

    def within(self, folder: str) -> range:
        """The places of what lies in a folder, whose path ends with a slash; of all for an empty path."""
        if not folder:
            return range(len(self))
        return range(self._first(folder), self._first(folder[:-1] + _AFTER_FOLDER))

    def entries(self, folder: str) -> Iterator[tuple[str, bool]]:
        """What lies right in a folder, and whether it is a folder."""
        places = self.within(folder)
        place = places.start
        while place < places.stop:
            name, slash, _ = self.name(place)[len(folder) :].partition("/")
            yield name, bool(slash)
            place = self._first(f"{folder}{name}{_AFTER_FOLDER}") if slash else place + 1

    def _first(self, name: str) -> int:
        """The first place whose path does not come before a name."""
        wanted = name.encode("utf-8", "surrogatepass")
        return bisect_left(range(len(self)), wanted, key=lambda place: self.name(place).encode("utf-8"))
