"""A hub on this machine: data set repositories behind the part of the Hub's HTTP API that push and pull need.

Commits are real (a parent, a tree, conflicts), files go by LFS or in the commit by their endings, and whoever
has no token sees no private repository.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_secretSecretSecret"
PAGE = 5
"""Files of an answer to a listing."""
LARGE = (".h5", ".parquet")

Tree = dict[str, bytes]
Fault = Callable[[str, str], "int | str | None"]
"""Of a method and a path: a status to answer with, "cut" (half of the content, and the connection ends), or nothing."""


@dataclass
class Repository:
    """Its commits by their names, the newest of each branch, and whether others see it."""

    private: bool
    trees: dict[str, Tree] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, tree: Tree) -> str:
        name = hashlib.sha1(f"{branch}{len(self.trees)}".encode()).hexdigest()
        self.trees[name] = tree
        self.branches[branch] = name
        return name

    def at(self, revision: str) -> tuple[str, Tree] | None:
        name = self.branches.get(revision, revision)
        return (name, self.trees[name]) if name in self.trees else None


class Hub:
    """What it holds, and what it was asked."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.sent_bytes = 0
        self.fault: Fault = lambda method, path: None
        self.before_commit: Callable[[], None] = lambda: None
        self.lock = threading.RLock()
        self.url = ""

    def tree(self, name: str, branch: str = "main") -> Tree:
        """What is in a repository now."""
        repository = self.repositories[name]
        return repository.trees[repository.branches[branch]]

    def create(self, name: str, private: bool = True, **files: bytes) -> None:
        repository = self.repositories[name] = Repository(private)
        repository.commit("main", {".gitattributes": b"*.h5 filter=lfs\n"} | files)

    def uploaded(self) -> list[str]:
        """The large files that were uploaded, in order."""
        return [path for method, path in self.requests if method == "PUT"]


