"""A memo on this machine: 128-bit fingerprint → 128-bit value.

Rows of 32 bytes in immutable, sorted npy files named by their digest, merged when there are more than
eight. A file that changes has another fingerprint, so nothing is ever updated, and nothing needs a
lock. All of it is derived: what is corrupt, unreadable or cannot be written only costs the work again.
"""

from __future__ import annotations

import io
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from headstart.errors import StorageError
from headstart.files import make_directory, write_durably
from headstart.keys import KEY_BYTES, search, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_FILES = 8


class _Table(NamedTuple):
    """The rows of one file, shape (N, 32), and their fingerprints as two sorted columns."""

    rows: NDArray[np.uint8]
    hi: NDArray[np.uint64]
    lo: NDArray[np.uint64]


class FingerprintMemo:
    """The memo in one folder.

    Parameters
    ----------
    folder : Path
        Made when something is first remembered.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tables: dict[str, _Table] | None = None

    def lookup(self, fingerprints: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Values, shape (N, 16), and which of the fingerprints are known, shape (N,)."""
        values = np.zeros((len(fingerprints), KEY_BYTES), dtype=np.uint8)
        known = np.zeros(len(fingerprints), dtype=bool)
        for table in self._load().values():
            positions, found = search(table.hi, table.lo, fingerprints)
            values[found] = table.rows[positions[found], KEY_BYTES:]
            known |= found
        return values, known

    def remember(self, fingerprints: NDArray[np.uint8], values: NDArray[np.uint8]) -> None:
        """Keep values, shape (N, 16), under fingerprints of the same shape."""
        if not len(fingerprints):
            return
        tables = self._load()
        fresh = np.concatenate([fingerprints, values], axis=1)
        try:
            make_directory(self.folder)
            if len(tables) < MAX_FILES:
                self._write(fresh)
                return
            old = list(tables)
            self._write(np.concatenate([*(table.rows for table in tables.values()), fresh]))
            for name in old:
                (self.folder / name).unlink(missing_ok=True)
                tables.pop(name)
        except (StorageError, OSError):
            return  # a memo that cannot be kept costs time, nothing else

    def _write(self, rows: NDArray[np.uint8]) -> None:
        hi, lo = words(rows[:, :KEY_BYTES])
        rows = rows[np.lexsort((lo, hi))]
        buffer = io.BytesIO()
        np.save(buffer, rows, allow_pickle=False)
        content = buffer.getvalue()
        name = f"{_digest(content)}.npy"
        write_durably(self.folder / name, content)
        self._load()[name] = _table(rows)

    def _load(self) -> dict[str, _Table]:
        if self._tables is None:
            paths = sorted(self.folder.glob("*.npy")) if self.folder.is_dir() else []
            loaded = {path.name: _read(path) for path in paths}
            self._tables = {name: table for name, table in loaded.items() if table is not None}
        return self._tables


def _read(path: Path) -> _Table | None:
    """The table of a file whose content has the digest in its name; None for anything else."""
    try:
        content = path.read_bytes()
        if _digest(content) != path.stem:
            return None  # a flipped bit in a key would name a sample that does not exist
        table = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except Exception:  # a damaged header raises what it likes, tokenize.TokenError among it
        return None
    if table.dtype != np.uint8 or table.ndim != 2 or table.shape[1] != 2 * KEY_BYTES:
        return None
    return _table(table)


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=8).hexdigest()


def _table(rows: NDArray[np.uint8]) -> _Table:
    return _Table(rows, *words(rows[:, :KEY_BYTES]))
