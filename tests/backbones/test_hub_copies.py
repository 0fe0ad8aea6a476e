"""A model of the hub is read as its authors read it, also when it is fetched for the first time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from headstart.backbones import BackboneOptions, open_backbone

from .test_sentence_models import dense, normalize
from .tiny_texts import HIDDEN, save_model, save_sentence_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RESOLVE = """
import json, os, sys, urllib.request
from headstart.backbones import BackboneOptions, open_backbone
from headstart.cache.memos import info_to_json
for offline in (False, True):
    info = open_backbone(sys.argv[1], BackboneOptions(offline=offline)).resolve()
    print(json.dumps(info_to_json(info)))
    if not offline:
        urllib.request.urlopen(os.environ["HF_ENDPOINT"] + "/now-offline").read()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence model with a prompt and a dense layer, whose every file matters."""
    from sentence_transformers.sentence_transformer.modules import Pooling

    root = tmp_path_factory.mktemp("hub")
    modules = (Pooling(HIDDEN, pooling_mode="cls"), dense(8), normalize())
    prompts = {"query": "query: "}
    inner = save_model(root / "bert", "bert")
    return save_sentence_model(
        root / "model", inner, *modules, prompts=prompts, default_prompt="query", max_seq_length=20
    )


@pytest.fixture
def hub(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A hub with one repository, me/model, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, *_: object) -> None:
            return

        def _answer(self, with_body: bool) -> None:
            asked.append(self.path)
            _, _, name = self.path.partition("/resolve/")
            path = folder / name.partition("/")[2]
            found = self.path.startswith("/me/model/resolve/") and path.is_file()
            content = path.read_bytes() if found else b"{}"
            self.send_response(200 if found or self.path == "/now-offline" else 404)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", COMMIT)
            if found:
                self.send_header("ETag", f'"{sha1(content).hexdigest()}"')
            else:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.end_headers()
            if with_body:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_first_download_brings_all_that_its_authors_say(
    folder: Path, hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    endpoint, asked = hub
    expected = open_backbone(f"hf:{folder}", BackboneOptions()).resolve()

    own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE, "hf:me/model"],
        capture_output=True,
        text=True,
        env={**os.environ, **own},
    )
    assert done.returncode == 0, done.stderr
    online, offline = map(json.loads, done.stdout.splitlines()[-2:])
    for info in (online, offline):
        assert (info["weights"], info["prompt"], info["max_length"]) == (expected.weights, "query: ", 20)
        assert (info["taps"][0], info["preprocessing"]) == ("sentence.l2", expected.preprocessing)
        assert info["provenance"]["commit"] == COMMIT
    assert any("2_Dense/model.safetensors" in path for path in asked)
    assert asked[-1] == "/now-offline"