@contextmanager
def hub_server() -> Iterator[Hub]:
    """A hub that is there as long as the block."""
    hub = Hub()

    class Bound(_Handler):
        pass

    Bound.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        return

    def _do(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else self._chunks()
        path = unquote(urlsplit(self.path).path)
        with self.hub.lock:
            self.hub.requests.append((self.command, path))
            fault = self.hub.fault(self.command, path)
        self._cut = fault == "cut"
        if isinstance(fault, int):
            return self._say(fault, {"error": "it failed"})
        for method, pattern, answer in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and self.command in method:
                return answer(self, *match.groups(), body=body)
        return self._say(404, {"error": f"no such route: {path}"})

    do_GET = _do  # noqa: N815
    do_HEAD = _do  # noqa: N815
    do_POST = _do  # noqa: N815
    do_PUT = _do  # noqa: N815

    def _chunks(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return b""
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _say(self, status: int, value: Any = None, content: bytes | None = None, **headers: str) -> None:
        content = json.dumps(value).encode() if content is None else content
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            sent = content[: len(content) // 2] if self._cut else content
            self.wfile.write(sent)
            self.hub.sent_bytes += len(sent)
            if self._cut:
                self.close_connection = True

    @property
    def _may_write(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _repository(self, name: str, writes: bool = False) -> Repository | None:
        """The repository, if it is there and may be seen; else that is said."""
        found = self.hub.repositories.get(name)
        if found is None or (found.private and not self._may_write):
            status = 404 if self._may_write else 401
            self._say(status, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            return None
        if writes and not self._may_write:
            self._say(403, {"error": "no"})
            return None
        return found

    def _revision(self, name: str, revision: str) -> tuple[str, Tree] | None:
        repository = self._repository(name)
        if repository is None:
            return None
        found = repository.at(revision)
        if found is None:
            self._say(404, {"error": "Invalid rev"}, X_Error_Code="RevisionNotFound")
        return found

    def info(self, name: str, revision: str | None = None, body: bytes = b"") -> None:
        found = self._revision(name, revision or "main")
        if found is not None:
            sha, tree = found
            private = self.hub.repositories[name].private
            files = [{"rfilename": path} for path in tree]
            self._say(200, {"id": name, "sha": sha, "private": private, "siblings": files, "tags": []})

    def list(self, name: str, revision: str, body: bytes) -> None:
        found = self._revision(name, revision)
        if found is None:
            return
        start = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
        entries = [_entry(path, content) for path, content in sorted(found[1].items())]
        more = {}
        if start + PAGE < len(entries):
            here = f"{self.hub.url}/api/datasets/{name}/tree/{revision}?recursive=true&cursor={start + PAGE}"
            more = {"Link": f'<{here}>; rel="next"'}
        self._say(200, entries[start : start + PAGE], None, **more)

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        if not self._may_write:
            return self._say(401, {"error": "Invalid username or password."})
        if name in self.hub.repositories:
            return self._say(409, {"error": "taken", "url": f"{self.hub.url}/datasets/{name}"})
        private = bool(asked.get("private")) or asked.get("visibility") == "private"
        self.hub.create(name, private)
        return self._say(200, {"url": f"{self.hub.url}/datasets/{name}", "id": name, "name": name})

    def branch(self, name: str, branch: str, body: bytes) -> None:
        repository = self._repository(name, writes=True)
        if repository is not None:
            taken = branch in repository.branches
            repository.branches.setdefault(branch, repository.branches["main"])
            self._say(409 if taken else 200, {})

    def preupload(self, name: str, revision: str, body: bytes) -> None:
        if self._repository(name, writes=True) is not None:
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self._say(200, {"files": files})

    def batch(self, name: str, body: bytes) -> None:
        if self._repository(name, writes=True) is None:
            return
        objects = []
        for one in json.loads(body)["objects"]:
            upload = {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}", "header": {}}}
            is_there = one["oid"] in self.hub.uploads
            objects.append({**one, **({} if is_there else {"actions": upload})})
        self._say(200, {"transfer": "basic", "objects": objects})

    def upload(self, oid: str, body: bytes) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            return self._say(400, {"error": "another digest"})
        self.hub.uploads[oid] = body
        return self._say(200, {})

    def commit(self, name: str, branch: str, body: bytes) -> None:
        self.hub.before_commit()
        repository = self._repository(name, writes=True)
        if repository is None:
            return None
        lines = [json.loads(line) for line in body.splitlines() if line]
        with self.hub.lock:
            head = repository.branches.get(branch)
            if head is None:
                return self._say(404, {"error": "Invalid rev"}, X_Error_Code="RevisionNotFound")
            parent = lines[0]["value"].get("parentCommit")
            if parent not in (None, head):
                return self._say(412, {"error": "A commit has happened since. Please refresh and try again."})
            tree = dict(repository.trees[head])
            for line in lines[1:]:
                value = line["value"]
                is_large = line["key"] == "lfsFile"
                content = self.hub.uploads[value["oid"]] if is_large else base64.b64decode(value["content"])
                tree[value["path"]] = content
            made = repository.commit(branch, tree)
        url = f"{self.hub.url}/datasets/{name}/commit/{made}"
        return self._say(200, {"commitUrl": url, "commitOid": made, "success": True})

    def resolve(self, name: str, revision: str, path: str, body: bytes) -> None:
        found = self._revision(name, revision)
        if found is None:
            return None
        if path not in found[1]:
            return self._say(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
        content = found[1][path]
        headers = {"X_Repo_Commit": found[0], "ETag": f'"{_entry(path, content)["etag"]}"'}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted is None:
            return self._say(200, None, content, Accept_Ranges="bytes", **headers)
        start, stop = int(wanted[1]), int(wanted[2] or len(content) - 1) + 1
        said = f"bytes {start}-{min(stop, len(content)) - 1}/{len(content)}"
        return self._say(206, None, content[start:stop], Content_Range=said, **headers)

    def validate(self, body: bytes) -> None:
        self._say(200, {"errors": [], "warnings": []})


def _entry(path: str, content: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    found = {"type": "file", "path": path, "size": len(content), "oid": blob, "etag": blob}
    if path.endswith(LARGE):
        sha256 = hashlib.sha256(content).hexdigest()
        found |= {"lfs": {"oid": sha256, "size": len(content), "pointerSize": 130}, "etag": sha256}
    return found


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("GET", f"/api/datasets/{NAME}", _Handler.info),
    ("GET", f"/api/datasets/{NAME}/revision/(.+)", _Handler.info),
    ("GET", f"/api/datasets/{NAME}/tree/([^/]+)", _Handler.list),
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", f"/api/datasets/{NAME}/branch/(.+)", _Handler.branch),
    ("POST", f"/api/datasets/{NAME}/preupload/(.+)", _Handler.preupload),
    ("POST", f"/datasets/{NAME}.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", "/lfs/([0-9a-f]+)", _Handler.upload),
    ("POST", f"/api/datasets/{NAME}/commit/(.+)", _Handler.commit),
    ("GET HEAD", f"/datasets/{NAME}/resolve/([^/]+)/(.+)", _Handler.resolve),
    ("POST", "/api/validate-yaml", _Handler.validate),
]
