"""What every test gets: a cache and a machine of its own, and no hub."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def isolated_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the caches or the memos of whoever runs it, nor those of another test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("machine")))
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache") / "default"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def cache_root(tmp_path: Path) -> Path:
    """A folder for a cache, which does not exist yet."""
    return tmp_path / "a cache"
