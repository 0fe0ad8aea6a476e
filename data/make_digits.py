"""Write scikit-learn's 1,797 handwritten digits as an ImageFolder: ``<folder>/<digit>/<number>.png``.

Usage: python make_digits.py FOLDER

The digits are 8 × 8 pixels with 17 grey levels (E. Alpaydin, C. Kaynak, UCI "Optical Recognition of
Handwritten Digits", CC BY 4.0), enlarged here to 64 × 64 so that they look like photos to a net.
A folder that is complete already is left as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SIDE = 64
LEVELS = 16


def make_digits(folder: Path) -> int:
    """Write the images and return how many there are."""
    digits = load_digits()
    if sum(1 for _ in folder.glob("*/*.png")) == len(digits.images):
        return len(digits.images)
    for number, (image, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        target = folder / str(digit) / f"{number:04d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        grey = np.rint(image * (255 / LEVELS)).astype(np.uint8)
        Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(target)
    return len(digits.images)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python make_digits.py FOLDER")
    print(f"{make_digits(Path(sys.argv[1])):,} images in {sys.argv[1]}")
