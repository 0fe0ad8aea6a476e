"""Indexes of tars that this machine has met, so that a warm run walks no headers.

One file a tar, named by the tar's fingerprint: a tar that changes has another. All of it is derived: what
is unreadable is made again, and what cannot be written only costs the walk.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.data.tars.index import TarIndex
from headstart.errors import StorageError
from headstart.files import make_directory, sweep_partials, user_cache_dir, write_durably

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 1
MAX_FILES = 4096
MAX_BYTES = 2 << 30

_ARRAYS = ("firsts", "codes", "offsets", "sizes", "held", "small")
_KEYS = ("key_bytes", "key_ends")


class TarIndexStore:
    """The indexes in the user's cache directory."""

    def __init__(self) -> None:
        self._folder = user_cache_dir() / "machine" / "tars"

    def load(self, fingerprint: bytes) -> TarIndex | None:
        """The index of the tar with a fingerprint; None if there is none that can be read."""
        path = self._path(fingerprint)
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
                index = _unpacked({name: stored[name] for name in stored.files})
            os.utime(path)  # the least recently used go first
        except Exception:  # a damaged file raises what it likes
            return None
        return index

    def save(self, fingerprint: bytes, index: TarIndex) -> None:
        """Keep the index of a tar."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **_packed(index))
        with contextlib.suppress(StorageError, OSError):
            make_directory(self._folder)
            write_durably(self._path(fingerprint), buffer.getbuffer())

    def trim(self) -> None:
        """Drop the oldest indexes beyond a bound."""
        if not self._folder.is_dir():
            return
        with contextlib.suppress(OSError):
            sweep_partials(self._folder)
            with os.scandir(self._folder) as entries:
                stats = [(entry.stat(), entry.path) for entry in entries if entry.name.endswith(".npz")]
            n_bytes = 0
            for number, (stat, path) in enumerate(sorted(stats, key=lambda file: -file[0].st_mtime_ns)):
                n_bytes += stat.st_size
                if number >= MAX_FILES or n_bytes > MAX_BYTES:
                    os.unlink(path)

    def _path(self, fingerprint: bytes) -> Path:
        return self._folder / f"{fingerprint.hex()}.npz"


def _packed(index: TarIndex) -> dict[str, NDArray[Any]]:
    about = {
        "version": VERSION,
        "endings": index.endings,
        "refused": list(index.refused.items()),
        "ignored": index.ignored,
        "n_ignored": index.n_ignored,
        "trouble": index.trouble,
    }
    _, ends, names = index.keys.buffers()
    return {
        "about": np.frombuffer(json.dumps(about).encode("utf-8"), dtype=np.uint8),
        "key_ends": np.frombuffer(ends, dtype=np.int64),
        "key_bytes": np.frombuffer(names or b"", dtype=np.uint8),
        **{name: getattr(index, name) for name in _ARRAYS},
    }


def _unpacked(stored: dict[str, NDArray[Any]]) -> TarIndex | None:
    about = json.loads(stored["about"].tobytes())
    if about.pop("version") != VERSION:
        return None
    ends, names = stored["key_ends"], stored["key_bytes"]
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(names)]
    keys = pa.Array.from_buffers(pa.large_string(), len(ends) - 1, buffers)
    return TarIndex(
        keys=keys,
        endings=tuple(about["endings"]),
        refused=dict(about["refused"]),
        ignored=tuple(about["ignored"]),
        n_ignored=about["n_ignored"],
        trouble=about["trouble"],
        **{name: stored[name] for name in _ARRAYS},
    )
