"""Where samples that could not be read stood among those that could."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.data.source import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NUMBER = re.compile("([0-9]+)")


def input_order(read: Sequence[str], unread: Sequence[str], data: Any = None) -> NDArray[np.int64]:
    """The order that brings what was read, followed by what was not, into the order of the data.

    A scan says of a sample that it could not read only where it comes from, which tells its place: rows have
    numbers, and folders are read in the order of their paths. What was read keeps its order in any case; where an
    origin tells no place, as that of a tar whose members are in no order, it comes last.

    ``read``, ``unread``: origins of N and M samples, see `headstart.types.SampleBlock`; ``data``: what was
    read; samples in memory have their order from it. Gives numbers of samples; those that were not read begin
    at N.

    Examples
    --------
    >>> input_order(["a.csv:1", "a.csv:3"], ["a.csv:10", "a.csv:2"]).tolist()
    [0, 3, 1, 2]
    """
    for keys in _candidates(read, unread, data):
        known, new = keys[: len(read)], keys[len(read) :]
        if keys and all(before <= after for before, after in pairwise(known)):
            return _merged(known, new)
    return np.arange(len(read) + len(unread))


def _candidates(read: Sequence[str], unread: Sequence[str], data: Any) -> Iterator[list[Any]]:
    """What the samples may be ordered by."""
    origins = [*read, *unread]
    yield _numbers(origins, len(read))
    yield _in_memory(origins, data)
    yield origins  # by code points, which is by the bytes of UTF-8, as folders are
    yield [_natural(origin) for origin in origins]


def _merged(read: Sequence[Any], unread: Sequence[Any]) -> NDArray[np.int64]:
    order = sorted(range(len(unread)), key=unread.__getitem__)
    places = [bisect_right(read, unread[number]) for number in order]
    return np.insert(np.arange(len(read)), places, np.array(order, dtype=np.int64) + len(read))


def _numbers(origins: Sequence[str], n_read: int) -> list[tuple[int, int]]:
    """Of ``file:number``, or a number alone, the file's place and the number; empty: not all are like that."""
    split = [origin.rpartition(":") for origin in origins]
    if not all(number.isascii() and number.isdigit() for _, _, number in split):
        return []
    files = list(dict.fromkeys(file for file, _, _ in split))
    were_read = list(dict.fromkeys(file for file, _, _ in split[:n_read]))
    if were_read == sorted(were_read):
        files.sort()
    places = {file: place for place, file in enumerate(files)}
    return [(places[file], int(number)) for file, _, number in split]


def _in_memory(origins: Sequence[str], data: Any) -> list[int]:
    """Of images that were given one by one their places in the list; empty: they are not from one."""
    if data is None or isinstance(data, str | bytes | os.PathLike):
        return []
    places: defaultdict[str, deque[int]] = defaultdict(deque)
    for place, image in enumerate(data):
        name = printable(os.fsdecode(image)) if isinstance(image, str | os.PathLike) else str(place)
        places[name].append(place)
    try:
        return [places[origin].popleft() for origin in origins]  # a file may be given more than once
    except IndexError:
        return []


def _natural(origin: str) -> tuple[Any, ...]:
    """A text with the numbers in it as numbers, so that 9 is before 10."""
    return tuple(int(part) if place % 2 else part for place, part in enumerate(_NUMBER.split(origin)))
