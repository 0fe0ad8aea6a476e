"""A web server on this machine for the files of a folder, which may lack what others have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote


@dataclass
class Site:
    """What is served, and how; ``seen`` are the methods and paths of all requests."""

    root: Path
    address: str = ""
    tags: bool = True
    times: bool = True
    ranges: bool = True
    signature: str | None = None
    page: str | None = None
    """What is sent in the place of every file."""
    moved: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def web(root: Path) -> Iterator[Site]:
    """A server for a folder, for a while."""
    site = Site(root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(sends=False)

        def do_GET(self) -> None:
            self._answer(sends=True)

        def _answer(self, sends: bool) -> None:
            site.seen.append((self.command, self.path))
            path, _, query = self.path.partition("?")
            if site.signature is not None and (query != site.signature or not sends):
                return self._send(403, b"", sends)  # as of S3: what is signed for GET is no HEAD
            if path in site.moved:
                return self._send(302, b"", sends, {"Location": site.moved[path]})
            if site.page is not None:
                return self._send(200, site.page.encode(), sends, {"Content-Type": "text/html"})
            file = site.root / unquote(path).lstrip("/")
            if not file.is_file():
                return self._send(404, b"<html>no such page</html>", sends)
            content = file.read_bytes()
            said = {"Accept-Ranges": "bytes"} if site.ranges else {}
            if site.tags:
                said["ETag"] = f'"{md5(content, usedforsecurity=False).hexdigest()}"'
            if site.times:
                said["Last-Modified"] = formatdate(file.stat().st_mtime, usegmt=True)
            if site.ranges and (asked := self.headers.get("Range")):
                start, stop = (int(number) for number in asked.removeprefix("bytes=").split("-"))
                part = content[start : stop + 1]
                said["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
                return self._send(206, part, sends, said)
            return self._send(200, content, sends, said)

        def _send(self, code: int, content: bytes, sends: bool, said: dict[str, str] | None = None) -> None:
            self.send_response(code)
            for name, value in {"Content-Length": str(len(content)), **(said or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if sends:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.address = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
