"""What the built-in augmentations do to pictures, before the model's own transform."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from headstart.augmentation.changes import below, between

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
N_OPERATIONS = 2
MAGNITUDE = 9
BINS = 30
"""The magnitude at which an operation is at its strongest."""
OPERATIONS = {
    "Identity": 0.0,
    "ShearX": 0.3,
    "ShearY": 0.3,
    "TranslateX": 150 / 331,
    "TranslateY": 150 / 331,
    "Rotate": 30.0,
    "Brightness": 0.9,
    "Color": 0.9,
    "Contrast": 0.9,
    "Sharpness": 0.9,
    "Posterize": 4.0,
    "Solarize": 255.0,
    "AutoContrast": 0.0,
    "Equalize": 0.0,
}
"""By how much each changes at its strongest: slopes, shares of a side, degrees, factors away from 1, bits
lost, and by how many of 255 levels the threshold falls."""
SIGNED = frozenset(
    ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness")
)


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


def randaugment(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """The picture after `N_OPERATIONS` operations, the same one twice at times."""
    names = list(OPERATIONS)
    for _ in range(N_OPERATIONS):
        name = names[below(generator, len(names))]
        sign = -1 if generator.random() < 0.5 and name in SIGNED else 1
        image = apply(image, name, sign * OPERATIONS[name] * MAGNITUDE / BINS)
    return image


def apply(image: Image.Image, name: str, amount: float) -> Image.Image:
    """One operation on an RGB picture; what comes into it from outside is black.

    ``name``: of `OPERATIONS`; ``amount``: in its unit, and signed.

    Notes
    -----
    Pixel for pixel what ``torchvision.transforms.RandAugment`` (0.29) does; its functions for it are private.
    """
    from PIL import Image, ImageEnhance, ImageOps

    def affine(*matrix: float) -> Image.Image:
        return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)

    match name:
        case "Identity":
            return image
        case "ShearX":
            return affine(1, amount, 0, 0, 1, 0)
        case "ShearY":
            return affine(1, 0, 0, amount, 1, 0)
        case "TranslateX":
            return affine(1, 0, -int(amount * image.width), 0, 1, 0)
        case "TranslateY":
            return affine(1, 0, 0, 0, 1, -int(amount * image.height))
        case "Rotate":
            return image.rotate(amount)
        case "Brightness" | "Color" | "Contrast" | "Sharpness":
            enhanced: Image.Image = getattr(ImageEnhance, name)(image).enhance(1 + amount)
            return enhanced
        case "Posterize":
            return ImageOps.posterize(image, 8 - round(amount))
        case "Solarize":
            return ImageOps.solarize(image, math.ceil(255 - amount))  # of whole levels
        case "AutoContrast":
            return ImageOps.autocontrast(image)
        case "Equalize":
            return ImageOps.equalize(image)
    raise ValueError(f"RandAugment has no operation {name!r}")
