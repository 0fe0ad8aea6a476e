"""A server before the test server: it answers late, and every so many requests it fails in one of five ways.

What fails may have been done all the same, as on a network: the answer is what is lost.
"""

from __future__ import annotations

import http.client
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

FAULTS = ("500 before", "503 after", "no answer", "no answer after", "cut short", "slow")
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream = ""
    latency = 0.0  # seconds
    every = 0  # of so many requests one fails; 0: none
    numbers = itertools.count(1)
    lock = threading.Lock()

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self.hand_on
        raise AttributeError(name)

    def hand_on(self) -> None:
        with self.lock:
            number = next(self.numbers)
        fault = FAULTS[number // self.every % len(FAULTS)] if self.every and number % self.every == 0 else ""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(self.latency)
        if fault == "500 before":
            self.answer(500, [], b"")
        elif fault == "no answer":
            self.hang_up()
        else:
            self.ask(body, fault)

    def ask(self, body: bytes, fault: str) -> None:
        host = urlsplit(self.upstream)
        there = http.client.HTTPConnection(host.hostname or "", host.port, timeout=60)
        try:
            there.request(
                self.command, self.path, body, {k: v for k, v in self.headers.items() if k != "Connection"}
            )
            found = there.getresponse()
            content = found.read()
        finally:
            there.close()
        time.sleep(1.0 if fault == "slow" else 0.0)
        headers = [(k, v) for k, v in found.getheaders() if k.lower() not in HOP]
        length = found.getheader("Content-Length") if self.command == "HEAD" else None
        if fault == "503 after":
            self.answer(503, [], b"")
        elif fault == "no answer after":
            self.hang_up()
        else:
            self.answer(found.status, headers, content, length, is_cut=fault == "cut short")

    def answer(
        self,
        status: int,
        headers: list[tuple[str, str]],
        content: bytes,
        length: str | None = None,
        is_cut: bool = False,
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if is_cut and content else content)
        if is_cut and content:
            self.hang_up()

    def hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def proxy(upstream: str, latency: float = 0.0, every: int = 0) -> Iterator[str]:
    """The address of a server in a process of its own that hands on what it is asked; it ends with the block."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__)), upstream, str(latency), str(every)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # of clients that are killed
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def main() -> None:
    Handler.upstream, Handler.latency, Handler.every = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps(f"http://127.0.0.1:{server.server_port}"), flush=True)
    sys.stdin.read()  # until whoever started it is gone


if __name__ == "__main__":
    main()
