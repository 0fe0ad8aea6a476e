"""Images as batches of pixels without torch: the transforms of timm, torchvision, transformers in Pillow and numpy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from headstart.backbones.images import CPU_IMAGES, PIXELS, prepare_images

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from headstart.contracts import Change
    from headstart.errors import SampleError
    from headstart.types import Json, Payload


Pixels: TypeAlias = "NDArray[np.float32]"


class PlainTransform:
    """From an RGB image to its pixels (3, H, W) in float32.

    ``description``: as `headstart.backbones.described_images` gives it: ``steps``, each with its settings, what
    bytes are scaled by, and ``mean`` and ``std`` or nothing.
    """

    def __init__(self, description: Mapping[str, Json]) -> None:
        self._steps = [(STEPS[name], dict(settings)) for name, settings in description["steps"]]
        self._scale = SCALES[description["scale"]["how"]]
        self._by: float = description["scale"]["by"]
        self._normalize = {name: _channels(values) for name, values in description["normalize"].items()}

    def __call__(self, image: Image.Image) -> Pixels:
        """The pixels that a model takes."""
        return self.numbers_of(np.ascontiguousarray(np.asarray(self.pictured(image)).transpose(2, 0, 1)))

    def pictured(self, image: Image.Image) -> Image.Image:
        """The picture as a model takes it, in bytes still."""
        for step, settings in self._steps:
            image = step(image, **settings)
        return image

    def numbers_of(self, pixels: NDArray[np.uint8]) -> Pixels:
        """Bytes (3, H, W), scaled and normalised."""
        numbers = self._scale(pixels, self._by)
        if self._normalize:
            numbers -= self._normalize["mean"]
            numbers /= self._normalize["std"]
        return numbers


class PlainImages:
    """Images decoded and transformed as a `FrozenImageModel` does it.

    ``settings``: ``transform``, as `PlainTransform` takes it.
    """

    is_reentrant = True
    budget = CPU_IMAGES

    def __init__(self, settings: Mapping[str, Json]) -> None:
        self._transform = PlainTransform(settings["transform"])
        self._own = threading.local()

    def prepare(
        self, payloads: Sequence[Payload], changes: Sequence[Change | None] | None = None
    ) -> list[Any | SampleError]:
        """Decoded and transformed images, or the reason why one cannot be."""
        return prepare_images(payloads, changes, self._transform)

    def length(self, prepared: Any) -> int:
        """All images cost the same."""
        return 1

    def collate(self, prepared: Sequence[Any]) -> dict[str, NDArray[Any]]:
        """Transformed images as one batch (B, 3, H, W), which the next one of this thread rewrites."""
        # Memory that was just taken costs a page fault for every 4 KiB: with fresh memory a batch takes 5 % longer.
        held = getattr(self._own, "pixels", None)
        shape = np.shape(prepared[0])
        if held is None or held.shape[1:] != shape or len(held) < len(prepared):
            held = self._own.pixels = np.empty((len(prepared), *shape), np.float32)
        return {PIXELS: np.stack(prepared, out=held[: len(prepared)])}


def _channels(values: Sequence[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)[:, None, None]


def _resize(image: Image.Image, height: int, width: int, filter: str) -> Image.Image:
    """To a height and a width."""
    from PIL import Image

    return image.resize((width, height), Image.Resampling[filter.upper()])


def _resize_short_side(image: Image.Image, side: int, filter: str) -> Image.Image:
    """The shorter side to a length, the other in proportion."""
    long = int(side * max(image.size) / min(image.size))
    width, height = (side, long) if image.width <= image.height else (long, side)
    return _resize(image, height, width, filter)


def _resize_to_cover(image: Image.Image, height: int, width: int, longest: float, filter: str) -> Image.Image:
    """In proportion, until one side fits: with ``longest`` 0 the first that does, with 1 the last.

    Source: ``ResizeKeepRatio`` of timm 1.0, `timm/data/transforms.py`.
    """
    by_height, by_width = image.height / height, image.width / width
    ratio = max(by_height, by_width) * longest + min(by_height, by_width) * (1.0 - longest)
    return _resize(image, round(image.height / ratio), round(image.width / ratio), filter)


def _crop_center(
    image: Image.Image, height: int, width: int, rounding: str, fill: Sequence[int]
) -> Image.Image:
    """The middle; what is smaller is filled up all around."""
    from PIL import Image

    offset = OFFSETS[rounding]
    left, top = offset(image.width, width), offset(image.height, height)
    if image.width >= width and image.height >= height:
        return image.crop((left, top, left + width, top + height))
    canvas = Image.new(image.mode, (width, height), tuple(fill))
    canvas.paste(image, (-left, -top))
    return canvas


def _onto_white(image: Image.Image) -> Image.Image:
    """Without what its file says is transparent.

    Source: ``convert_to_rgb`` of transformers 5, `image_transforms.py`.
    """
    from PIL import Image

    if image.info.get("transparency") is None:
        return image
    behind = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(behind, image.convert("RGBA")).convert("RGB")


def _offset_of_torchvision(has: int, wanted: int) -> int:
    """Where the middle begins: of an odd rest half is rounded to even."""
    return round((has - wanted) / 2.0) if has >= wanted else -((wanted - has) // 2)


def _offset_of_transformers(has: int, wanted: int) -> int:
    return (has - wanted) // 2


def _divided(pixels: NDArray[np.uint8], by: float) -> Pixels:
    """As torch does it: in float32."""
    scaled = pixels.astype(np.float32)
    scaled /= np.float32(by)
    return scaled


def _multiplied(pixels: NDArray[np.uint8], by: float) -> Pixels:
    """As transformers does it: in float64, rounded once."""
    return (pixels.astype(np.float64) * by).astype(np.float32)


STEPS: dict[str, Callable[..., Image.Image]] = {
    "resize": _resize,
    "resize_short_side": _resize_short_side,
    "resize_to_cover": _resize_to_cover,
    "crop_center": _crop_center,
    "onto_white": _onto_white,
}
SCALES: dict[str, Callable[[NDArray[np.uint8], float], Pixels]] = {
    "divide": _divided,
    "multiply": _multiplied,
}
OFFSETS: dict[str, Callable[[int, int], int]] = {
    "torchvision": _offset_of_torchvision,
    "transformers": _offset_of_transformers,
}
