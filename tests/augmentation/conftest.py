"""Pictures, keys, and functions of a user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

KEYS = [bytes([number]) * 16 for number in range(12)]

OWN = """
from PIL import Image, ImageDraw


def darker(image, generator):
    return image.point(lambda level: int(level * generator.uniform(0.2, 0.8)))


def scribble(image, generator):
    ImageDraw.Draw(image).rectangle((0, 0, 5, 5), fill="red")
    return image


def grey(image, generator):
    return image.convert("L")


def shuffled(text, generator):
    words = text.split()
    return " ".join(words[place] for place in generator.permutation(len(words)))


def raises(sample, generator):
    raise KeyError(f"no entry for {object()}")


def nothing(sample, generator):
    return None


def empty(sample, generator):
    return ""


def no_pixels(sample, generator):
    return Image.new("RGB", (0, 7))


def hungry(sample, generator):
    raise MemoryError


def unversioned(sample, generator):
    return sample


for function in (darker, scribble, grey, shuffled, raises, nothing, empty, no_pixels, hungry):
    function.version = "1"
"""


@pytest.fixture(scope="session")
def image() -> Image.Image:
    """A coloured picture that no flip, crop or shift leaves as it is."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((84, 108), Image.Resampling.BICUBIC)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with functions of a user's own; each test has another one."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(OWN, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return f"py:{name}"
