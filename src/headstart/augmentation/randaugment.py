"""RandAugment (Cubuk et al. 2020): some operations, drawn from fourteen, at one strength."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from headstart.augmentation.randomness import below

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

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
