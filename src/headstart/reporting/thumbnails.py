"""Small pictures of samples, as the page holds them: WebP in ``data:`` addresses."""

from __future__ import annotations

import io
import os
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from headstart.backbones.images import decode_image
from headstart.errors import SampleError
from headstart.types import Payload

SIDE, LARGE_SIDE = 72, 224
"""Pixels of the longer side: of most pictures, and of those that are looked at one by one."""
MOST_LARGE = 500
"""Large pictures on a page: some 10 kB each."""
QUALITY = 70
AT_ONCE = 64
"""Files that are held while they are decoded."""


def thumbnails(payloads: Iterable[tuple[Payload | None, int]]) -> Iterator[str | None]:
    """A small picture of each image file, as its model sees it, with its side; None of one that does not decode.

    The files are read one after the other, and decoded by several threads.
    """
    left = iter(payloads)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while files := list(islice(left, AT_ONCE)):
            yield from pool.map(thumbnail, *zip(*files, strict=True))


def thumbnail(payload: Payload | None, side: int = SIDE) -> str | None:
    """A small picture of an image file, alone or with a text; None if it does not decode."""
    file = image_in(payload)
    if file is None:
        return None
    try:
        image = decode_image(file, 2 * side)
    except (SampleError, MemoryError):
        return None
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + b64encode(buffer.getvalue()).decode("ascii")


def image_in(payload: Payload | None) -> bytes | None:
    """The image of a sample; None if it has none."""
    parts: Sequence[bytes | str] = payload if isinstance(payload, tuple) else [payload or ""]
    return next((part for part in parts if isinstance(part, bytes)), None)
