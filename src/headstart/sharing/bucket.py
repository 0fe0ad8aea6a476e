"""A cache in a bucket, as `--cache s3://…` has it: what is pushed there is read there, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headstart.remote.addresses import shown
from headstart.remote.cache_objects import STATE_INFO, CacheObjects, at_once
from headstart.remote.store import ConflictError, MissingObjectError, open_store
from headstart.sharing.place import Advance, CachePlace, OutgoingFile, OutgoingState


class BucketPlace(CachePlace):
    """The objects under an address such as ``s3://bucket/prefix``."""

    def __init__(self, address: str, offline: bool = False) -> None:
        super().__init__(shown(address).rstrip("/"))
        self._objects = CacheObjects(open_store(address, offline))

    def files(self, folder: str) -> dict[str, int]:
        """See `CachePlace`."""
        return {found.path: found.size for found in self._objects.store.listed(folder)}

    def read(self, path: str) -> bytes | None:
        """See `CachePlace`."""
        try:
            return self._objects.store.read(path)
        except MissingObjectError:
            return None

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """See `CachePlace`."""
        return self._objects.store.read_range(path, start, length)

    def fetch(self, path: str, target: Path, advance: Advance) -> None:
        """See `CachePlace`."""
        advance(self._objects.fetch(path, target).size)

    def send(self, files: Sequence[OutgoingFile], advance: Advance) -> None:
        """See `CachePlace`; the header is there before anything else."""
        for file in files[:1]:
            self._put(file, advance)
        at_once(lambda file: self._put(file, advance), files[1:])

    def commit_state(
        self, state: OutgoingState, replaces: str | None, in_force: bool, advance: Advance
    ) -> bool:
        """See `CachePlace`."""
        last = [file for file in state.files if file.path.endswith(f"/{STATE_INFO}")]
        at_once(lambda file: self._put(file, advance), [file for file in state.files if file not in last])
        for file in last:
            self._put(file, advance)
        return self._swap(state, replaces) if in_force else True

    def _swap(self, state: OutgoingState, replaces: str | None) -> bool:
        found = self._objects.current(state.name)
        if found.digest == state.digest:
            return True
        if found.digest != replaces:
            return False
        try:
            self._objects.swap_current(state.name, state.digest, found)
        except ConflictError:  # or the answer to our own first try was lost
            return self._objects.current(state.name).digest == state.digest
        return True

    def _put(self, file: OutgoingFile, advance: Advance) -> None:
        self._objects.put(file.path, file.content)
        advance(file.size)
