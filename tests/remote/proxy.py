"""A proxy before a server on this machine: it counts requests, and may wait before it answers each."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlsplit


class Proxy(ThreadingHTTPServer):
    """Passes requests on; ``seen`` are their methods and paths with queries, in order, and ``most_at_once`` how many
    were under way together.

    One that ``keeps`` answers a request to read again itself: a test server is slower than those of a cloud.
    """

    daemon_threads = True

    def __init__(self, target: str, seconds: float = 0.0, keeps: bool = False) -> None:
        self.target = urlsplit(target).netloc
        self.kept: dict[Any, Any] | None = {} if keeps else None
        self.seconds = seconds
        self.refuses: int | None = None
        """The status of every answer, if the server is not asked."""
        self.seen: list[tuple[str, str]] = []
        self.n_now = self.most_at_once = 0
        self.lock = Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def kinds(self) -> list[str]:
        """Each request as what it does: list, look, read or write."""
        return [_kind(method, path) for method, path in self.seen]


def _kind(method: str, path: str) -> str:
    if method == "GET" and "list-type=" in path:
        return "list"
    return {"HEAD": "look", "GET": "read"}.get(method, "write")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _count(self) -> None:
        with self.server.lock:
            self.server.seen.append((self.command, self.path))
            self.server.n_now += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.n_now)
        try:
            time.sleep(self.server.seconds)
            self._pass_on()
        finally:
            with self.server.lock:
                self.server.n_now -= 1

    def _pass_on(self) -> None:
        if self.server.refuses is not None:
            self.send_response(self.server.refuses)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        kept, which = self.server.kept, (self.path, self.headers.get("Range"))
        if kept is None or self.command != "GET":
            answer = self._asked()
        elif which not in kept:
            answer = kept[which] = self._asked()
        else:
            answer = kept[which]
        status, headers, content = answer
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _asked(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """What the server answers: status, headers, content."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection(self.server.target, timeout=60)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        own = ("transfer-encoding", "connection", "date", "server", "content-length")
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in own]
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        connection.close()
        return answer.status, [*headers, ("Content-Length", length or "0")], content

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # whatever the method
            return self._count
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def proxy(target: str, seconds: float = 0.0, keeps: bool = False) -> Iterator[Proxy]:
    """A proxy before a server, for a while."""
    server = Proxy(target, seconds, keeps)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
