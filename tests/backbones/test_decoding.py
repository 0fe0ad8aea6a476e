"""What each kind of image file becomes: what Pillow's ``convert("RGB")`` gives, and never a clipped picture."""

from __future__ import annotations

import contextlib
import io
import struct
import sys
import warnings
import zlib
from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.backbones.image_models import FrozenImageModel
from headstart.backbones.images import decode_image
from headstart.errors import SampleError, TransientSampleError
from headstart.types import Activations

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow's, of broken files
WIDE = np.array([[0, 255, 256, 257, 32768, 65535]], dtype=np.uint16)
HIGH_BYTES = [0, 0, 1, 1, 128, 255]


def file_of(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    """A PNG of a kind that Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def pixels(payload: bytes) -> np.ndarray[Any, Any]:
    image = decode_image(payload)
    assert image.mode == "RGB"
    return np.asarray(image)


def plain(payload: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(payload)).convert("RGB"))


def photo(size: tuple[int, int] = (20, 14)) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP"])
def test_an_ordinary_file_is_what_pillow_makes_of_it(mode: str, format: str) -> None:
    try:
        payload = file_of(photo().convert(mode), format)
    except (OSError, ValueError):
        pytest.skip(f"{format} holds no {mode}")
    np.testing.assert_array_equal(pixels(payload), plain(payload))


def test_transparency_is_dropped_and_what_lies_beneath_shows() -> None:
    rgba = np.array([[[10, 20, 30, 0], [40, 50, 60, 128]]], dtype=np.uint8)
    for payload in (file_of(Image.fromarray(rgba), "PNG"), file_of(Image.fromarray(rgba), "WEBP", exact=True,
                                                                   lossless=True)):  # fmt: skip
        np.testing.assert_array_equal(pixels(payload), rgba[..., :3])
    palette = photo().quantize(8)
    with_transparency = file_of(palette, "PNG", transparency=bytes([0, 128, 255]))
    np.testing.assert_array_equal(pixels(with_transparency), np.asarray(palette.convert("RGB")))


def test_sixteen_bit_greyscale_keeps_its_high_byte() -> None:
    for payload in (
        file_of(Image.fromarray(WIDE), "PNG"),
        file_of(Image.fromarray(WIDE), "TIFF"),
        file_of(Image.fromarray(WIDE), "PPM"),
    ):
        assert pixels(payload)[0].tolist() == [[value] * 3 for value in HIGH_BYTES]


def test_sixteen_bit_grey_and_colour_are_alike() -> None:
    """Pillow keeps the high byte of 16-bit colour; grey must not look otherwise."""
    colour = np.repeat(WIDE[..., None], 3, axis=2).astype(">u2")
    payload = png(WIDE.shape[1], 1, 16, 2, b"\0" + colour.tobytes())
    np.testing.assert_array_equal(pixels(payload), pixels(file_of(Image.fromarray(WIDE), "PNG")))


def test_floats_from_0_to_1_are_not_black() -> None:
    values = np.array([[0, 0.25, 0.5, 1]], dtype=np.float32)
    assert pixels(file_of(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == [0, 64, 128, 255]


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_wide_numbers_from_0_to_255_are_taken_as_they_are(dtype: Any) -> None:
    payload = file_of(Image.fromarray(np.array([[0, 7, 200, 255]], dtype=dtype)), "TIFF")
    assert pixels(payload)[0, :, 0].tolist() == [0, 7, 200, 255]


@pytest.mark.parametrize("values", [[0.0, 3000.0], [-0.5, 0.5], [0.0, float("nan")], [0.0, float("inf")]])
def test_a_range_that_nothing_names_is_refused(values: list[float]) -> None:
    payload = file_of(Image.fromarray(np.array([values], dtype=np.float32)), "TIFF")
    with pytest.raises(SampleError, match="convert it to 8 or 16 bits"):
        decode_image(payload)


def test_32_bit_integers_beyond_255_are_refused() -> None:
    with pytest.raises(SampleError, match="from 0 to 70000"):
        decode_image(file_of(Image.fromarray(np.array([[0, 70000]], dtype=np.int32)), "TIFF"))


def test_adobe_cmyk_and_ycck_jpegs_look_right() -> None:
    """Adobe stores ink inverted, and says so in a marker; YCCK is the same ink as luma and chroma."""
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    cmyk = file_of(red, "JPEG", quality=95)
    assert np.abs(pixels(cmyk)[0, 0].astype(int) - [255, 0, 0]).max() <= 4
    luma, blue, chroma = Image.new("RGB", (1, 1), (0, 255, 255)).convert("YCbCr").getpixel((0, 0))
    inverted = Image.new("CMYK", (16, 16), (255 - luma, 255 - blue, 255 - chroma, 0))
    stored = bytearray(file_of(inverted, "JPEG", quality=95))
    marker = stored.index(b"Adobe")
    stored[marker + 11] = 2  # the marker's transform: YCCK
    assert np.abs(pixels(bytes(stored))[0, 0].astype(int) - [255, 0, 0]).max() <= 6


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(format: str) -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "lime", "blue")]
    payload = file_of(frames[0], format, save_all=True, append_images=frames[1:])
    assert np.abs(pixels(payload)[4, 4].astype(int) - [255, 0, 0]).max() <= 2


def test_of_an_mpo_the_first_picture_is_taken() -> None:
    first, second = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    payload = file_of(first, "MPO", save_all=True, append_images=[second])
    assert np.abs(pixels(payload)[4, 4].astype(int) - [255, 0, 0]).max() <= 4


def test_an_exif_rotation_is_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to look at it
    assert decode_image(file_of(photo((20, 14)), "JPEG", exif=exif)).size == (20, 14)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_a_file_cut_short_is_named(format: str) -> None:
    payload = file_of(photo((64, 64)), format, **({"compression": "tiff_lzw"} if format == "TIFF" else {}))
    with pytest.raises(SampleError, match="image"):
        decode_image(payload[: len(payload) * 2 // 3])


@pytest.mark.parametrize(
    "payload", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff", b"II*\0" * 9]
)
def test_what_is_no_image_is_named(payload: bytes) -> None:
    with pytest.raises(SampleError, match="image"):
        decode_image(payload)


def test_broken_bytes_raise_nothing_else() -> None:
    random = np.random.default_rng(0)
    for format in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "ICO", "JPEG2000"):
        payload = np.frombuffer(file_of(photo(), format), dtype=np.uint8)
        for _ in range(60):
            broken = payload.copy()
            broken[random.integers(0, min(len(broken), 150), 3)] = random.integers(0, 256, 3)
            with contextlib.suppress(SampleError):
                assert decode_image(broken.tobytes()).mode == "RGB"


def test_a_decompression_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = png(20_000, 20_000, 1, 0, bytes(2501) * 100)
    with pytest.raises(SampleError, match=r"178,956,970 pixels.*scale it down"):
        decode_image(bomb)


def test_a_large_image_below_the_limit_prints_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # Pillow's own setting; it warns above it
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert isinstance(image_model().prepare([file_of(photo((60, 60)), "PNG")])[0], torch.Tensor)
    assert not caught


def test_a_line_of_pixels_is_refused_and_a_long_strip_is_not() -> None:
    line, strip, dot = image_model().prepare(
        [file_of(Image.new("RGB", size), "PNG") for size in ((5000, 1), (900, 1), (1, 1))]
    )
    assert "5000×1" in str(line)
    assert strip.shape == dot.shape == (3, 32, 32)


def image_model() -> FrozenImageModel:
    """A model of which only the decoding and the transform matter."""
    from timm.data import create_transform

    transform = create_transform(input_size=(3, 32, 32), is_training=False)

    def read(batch: torch.Tensor, layers: Collection[str]) -> Activations:
        return Activations()

    return FrozenImageModel(torch.nn.Linear(1, 1), transform, read, read)


def test_a_heic_image_needs_an_extra_which_is_named_and_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    content = b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00mif1heicmiaf"
    with pytest.raises(TransientSampleError, match=r"pip install 'headstart\[heic\]'"):
        decode_image(content)
    opened = []
    library = type("Library", (), {"register_heif_opener": staticmethod(lambda: opened.append(True))})
    monkeypatch.setitem(sys.modules, "pillow_heif", library)
    with pytest.raises(SampleError, match="not an image that can be read"):
        decode_image(content)
    assert opened == [True]


@pytest.mark.parametrize(("format", "options"), [("AVIF", {"quality": 100}), ("JPEG2000", {})])
def test_newer_formats_are_decoded(format: str, options: dict[str, Any]) -> None:
    image = Image.new("RGB", (32, 32), (200, 100, 50))
    assert (
        np.abs(
            np.asarray(decode_image(file_of(image, format, **options))).astype(int) - image.getpixel((0, 0))
        ).max()
        < 8
    )
