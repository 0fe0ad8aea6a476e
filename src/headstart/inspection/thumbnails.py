"""Images as small as a page shows them."""

from __future__ import annotations

import io
from pathlib import Path

SMALL = 20_000
"""Bytes of a file that is taken as it is, if a browser shows it."""
SHOWN = {"PNG": ".png", "JPEG": ".jpg", "GIF": ".gif", "WEBP": ".webp", "BMP": ".bmp"}
"""Formats that a browser shows, with their endings."""


def thumbnail(image: bytes | Path, side: int) -> bytes | None:
    """An image whose longest side has at most so many pixels, as JPEG; None if it cannot be read."""
    from PIL import Image, ImageOps

    try:
        raw = image.read_bytes() if isinstance(image, Path) else image
        with Image.open(io.BytesIO(raw)) as opened:
            if len(raw) <= SMALL and opened.format in SHOWN:
                return raw
            upright = ImageOps.exif_transpose(opened)
            upright.thumbnail((side, side))
            stream = io.BytesIO()
            upright.convert("RGB").save(stream, "jpeg", quality=88)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    return stream.getvalue()


def suffix_of_image(image: bytes) -> str:
    """The ending that a file with these bytes should have; that of PNG where it is not known."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(image)) as opened:
            return SHOWN.get(opened.format or "", f".{(opened.format or 'png').lower()}")
    except (OSError, ValueError, Image.DecompressionBombError):
        return ".png"
