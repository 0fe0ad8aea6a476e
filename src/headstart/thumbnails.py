"""Small pictures of samples."""

from __future__ import annotations

import io
import os
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Literal

from headstart.backbones.images import decode_image
from headstart.errors import SampleError
from headstart.types import Payload

SIDE, LARGE_SIDE = 72, 224
"""Pixels of the longer side: of most pictures, and of those that are looked at one by one."""
MOST_LARGE = 500
"""Large pictures on a page: some 10 kB each."""
SAVING: dict[str, dict[str, Any]] = {
    "webp": {"quality": 70, "method": 4},
    "jpeg": {"quality": 88},
    "png": {"compress_level": 3},
}
AT_ONCE = 64
"""Files that are held while they are decoded."""


def thumbnail(
    file: bytes, side: int, format: Literal["webp", "jpeg", "png"] = "webp", upright: bool = False
) -> bytes | None:
    """A picture with at most so many pixels on its longer side; None of a file that does not decode.

    It is as a model sees it, which does not turn it; ``upright``, as people do, by what its camera noted.
    """
    from PIL import ImageOps

    try:
        image = decode_image(file, 2 * side)
    except (SampleError, MemoryError):
        return None
    if upright:
        image = ImageOps.exif_transpose(image)
    image.thumbnail((side, side))
    stream = io.BytesIO()
    image.save(stream, format, **SAVING[format])
    return stream.getvalue()


def thumbnails(payloads: Iterable[tuple[Payload | None, int]]) -> Iterator[str | None]:
    """A ``data:`` address of each image file, as its model sees it, with its side; None of one that does not decode.

    The files are read one after the other, and decoded by several threads.
    """
    left = iter(payloads)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while files := list(islice(left, AT_ONCE)):
            yield from pool.map(_address, *zip(*files, strict=True))


def _address(payload: Payload | None, side: int) -> str | None:
    file = image_in(payload)
    small = None if file is None else thumbnail(file, side)
    return None if small is None else data_address(small)


def data_address(webp: bytes) -> str:
    """A picture as an address that a page holds."""
    return "data:image/webp;base64," + b64encode(webp).decode("ascii")


def image_in(payload: Payload | None) -> bytes | None:
    """The image of a sample; None if it has none."""
    parts: Sequence[bytes | str] = payload if isinstance(payload, tuple) else [payload or ""]
    return next((part for part in parts if isinstance(part, bytes)), None)
