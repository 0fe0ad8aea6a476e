"""Samples that an export is tried on: short and long, wide and tall."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.types import Modality

TEXTS = (
    "Where is my card?",
    "My transfer was declined twice on 3 May, although there is money on the account – why? #help @bank",
    "ok",
    "naïve façade, 東京, 12.50 € " * 6,
    "A text that is longer than any of the others, and longer than most models were made for. " * 120,
)
SIZES = ((320, 240), (240, 320), (224, 224), (97, 511), (64, 48))


def trial_samples(modality: Modality) -> list[Any]:
    """Texts, pairs of texts, or the bytes of images."""
    match modality:
        case "text":
            return list(TEXTS)
        case "text-pair":
            return list(zip(TEXTS, TEXTS[::-1], strict=True))
    return [_picture(number, size) for number, size in enumerate(SIZES)]


def _picture(number: int, size: tuple[int, int]) -> bytes:
    """A picture with smooth and sharp parts, as a PNG."""
    import numpy as np
    from PIL import Image

    width, height = size
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    pixels = np.asarray(coarse).astype(np.int16)
    pixels[: height // 2, : width // 3] += rng.integers(-60, 60, (height // 2, width // 3, 3), dtype=np.int16)
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
