"""Of servers that fail at every tenth request nothing is lost and nothing is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import headstart as hs

from ..end_to_end.conftest import some_texts, write_texts
from .failing_server import proxy
from .servers import new_bucket
from .test_bucket_cache import extract, in_a_fresh_folder, run

__all__ = ["in_a_fresh_folder"]


@pytest.fixture
def failing(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with proxy(os.environ["AWS_ENDPOINT_URL"], every=10) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        yield new_bucket(address)


@pytest.mark.slow
def test_what_a_failing_server_keeps_is_whole(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_texts(tmp_path / "texts.csv", some_texts(60))
    assert extract(table, failing)["computed"] == 60
    extract(write_texts(tmp_path / "texts.csv", some_texts(70)), failing)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    X = hs.open_set("s", cache=failing).arrays()[0]
    run("cache", "compact", "--cache", failing)
    run("cache", "gc", "--apply", "--grace", 0, "--cache", failing)
    assert "all sound" in run("cache", "verify", "--cache", failing).out
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "third"))
    np.testing.assert_array_equal(hs.open_set("s", cache=failing).arrays()[0], X)
