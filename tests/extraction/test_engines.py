"""Each engine keeps the same promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from headstart.testing.engine import EngineContract

PICTURES = "py:tiny_backbones:images"


class TestInThisProcess(EngineContract):
    @pytest.fixture
    def backbone(self) -> str:
        return PICTURES


@pytest.mark.slow
class TestWithWorkers(EngineContract):
    options: ClassVar[dict[str, Any]] = {"workers": 2}

    @pytest.fixture
    def backbone(self) -> str:
        return PICTURES


@pytest.mark.slow
class TestOnACluster(EngineContract):
    options: ClassVar[dict[str, Any]] = {"engine": "ray", "workers": 2}

    @pytest.fixture(scope="class", autouse=True)
    def _connected(self) -> Iterator[None]:
        """A program that is connected to a cluster stays so from run to run."""
        from headstart.ray_cluster import open_cluster

        with open_cluster(None, workers=2):
            yield

    @pytest.fixture
    def backbone(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
        monkeypatch.chdir(tmp_path)
        return PICTURES
