"""Picture files of every kind that people bring: modes, depths, transparency, animations, shapes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

WIDE = (10_000, 12)  # nearly as flat as is decoded


def _noise(draw: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Soft in parts and sharp in others, as photos are."""
    width, height = size
    coarse = Image.fromarray(draw.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    fine = Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return Image.composite(coarse, fine, Image.linear_gradient("L").resize(size))


def _file(image: Any, format: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **settings)
    return buffer.getvalue()


def _turned(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    return _file(image, "JPEG", exif=exif)


def _alpha(image: Image.Image) -> Image.Image:
    whole = image.convert("RGBA")
    whole.putalpha(Image.linear_gradient("L").resize(image.size))
    return whole


KINDS: dict[str, Callable[[Image.Image], bytes]] = {
    "jpeg": lambda image: _file(image, "JPEG", quality=90),
    "png": lambda image: _file(image, "PNG", compress_level=1),
    "webp": lambda image: _file(image, "WEBP", quality=80),
    "grey": lambda image: _file(image.convert("L"), "PNG", compress_level=1),
    "black and white": lambda image: _file(image.convert("1"), "PNG"),
    "palette": lambda image: _file(image.quantize(16), "PNG"),
    "palette with a hole": lambda image: _file(image.quantize(16), "PNG", transparency=3),
    "a color that is a hole": lambda image: _file(image, "PNG", transparency=image.getpixel((0, 0))),
    "a grey that is a hole": lambda image: _file(image.convert("L"), "PNG", transparency=7),
    "cmyk": lambda image: _file(image.convert("CMYK"), "JPEG"),
    "16 bits": lambda image: _file(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG"),
    "float": lambda image: _file(Image.fromarray(np.asarray(image.convert("L")).astype(np.float32) / 255), "TIFF"),
    "turned": _turned,
    "alpha": lambda image: _file(_alpha(image), "PNG", compress_level=1),
    "grey with alpha": lambda image: _file(_alpha(image).convert("LA"), "PNG"),
    "animation": lambda image: _file(image, "GIF", save_all=True, append_images=[image.rotate(180)]),
}  # fmt: skip


def odd_pictures(n: int, seed: int = 0) -> list[bytes]:
    """So many files: one pixel, a flat and a tall one, then all kinds in turn at any size."""
    draw = np.random.default_rng(seed)
    sizes = [(1, 1), WIDE, WIDE[::-1], *((int(w), int(h)) for w, h in draw.integers(1, 260, (max(n, 4), 2)))]
    kinds = list(KINDS.values())
    return [kinds[number % len(kinds)](_noise(draw, sizes[number])) for number in range(n)]
