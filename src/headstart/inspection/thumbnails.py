"""Images as other tools show them."""

from __future__ import annotations

import io
from pathlib import Path

from headstart.thumbnails import thumbnail

SMALL = 20_000
"""Bytes of a file that is taken as it is, if a browser shows it."""
SHOWN = {"PNG": ".png", "JPEG": ".jpg", "GIF": ".gif", "WEBP": ".webp", "BMP": ".bmp"}
"""Formats that a browser shows, with their endings."""


def shown_image(image: bytes | Path, side: int) -> bytes | None:
    """An image that a browser shows, upright, at most so large; small files as they are; None of what is none."""
    from PIL import Image

    try:
        raw = image.read_bytes() if isinstance(image, Path) else image
        if len(raw) <= SMALL:
            with Image.open(io.BytesIO(raw)) as opened:
                if opened.format in SHOWN:
                    return raw
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    return thumbnail(raw, side, "jpeg", upright=True)


def suffix_of_image(image: bytes) -> str:
    """The ending that a file with these bytes should have; that of PNG where it is not known."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(image)) as opened:
            return SHOWN.get(opened.format or "", f".{(opened.format or 'png').lower()}")
    except (OSError, ValueError, Image.DecompressionBombError):
        return ".png"
