"""A run on texts and one on images, of tiny backbones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.registry.run import Run

BACKBONES = Path(__file__).parents[1] / "end_to_end"
TEXTS = [f"{'red' if i % 2 else 'blue'} thing number {i}" for i in range(24)]
LABELS = ["warm" if i % 2 else "cold" for i in range(24)]
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module", autouse=True)
def tiny_backbones() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BACKBONES))
        yield
    sys.modules.pop("tiny_backbones", None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    cache = tmp_path_factory.mktemp("run") / "cache"
    features = hs.extract(TEXTS, "py:tiny_backbones:texts", labels=LABELS, cache=cache, quiet=True)
    return hs.fit_head(features, "ridge", plots="none")


@pytest.fixture(scope="module")
def image_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    cache = tmp_path_factory.mktemp("images") / "cache"
    features = hs.extract(PIXELS, "py:tiny_backbones:images", labels=[0, 1] * 6, cache=cache, quiet=True)
    return hs.fit_head(features, "ridge", plots="none")
