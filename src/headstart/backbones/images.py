"""Images from bytes to pictures, changed on the way where a view wants it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.heif import learn_heif
from headstart.errors import SampleError, first_line

if TYPE_CHECKING:
    from PIL import Image

    from headstart.contracts import Change
    from headstart.types import Payload


CPU_IMAGES = 4  # a batch; small ones are fastest on CPUs: the activations stay in the cache
GPU_IMAGES = 128
PIXELS = "pixel_values"
MAX_ASPECT = 1000  # models resize the shorter side: a line of pixels would become gigabytes
WIDE_MODES = ("I", "F")  # 32 bits a pixel, in a range that the file does not name
SIXTEEN_BIT_FORMATS = ("PNG", "PPM")  # a Pillow that opens these as 32-bit integers keeps their 16 bits


def decode_image(payload: Payload, least_side: int | None = None) -> Image.Image:
    """Decode an image file to 8-bit RGB, as ``Image.open(file).convert("RGB")`` does.

    So a greyscale image becomes three equal channels, CMYK is converted by Pillow's formula (and
    Adobe's inverted CMYK and YCCK JPEGs by their marker), transparency is dropped (what lies beneath it
    shows), of an animation or a file of several pages the first is taken, and an EXIF rotation is not
    applied: the models' own pipelines do not apply it either.

    Where that call would clip, and give a white or a black picture, the rule is ours:

    - 16-bit greyscale keeps its high byte, as Pillow itself does for 16-bit colour;
    - floats from 0 to 1 are multiplied by 255; floats and 32-bit integers from 0 to 255 are taken as they
      are; any other range is refused, since nothing in the file says what is white.

    Refused are also more than 178,956,970 pixels (twice Pillow's ``MAX_IMAGE_PIXELS``: a decompression
    bomb) and sides that differ by more than 1000 times.

    With a ``least_side`` a JPEG may come out smaller, yet with no side below it: for thumbnails, in a tenth of the
    time.

    Raises `SampleError` if the bytes are not an image that Pillow can read whole, or it is one of those
    refused.
    """
    from PIL import Image, UnidentifiedImageError

    if not isinstance(payload, bytes):
        raise SampleError(f"expected the bytes of an image, got {type(payload).__name__}")
    try:
        learn_heif(payload)
        with Image.open(io.BytesIO(payload)) as image:
            _check_aspect(image)
            if least_side is not None:
                image.draft(None, (least_side, least_side))
            return _eight_bit(image).convert("RGB")
    except (SampleError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise SampleError("the file is not an image that can be read") from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise SampleError(
            f"the image has more than {limit:,} pixels, the most that are decoded; scale it down"
        ) from None
    except Exception as error:
        # Pillow's readers raise whatever broken bytes lead them to: struct.error, KeyError, zlib.error …
        reason = first_line(error)
        raise SampleError(f"the image cannot be decoded: {reason}") from None


def _check_aspect(image: Image.Image) -> None:
    short, long = sorted(image.size)
    if long > MAX_ASPECT * short:
        raise SampleError(
            f"the image is {image.width}×{image.height} pixels: a side is more than {MAX_ASPECT} times the "
            "other, and no model could see anything in it"
        )


def _eight_bit(image: Image.Image) -> Image.Image:
    """An image of 16 or 32 bits a pixel at 8 bits; any other as it is."""
    from PIL import Image

    # Each rule here gave clipped pixels before the first release. One that comes later, and changes the
    # pixels of files that a cache may hold, needs an entry in the recipe's preprocessing.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in SIXTEEN_BIT_FORMATS):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in WIDE_MODES:
        values = np.asarray(image)
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= 255):  # so that NaN is refused as well
            raise SampleError(
                f"its pixels are 32-bit numbers from {low:g} to {high:g}, and nothing says which of them is "
                "white; convert it to 8 or 16 bits"
            )
        if image.mode == "F" and high <= 1:
            return Image.fromarray(np.rint(values * 255).astype(np.uint8))
    return image


def prepare_images(
    payloads: Sequence[Payload],
    changes: Sequence[Change | None] | None,
    transform: Callable[[Image.Image], Any],
) -> list[Any | SampleError]:
    """Decode images, change them, transform them; one that is the object before it is decoded but once."""
    prepared: list[Any | SampleError] = []
    last: Payload | None = None
    decoded: Image.Image | SampleError | None = None
    for number, payload in enumerate(payloads):
        if decoded is None or payload is not last:
            last, decoded = payload, _decoded(payload)
        picture = decoded
        if changes is not None and (change := changes[number]) is not None:
            picture = _changed(decoded, change)
        prepared.append(picture if isinstance(picture, SampleError) else transform(picture))
    return prepared


def _changed(decoded: Image.Image | SampleError, change: Change) -> Image.Image | SampleError:
    """What a change makes of a picture, if it is one that a model's transform can take."""
    if isinstance(decoded, SampleError):
        return decoded
    try:
        changed = change.image(decoded)
        _check_aspect(changed)
    except SampleError as error:
        return error
    return changed


def _decoded(payload: Payload) -> Image.Image | SampleError:
    try:
        return decode_image(payload)
    except SampleError as error:
        return error


def change_texts(
    payloads: Sequence[Payload], changes: Sequence[Change | None]
) -> list[Payload | SampleError]:
    """Texts, and pairs of texts, as their changes make them; without a change as they are."""
    return [
        payload if change is None else _change_text(payload, change)
        for payload, change in zip(payloads, changes, strict=True)
    ]


def change_files(
    payloads: Sequence[Payload], changes: Sequence[Change | None]
) -> list[Payload | SampleError]:
    """Image files, alone or with a text, as PNGs of what their changes make; without a change as they are."""
    changed: list[Any] = list(payloads)
    rows = [row for row, change in enumerate(changes) if change is not None]
    files = [payload[0] if isinstance(payload, tuple) else payload for payload in payloads]
    made = prepare_images([files[row] for row in rows], [changes[row] for row in rows], _png)
    for row, file in zip(rows, made, strict=True):
        payload = payloads[row]
        alone = isinstance(file, SampleError) or not isinstance(payload, tuple)
        changed[row] = file if alone else (file, payload[1])
    return changed


def _change_text(payload: Payload, change: Change) -> Payload | SampleError:
    try:
        if isinstance(payload, tuple):
            return change.text(str(payload[0])), change.text(payload[1])
        return change.text(str(payload))
    except SampleError as error:
        return error


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # of the levels the quickest; each keeps every pixel
    return buffer.getvalue()
