"""What is in a tar: its samples, and where their members are, in flat arrays.

Some 30 bytes a member and the name of each sample: a tar of a million photos must not become a million
Python objects.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

NO_MEMBER = -1


@dataclass(frozen=True, slots=True)
class TarIndex:
    """The S samples of a tar and their M members, in its order.

    Parameters
    ----------
    keys : pyarrow.Array of large_string, length S
        The samples' names: those of their members up to the first dot.
    firsts : ndarray of int64, shape (S + 1,)
        Sample ``i`` has the members ``firsts[i]:firsts[i + 1]``.
    codes : ndarray of int32, shape (M,)
        What each member's name ends with, as a number of ``endings``.
    offsets, sizes : ndarray of int64, shape (M,)
        Where each member's bytes are in the tar.
    held : ndarray of int64, shape (M,)
        Where each member's bytes begin in ``small``; -1: they are in the tar only.
    small : ndarray of uint8
        The bytes of small labels and texts, so that a warm run need not touch the tar.
    endings : tuple of str
        As they are written, without the first dot.
    refused : mapping of int to str
        Samples that are not to be used, and why.
    ignored : tuple of str
        Members that belong to no sample: the first few.
    trouble : str, optional
        Why the tar ends before its end.
    """

    keys: pa.Array
    firsts: NDArray[np.int64]
    codes: NDArray[np.int32]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    held: NDArray[np.int64]
    small: NDArray[np.uint8]
    endings: tuple[str, ...]
    refused: Mapping[int, str]
    ignored: tuple[str, ...] = ()
    n_ignored: int = 0
    trouble: str | None = None

    def __len__(self) -> int:
        return len(self.firsts) - 1

    def kinds(self) -> list[str]:
        """The endings in lower case, each once."""
        return list(dict.fromkeys(ending.lower() for ending in self.endings))

    def find(self, kinds: Collection[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The member of each sample that ends like one of these, in lower case.

        Returns
        -------
        members : ndarray of int64, shape (S,)
            The first of them, or -1.
        counts : ndarray of int64, shape (S,)
            How many there are.
        """
        wanted = [code for code, ending in enumerate(self.endings) if ending.lower() in kinds]
        found = np.flatnonzero(np.isin(self.codes, wanted))
        samples = np.searchsorted(self.firsts, found, side="right") - 1
        members = np.full(len(self), NO_MEMBER, dtype=np.int64)
        members[samples[::-1]] = found[::-1]  # the first one is written last
        return members, np.bincount(samples, minlength=len(self))

    def small_content(self, member: int) -> bytes | None:
        """The bytes of a member, if they are held here."""
        start = int(self.held[member])
        return None if start < 0 else self.small[start : start + int(self.sizes[member])].tobytes()
