"""Tiny models loaded through the real `from_pretrained`, and the bundled real ones."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from . import tiny_vision

TEXTS = [
    "I lost my card.",
    "hello",
    "Why was my transfer declined, and how long does it take until the money is back on my account? " * 3,
    "What is the exchange rate?",
    "naïve façade – 東京",
]


def picture(number: int, size: tuple[int, int] = (60, 80)) -> bytes:
    """A photo-like image as the bytes of a PNG."""
    noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread, and wait long for it on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pictures() -> list[bytes]:
    return [
        picture(number, size) for number, size in enumerate([(60, 80), (80, 60), (300, 40), (64, 64), (9, 9)])
    ]


@pytest.fixture(scope="package")
def dual_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Dual encoders by name; whoever changes one copies it first."""
    root = tmp_path_factory.mktemp("dual")
    kinds = ("clip", "siglip", "blip", "siglip2", "chinese_clip")
    made = {name: getattr(tiny_vision, name)(root / name) for name in kinds}
    return {**made, "blip_model": tiny_vision.blip(root / "blip_model", "BlipModel")}
