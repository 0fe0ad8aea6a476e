"""Pixels without torch are those of timm, torchvision and transformers, bit for bit, whatever the picture."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
import transformers
from timm.data import create_transform, resolve_data_config

from headstart.backbones import BackboneOptions, open_backbone
from headstart.backbones.described_images import describe, plain_images
from headstart.backbones.image_models import FrozenImageModel
from headstart.backbones.images import decode_image
from headstart.backbones.plain_images import PlainImages, PlainTransform
from headstart.backbones.plain_inputs import open_plain_inputs, proven
from headstart.errors import SampleError

from ..variants import variants
from . import tiny_vision
from .odd_pictures import KINDS, odd_pictures

FILTERS = ("bicubic", "bilinear", "nearest", "lanczos", "box", "hamming")
MODES = ("center", "squash", "border")
CONFIGS = list(itertools.product(FILTERS, MODES, [(3, 48, 48), (3, 40, 56)]))


def timm_transform(filter: str, mode: str, size: tuple[int, int, int], share: float = 0.9) -> Any:
    return create_transform(
        input_size=size, interpolation=filter, crop_mode=mode, crop_pct=share, is_training=False
    )


@cache
def decoded(n: int) -> list[Any]:
    return [decode_image(file) for file in odd_pictures(n)]


def outcome(transform: Callable[[Any], Any], picture: Any) -> Any:
    """The bytes, with their shape and type; or the error, where a side would have no pixel."""
    try:
        pixels = np.asarray(transform(picture))
    except ValueError as error:
        return str(error)
    return pixels.shape, pixels.dtype.str, pixels.tobytes()


def assert_alike(original: Any, pictures: Sequence[Any], call: Callable[[Any], Any] | None = None) -> None:
    """``call``: how the original is asked, where it is not called itself."""
    description = describe(original)
    assert description is not None
    plain = PlainTransform(json.loads(json.dumps(description)))
    for picture in pictures:
        assert outcome(plain, picture) == outcome(call or original, picture), (original, picture.size)


@pytest.mark.parametrize(("filter", "mode", "size"), CONFIGS[::5])
def test_pixels_are_those_of_timm(filter: str, mode: str, size: tuple[int, int, int]) -> None:
    assert_alike(timm_transform(filter, mode, size), decoded(len(KINDS))[:12])


@pytest.mark.slow
@pytest.mark.parametrize(("filter", "mode", "size"), CONFIGS)
def test_of_a_thousand_pictures_all_pixels_are_those_of_timm(
    filter: str, mode: str, size: tuple[int, int, int]
) -> None:
    assert_alike(timm_transform(filter, mode, size), decoded(1000))


@pytest.mark.slow
def test_so_they_are_for_every_configuration_of_timm() -> None:
    known = {}
    for name in timm.list_models(pretrained=True):
        config = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
        known[str(sorted(config.items()))] = config
    assert len(known) > 100
    for number, config in enumerate(known.values()):
        pictures = decoded(1000)[number % 50 :: 125]
        assert_alike(create_transform(**config, is_training=False), pictures)


@pytest.mark.parametrize("name", variants(["alexnet", "vit_h_14", "all"], {"alexnet"}))
def test_pixels_are_those_of_torchvision(name: str) -> None:
    models = torchvision.models
    names = models.list_models(module=models) if name == "all" else [name]
    entries = [entry for name in names for entry in models.get_model_weights(name)]
    presets = {str(preset): preset for preset in (entry.transforms() for entry in entries)}
    for preset in presets.values():
        assert_alike(preset, decoded(len(KINDS))[:: 1 if name == "all" else 4])


PILLOW: dict[str, dict[str, Any]] = {
    "ViTImageProcessorPil": tiny_vision.SQUARE,
    "CLIPImageProcessorPil": {"size": {"shortest_edge": 37}, "crop_size": {"height": 33, "width": 36}},
    "DeiTImageProcessorPil": {"size": {"height": 30, "width": 44}, "crop_size": {"height": 33, "width": 21}},
    "BitImageProcessorPil": {"size": {"shortest_edge": 40}, "do_normalize": False},
    "SiglipImageProcessorPil": {"size": {"height": 20, "width": 20}, "resample": 1},
    "BlipImageProcessorPil": {"size": {"height": 24, "width": 24}, "rescale_factor": 1 / 127.5},
    "ChineseCLIPImageProcessorPil": {"do_resize": False, "crop_size": {"height": 50, "width": 51}},
}


@pytest.mark.parametrize("name", variants(PILLOW, {"CLIPImageProcessorPil"}))
def test_pixels_are_those_of_a_processor_that_resizes_with_pillow(name: str) -> None:
    processor = getattr(transformers, name)(**PILLOW[name])

    def pixels(picture: Any) -> Any:
        return processor(images=picture, return_tensors="pt")["pixel_values"][0]

    assert_alike(processor, decoded(4 * len(KINDS)), pixels)


def test_what_is_not_known_has_no_description() -> None:
    from torchvision import transforms

    known = timm_transform("bicubic", "center", (3, 32, 32)).transforms
    unknown: list[Any] = [
        lambda picture: picture,
        tiny_vision.clip_processor(),  # its backend is torchvision
        transformers.ViTImageProcessorPil(do_pad=True, pad_size={"height": 300, "width": 300}),
        transformers.ViTImageProcessorPil(size={"longest_edge": 32}),
        transformers.ConvNextImageProcessorPil(),  # resizes in its own way
        transforms.Compose(known[:-2]),
        transforms.Compose([*known[:-2], transforms.PILToTensor(), known[-1]]),
        transforms.Compose([transforms.RandomCrop(20), *known]),
        transforms.Compose([timm.data.transforms.TrimBorder(2), *known]),
        create_transform(input_size=(3, 32, 32), interpolation="random", crop_mode="border"),
        create_transform(input_size=(3, 32, 32), normalize=False),
        create_transform(input_size=(3, 32, 32), mean=(0.5,), std=(0.5,)),
    ]
    for transform in unknown:
        assert describe(transform) is None, transform


def frozen(transform: Any) -> FrozenImageModel:
    def read(batch: torch.Tensor, reads: Any) -> Any:
        raise NotImplementedError

    return FrozenImageModel(torch.nn.Linear(1, 1), transform, read, read)


def test_an_image_model_gives_the_batches_that_it_gives_without_torch() -> None:
    model: Any = frozen(timm_transform("bicubic", "center", (3, 32, 32)))
    plain = model.plain()
    opened = open_plain_inputs(plain.kind, json.loads(json.dumps(plain.settings)), plain.files)
    files = [*odd_pictures(6), b"no picture"]
    *found, refused = opened.prepare(files)
    *expected, also = model.prepare(files)
    assert isinstance(refused, SampleError)
    assert str(refused) == str(also)
    batch = opened.collate(found)
    assert list(batch) == ["pixel_values"]
    assert batch["pixel_values"].flags.c_contiguous
    assert batch["pixel_values"].dtype == np.float32
    assert batch["pixel_values"].tobytes() == model.collate(expected)["pixel_values"].numpy().tobytes()
    assert (opened.is_reentrant, opened.budget, opened.length(found[0])) == (True, model.budget, 1)


def test_a_batch_is_rewritten_by_the_next_of_its_thread_alone() -> None:
    settings = {"steps": [], "scale": {"how": "divide", "by": 255.0}, "normalize": {}}
    inputs = PlainImages({"transform": settings})
    pictures = [np.full((3, 2, 2), number, np.float32) for number in range(6)]
    for first, last in ((0, 2), (1, 6), (3, 4)):
        batch = inputs.collate(pictures[first:last])["pixel_values"]
        assert np.array_equal(batch, np.stack(pictures[first:last]))
    with ThreadPoolExecutor(1) as other:
        other.submit(inputs.collate, pictures).result()
    assert np.array_equal(batch, pictures[3][None])


def test_a_transform_that_gives_something_else_is_not_used() -> None:
    """Only the name of it was changed, as another version of a library could do."""
    known = timm_transform("bicubic", "center", (3, 32, 32))
    plain = plain_images(frozen(known), known)
    assert plain is not None
    for other in (
        timm_transform("bilinear", "center", (3, 32, 32)),
        timm_transform("bicubic", "squash", (3, 32, 32)),
        timm_transform("bicubic", "center", (3, 32, 32), 0.8),
    ):
        assert plain_images(frozen(known), other) is None
    settings = plain.settings["transform"]
    pictures = [[file] for file in odd_pictures(2)]
    assert proven(plain, frozen(known), pictures) == plain
    settings["normalize"]["std"][2] = float(
        np.nextafter(np.float32(settings["normalize"]["std"][2]), np.float32(1))
    )
    assert proven(plain, frozen(known), pictures) is None


@pytest.mark.parametrize(
    "spec", variants(["timm:test_vit", "torchvision:squeezenet1_1", "hf"], {"timm:test_vit"})
)
def test_the_backbones_say_how_their_pixels_are_made(spec: str, tmp_path: Path) -> None:
    """A processor that resizes as torchvision does keeps torch."""
    if spec == "hf":
        model: Any = open_backbone(f"hf:{tiny_vision.vit(tmp_path / 'vit')}", BackboneOptions()).load(
            "cpu", "fp32"
        )
        assert model.plain() is None
        return
    library, _, name = spec.partition(":")
    made: Any = timm.create_model(name) if library == "timm" else torchvision.models.get_model(name)
    torch.save(made.state_dict(), tmp_path / "weights.pth")
    model = open_backbone(spec, BackboneOptions(weights=tmp_path / "weights.pth")).load("cpu", "fp32")
    assert model.plain().kind == "images"
