"""What the built-in augmentations do to pictures, before the model's own transform."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from headstart.augmentation.randomness import below, between

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

SCALE = (0.35, 1.0)
RATIO = (3 / 4, 4 / 3)
FLIP = 0.5
JITTER = 0.2
LARGEST = 640
ATTEMPTS = 10

Box = tuple[int, int, int, int]


def resized_crop(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """A random part of the picture, squeezed to a square as torchvision's ``RandomResizedCrop`` does.

    The square is as wide as the part's longer side, so that no detail is lost before the model's own
    transform resizes it, and at most `LARGEST` pixels, as every later step costs by the pixel.
    """
    from PIL import Image

    left, top, right, bottom = box = draw_box(image.size, generator)
    side = min(max(right - left, bottom - top), LARGEST)
    return image.resize((side, side), Image.Resampling.BICUBIC, box=box)


def draw_box(size: tuple[int, int], generator: np.random.Generator) -> Box:
    """Left, top, right, bottom of a part of a picture of a size (width, height).

    Its share of the area is uniform in `SCALE`, its aspect log-uniform in `RATIO`; where ten draws do not
    fit, the largest central part of a fitting aspect. Source: ``RandomResizedCrop.get_params`` of
    torchvision 0.29.
    """
    width, height = size
    for _ in range(ATTEMPTS):
        area = width * height * between(generator, *SCALE)
        ratio = math.exp(between(generator, math.log(RATIO[0]), math.log(RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = below(generator, height - h + 1), below(generator, width - w + 1)
            return left, top, left + w, top + h
    w = min(width, max(round(height * RATIO[1]), 1))
    h = min(height, max(round(width / RATIO[0]), 1))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def random_flip(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """The picture or, as often, its mirror image."""
    from PIL import Image

    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if generator.random() < FLIP else image


def colour_jitter(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Another brightness, contrast and saturation: each times a factor in [1 - `JITTER`, 1 + `JITTER`)."""
    from PIL import ImageEnhance

    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(between(generator, 1 - JITTER, 1 + JITTER))
    return image
