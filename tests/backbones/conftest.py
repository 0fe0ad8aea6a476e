"""Tiny models loaded through the real `from_pretrained`, and the bundled real ones."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

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


@pytest.fixture(scope="session")
def pictures() -> list[bytes]:
    return [
        picture(number, size) for number, size in enumerate([(60, 80), (80, 60), (300, 40), (64, 64), (9, 9)])
    ]
