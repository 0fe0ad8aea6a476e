"""HEIF images (``.heic``), which Pillow opens once an extra has taught it."""

from __future__ import annotations

from headstart.errors import TransientSampleError

HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))


def learn_heif(content: object) -> None:
    """Teach Pillow to open HEIF, if that is what the bytes are.

    Raises
    ------
    TransientSampleError
        What teaches it is not installed.
    """
    if not isinstance(content, bytes) or content[4:8] != b"ftyp":
        return
    if content[8:12] not in HEIF_BRANDS or b"avif" in content[8:64]:  # AVIF, which Pillow itself knows
        return
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise TransientSampleError(
            "HEIC images need pillow-heif, which is not installed; install it with: pip install 'headstart[heic]'"
        ) from None
    register_heif_opener()
