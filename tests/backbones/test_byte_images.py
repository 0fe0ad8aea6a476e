"""Pictures that go to the device as bytes give the features that they give as numbers, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from headstart.backbones import BackboneOptions, image_models, open_backbone
from headstart.backbones.byte_images import byte_pixels
from headstart.backbones.hf import dual
from headstart.backbones.pooling import read_tap, reads_of
from headstart.contracts import Backbone

from . import tiny_vision
from .odd_pictures import odd_pictures


def of_timm(folder: Path) -> Backbone:
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit").state_dict(), folder / "w.safetensors")
    return open_backbone("timm:test_vit", BackboneOptions(weights=folder / "w.safetensors"))


def of_torchvision(folder: Path) -> Backbone:
    torch.manual_seed(0)
    save_file(torchvision.models.squeezenet1_1().state_dict(), folder / "w.safetensors")
    return open_backbone("torchvision:squeezenet1_1", BackboneOptions(weights=folder / "w.safetensors"))


def of_transformers(folder: Path) -> Backbone:
    return open_backbone(f"hf:{tiny_vision.vit(folder / 'vit')}", BackboneOptions())


def one_side(folder: Path) -> Backbone:
    return open_backbone(f"hf:{tiny_vision.clip(folder / 'clip')}", BackboneOptions(modality="image"))


def both_sides(folder: Path) -> Backbone:
    return open_backbone(f"hf:{tiny_vision.clip(folder / 'clip')}", BackboneOptions(modality="image-text"))


def opened(backbone: Backbone, monkeypatch: pytest.MonkeyPatch, as_bytes: bool) -> Any:
    """A model that pictures go to as if it lay on a GPU, or on the CPU."""
    for module in (image_models, dual):
        monkeypatch.setattr(module, "sends_bytes", lambda _: as_bytes)
    return backbone.load("cpu", "fp32")


@pytest.mark.parametrize("make", [of_timm, of_torchvision, of_transformers, one_side, both_sides])
def test_features_are_the_same(
    make: Callable[[Path], Backbone], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = make(tmp_path)
    pictures: list[Any] = odd_pictures(6)
    payloads = [(picture, "a dog") for picture in pictures] if make is both_sides else pictures
    taps = backbone.resolve().taps
    found = []
    for as_bytes in (False, True):
        model = opened(backbone, monkeypatch, as_bytes)
        batch = model.collate([one for one in model.prepare(payloads) if not isinstance(one, Exception)])
        kinds = {part.dtype for name, part in batch.items() if name.endswith("pixel_values")}
        assert kinds == {torch.uint8 if as_bytes else torch.float32}
        activations = model.forward(batch, reads_of(taps))
        found.append([read_tap(activations, tap) for tap in taps])
    for numbers, of_bytes in zip(*found, strict=True):
        assert torch.equal(numbers, of_bytes)


def test_a_batch_is_a_quarter_as_large_and_lies_channels_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = opened(of_timm(tmp_path), monkeypatch, True)
    [pixels] = model.collate(model.prepare(odd_pictures(3))).values()
    assert pixels.element_size() == 1
    assert pixels.is_contiguous(memory_format=torch.channels_last)


def test_a_transform_that_nobody_knows_stays_whole() -> None:
    def own(image: Any) -> torch.Tensor:
        return torchvision.transforms.functional.to_tensor(image)

    assert byte_pixels(torchvision.transforms.Compose([own]), own) is None


def test_a_transform_that_is_not_what_it_says_stays_whole() -> None:
    from timm.data import create_transform

    said = create_transform(input_size=(3, 32, 32), is_training=False)
    assert byte_pixels(said, said) is not None
    assert byte_pixels(said, lambda image: said(image) + 1e-6) is None
