"""Write scikit-learn's digits as two domains: ``plain``, and ``negative`` in noise, of other digits.

Usage: python make_domains.py plain|negative FOLDER

Every second digit is of the plain domain, as `make_digits.py` writes it. The others are dark on light,
with a third of the contrast and seeded noise: the same ten classes in another look, and no image is in both.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SIDE = 64
LEVELS = 16
CONTRAST, NOISE = 0.35, 30.0  # of 255 grey levels


def make_domain(domain: str, folder: Path) -> int:
    """Write the images of a domain and return how many there are."""
    digits = load_digits()
    numbers = range(0 if domain == "plain" else 1, len(digits.images), 2)
    for number in numbers:
        target = folder / str(digits.target[number]) / f"{number:04d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        grey = np.rint(digits.images[number] * (255 / LEVELS)).astype(np.uint8)
        image = Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        (image if domain == "plain" else _negative(image, number)).save(target)
    return len(numbers)


def _negative(image: Image.Image, number: int) -> Image.Image:
    noise = np.random.default_rng(number).normal(0, NOISE, (SIDE, SIDE))
    pixels = 200 - CONTRAST * np.asarray(image, dtype=np.float64) + noise
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("plain", "negative"):
        sys.exit("usage: python make_domains.py plain|negative FOLDER")
    print(f"{make_domain(sys.argv[1], Path(sys.argv[2])):,} images in {sys.argv[2]}")
