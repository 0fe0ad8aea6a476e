"""Contents that will be wanted soon, asked for before: so that nobody waits for one request after the other."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Lock

from headstart.remote.in_flight import requests
from headstart.remote.paths import RemotePath


class Ahead:
    """The files of samples that are under way to the spool, by row; another process begins without any."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._under_way: dict[int, Future[bytes]] = {}

    def __reduce__(self) -> tuple[type[Ahead], tuple[()]]:
        return Ahead, ()

    def begin(self, row: int, path: str | RemotePath) -> None:
        """Ask for the file of a row, unless it lies on this machine."""
        if not isinstance(path, RemotePath):
            return
        with self._lock:
            if row not in self._under_way and not path.is_at_hand:
                self._under_way[row] = requests().submit(path.read_bytes)

    def wait(self, row: int) -> None:
        """Until the file of a row is at hand, or could not be read, if it was asked for."""
        with self._lock:
            found = self._under_way.pop(row, None)
        if found is not None:
            found.exception()
