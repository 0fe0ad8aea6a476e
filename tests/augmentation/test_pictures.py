"""What the built-in augmentations do to pictures; torchvision's own are the measure."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import InterpolationMode, RandAugment, RandomResizedCrop, autoaugment

from headstart.augmentation import open_views
from headstart.augmentation.changes import derive, generator_of
from headstart.augmentation.pictures import (
    BINS,
    LARGEST,
    MAGNITUDE,
    OPERATIONS,
    RATIO,
    SCALE,
    SIGNED,
    apply,
    colour_jitter,
    draw_box,
    randaugment,
    random_flip,
)

from .conftest import KEYS

SIZES = [(37, 53), (64, 64), (101, 40), (240, 331)]


def generators(n: int) -> list[np.random.Generator]:
    return [generator_of(derive(str(number).encode())) for number in range(n)]


@given(width=st.integers(1, 600), height=st.integers(1, 600), seed=st.binary(min_size=16, max_size=16))
def test_a_crop_lies_within_the_picture(width: int, height: int, seed: bytes) -> None:
    left, top, right, bottom = draw_box((width, height), generator_of(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_crops_are_spread_as_those_of_torchvision() -> None:
    width, height, n = 400, 300, 1500
    torch.manual_seed(0)
    picture = Image.new("RGB", (width, height))
    theirs = [RandomResizedCrop.get_params(picture, SCALE, RATIO) for _ in range(n)]
    boxes = np.array([draw_box((width, height), generator) for generator in generators(n)])
    ours = np.stack([boxes[:, 1], boxes[:, 0], boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]])
    for mine, his in zip(ours, np.array(theirs).T, strict=True):  # top, left, height, width
        assert ks_2samp(mine, his).pvalue > 0.01


@pytest.mark.parametrize("size", [(1000, 10), (10, 1000)])
def test_of_a_strip_the_largest_central_part_is_taken(size: tuple[int, int]) -> None:
    """Where no draw fits, as torchvision does it."""
    left, top, right, bottom = draw_box(size, generator_of(bytes(16)))
    top_, left_, height, width = RandomResizedCrop.get_params(Image.new("RGB", size), (1.0, 1.0), RATIO)
    assert (top, left, bottom - top, right - left) == (top_, left_, height, width)


def test_half_of_all_pictures_are_mirrored(image: Image.Image) -> None:
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes()
    found = [random_flip(image, generator).tobytes() for generator in generators(400)]
    assert set(found) == {mirrored, image.tobytes()}
    assert 0.4 < np.mean([each == mirrored for each in found]) < 0.6


def test_colours_change_lightly(image: Image.Image) -> None:
    before = np.asarray(image, dtype=np.float64)
    for generator in generators(20):
        after = np.asarray(colour_jitter(image, generator), dtype=np.float64)
        assert 0.75 < after.mean() / before.mean() < 1.25
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("size", SIZES)
def test_each_operation_of_randaugment_is_torchvisions_own(size: tuple[int, int], image: Image.Image) -> None:
    picture = image.resize(size)
    space = RandAugment()._augmentation_space(BINS + 1, (size[1], size[0]))
    assert list(space) == list(OPERATIONS)
    assert {name for name, (_, signed) in space.items() if signed} == SIGNED
    for name, (magnitudes, signed) in space.items():
        magnitude = float(magnitudes[MAGNITUDE]) if magnitudes.ndim else 0.0
        for sign in (1, -1) if signed else (1,):
            theirs = autoaugment._apply_op(picture, name, sign * magnitude, InterpolationMode.NEAREST, None)
            ours = apply(picture, name, sign * OPERATIONS[name] * MAGNITUDE / BINS)
            assert ours.tobytes() == theirs.tobytes(), name


def test_randaugment_draws_two_operations_of_all(image: Image.Image) -> None:
    """Each pair of operations is as likely: what comes out are the pictures that two operations give."""
    amounts = [
        (name, sign * OPERATIONS[name] * MAGNITUDE / BINS)
        for name in OPERATIONS
        for sign in ((1, -1) if name in SIGNED else (1,))
    ]
    possible = {apply(apply(image, *one), *other).tobytes() for one in amounts for other in amounts}
    found = [randaugment(image, generator).tobytes() for generator in generators(300)]
    assert set(found) <= possible
    assert len(set(found)) > 120


@pytest.mark.parametrize("augment", ["default", "randaugment"])
@pytest.mark.parametrize("size", [(1, 1), (2, 1500), (1500, 2), (3000, 2500)])
def test_any_picture_can_be_changed_and_stays_as_it_was(augment: str, size: tuple[int, int]) -> None:
    picture = Image.linear_gradient("L").convert("RGB").resize(size)
    before = picture.tobytes()
    for view in open_views(3, augment, 0, "image"):
        changed = view.change(KEYS[0]).image(picture)
        assert changed.mode == "RGB"
        assert 1 <= changed.width == changed.height <= LARGEST
    assert picture.tobytes() == before


def test_a_picture_is_decoded_once_for_all_its_views(
    image: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.backbones.images import prepare_images

    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    opened: list[object] = []
    original = Image.open
    monkeypatch.setattr(Image, "open", lambda *given: opened.append(given) or original(*given))
    payload, other = buffer.getvalue(), bytes(bytearray(buffer.getvalue()))
    changes = [None, *(view.change(KEYS[0]) for view in open_views(8, "default", 0, "image")), None]
    prepared = prepare_images([*[payload] * 9, other], changes, lambda picture: picture.tobytes())
    assert len(opened) == 2
    assert prepared[0] == prepared[-1] == image.tobytes()
    assert len(set(prepared[:-1])) == 9
