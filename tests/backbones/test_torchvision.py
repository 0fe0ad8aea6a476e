"""Models of torchvision give what torchvision's own call gives, under the transforms of their weights."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_model
from torchvision import models

from headstart.backbones import BackboneOptions, open_backbone
from headstart.backbones.pooling import pool
from headstart.errors import BackboneError, ConfigError, WeightsUnavailableError

from ..variants import variants
from .opening import run_model

# A member of each way of ending: a pooling module, none, a head of several layers, tokens, auxiliary heads.
CLASSIFIERS = {
    "alexnet": "classifier.6",
    "resnet18": "fc",
    "mobilenet_v3_small": "classifier.3",
    "mnasnet0_5": "classifier.1",
    "shufflenet_v2_x0_5": "fc",
    "densenet121": "classifier",
    "swin_t": "head",
    "googlenet": "fc",
}


def made(name: str, folder: Path, **arguments: Any) -> tuple[Any, Path]:
    torch.manual_seed(0)
    quiet = {"init_weights": True} if name == "googlenet" else {}
    model = models.get_model(name, weights=None, **quiet, **arguments).eval()
    save_model(model, folder / f"{name}.safetensors")
    return model, folder / f"{name}.safetensors"


def batch_of(name: str, payloads: Sequence[bytes]) -> torch.Tensor:
    transform = models.get_model_weights(name).DEFAULT.transforms()
    return torch.stack([transform(Image.open(io.BytesIO(payload)).convert("RGB")) for payload in payloads])


def found(name: str, path: Path, payloads: Sequence[bytes], tap: str, **options: Any) -> torch.Tensor:
    backbone = open_backbone(f"torchvision:{name}", BackboneOptions(weights=path, **options))
    model = backbone.load("cpu", "fp32")
    return pool(run_model(model, model.prepare(payloads)), tap)


def assert_close(one: torch.Tensor, other: torch.Tensor) -> None:
    assert one.shape == other.shape
    assert ((one - other).abs().amax(1) / other.abs().amax(1)).max() <= 1e-5


@pytest.mark.parametrize("name", variants(CLASSIFIERS, {"resnet18", "mobilenet_v3_small"}))
def test_the_pooler_is_what_enters_the_classifier(name: str, tmp_path: Path, pictures: list[bytes]) -> None:
    model, path = made(name, tmp_path)
    vectors = found(name, path, pictures[:2], "pooler")
    parent, _, leaf = CLASSIFIERS[name].rpartition(".")
    model.get_submodule(parent).add_module(leaf, torch.nn.Identity())
    with torch.no_grad():
        assert_close(vectors, model(batch_of(name, pictures[:2])))


@pytest.mark.slow
def test_alexnet_is_read_after_its_last_rectifier_and_at_its_last_map(
    tmp_path: Path, pictures: list[bytes]
) -> None:
    model, path = made("alexnet", tmp_path)
    info = open_backbone("torchvision:alexnet", BackboneOptions(weights=path)).resolve()
    assert info.taps == ("pooler", "final.mean", "final.max", "final.gem")
    vectors = found("alexnet", path, pictures, "pooler")
    assert vectors.shape == (len(pictures), 4096)
    assert vectors.min() == 0
    with torch.no_grad():
        maps = model.features(batch_of("alexnet", pictures))
    assert_close(found("alexnet", path, pictures, "final.mean"), maps.mean(dim=(2, 3)))
    assert_close(found("alexnet", path, pictures, "final.max"), maps.amax(dim=(2, 3)))


def test_the_transform_of_the_weights_is_in_the_recipe(tmp_path: Path) -> None:
    _, path = made("mobilenet_v3_small", tmp_path)
    spec = "torchvision:mobilenet_v3_small"
    own = open_backbone(spec, BackboneOptions(weights=path)).resolve().preprocessing
    assert own == {
        "library": "torchvision",
        "crop_size": [224],
        "resize_size": [256],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "interpolation": "bilinear",
        "antialias": True,
    }
    smaller = open_backbone(spec, BackboneOptions(weights=path, image_size=112)).resolve().preprocessing
    assert (smaller["crop_size"], smaller["resize_size"]) == ([112], [128])
    whole = open_backbone(spec, BackboneOptions(weights=path, crop_pct=1.0)).resolve().preprocessing
    assert (whole["crop_size"], whole["resize_size"]) == ([224], [224])


@pytest.mark.slow  # 86 million weights
def test_a_vision_transformer_takes_another_size(
    tmp_path: Path, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = made("vit_b_32", tmp_path)
    backbone = open_backbone("torchvision:vit_b_32", BackboneOptions(weights=path, image_size=96))
    assert backbone.resolve().taps[:2] == ("pooler", "final.cls")
    model = backbone.load("cpu", "fp32")
    activations = run_model(model, model.prepare(pictures[:1]))
    assert activations.layers["final"].hidden.shape == (1, 9, 768)
    assert torch.equal(pool(activations, "pooler"), pool(activations, "final.cls"))


def test_the_classifier_is_no_part_of_the_weights(tmp_path: Path) -> None:
    """Fine-tuned heads of any number of classes leave the features, and so the space, alone."""
    model, path = made("mobilenet_v3_small", tmp_path)
    spec = "torchvision:mobilenet_v3_small"
    digest = open_backbone(spec, BackboneOptions(weights=path)).resolve().weights
    model.classifier[3] = torch.nn.Linear(1024, 7)
    other = tmp_path / "seven classes.pt"
    torch.save({"state_dict": model.state_dict()}, other)
    assert open_backbone(spec, BackboneOptions(weights=other)).resolve().weights == digest
    model.features[0][0].weight.data[0, 0, 0, 0] += 1
    torch.save(model.state_dict(), other)
    assert open_backbone(spec, BackboneOptions(weights=other)).resolve().weights != digest


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    _, path = made("shufflenet_v2_x0_5", tmp_path)
    with pytest.raises(BackboneError, match="does not fit the model"):
        open_backbone("torchvision:mobilenet_v3_small", BackboneOptions(weights=path)).resolve()


@pytest.mark.parametrize(
    ("name", "nearest"), [("alexnett", "alexnet"), ("resnet50.IMAGENET1K_V9", "IMAGENET1K_V")]
)
def test_an_unknown_name_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=nearest):
        open_backbone(f"torchvision:{name}", BackboneOptions()).resolve()


def test_absent_weights_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsUnavailableError, match=r"--offline was given.*pass --weights FILE"):
        open_backbone("torchvision:alexnet", BackboneOptions(offline=True)).resolve()


def test_downloaded_weights_are_found_where_torch_keeps_them(
    tmp_path: Path, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model, _ = made("squeezenet1_1", tmp_path)
    weights = models.get_model_weights("squeezenet1_1").DEFAULT
    cached = tmp_path / "hub" / "checkpoints" / weights.url.rpartition("/")[2]
    cached.parent.mkdir(parents=True)
    torch.save(model.state_dict(), cached)
    backbone = open_backbone("torchvision:squeezenet1_1", BackboneOptions(offline=True))
    assert backbone.resolve().taps[0] == "final.mean"  # it has no vector before its classifier
    assert list(backbone.source_files()) == [cached]
    frozen = backbone.load("cpu", "fp32")
    with torch.no_grad():
        expected = model.features(batch_of("squeezenet1_1", pictures)).mean(dim=(2, 3))
    assert_close(pool(run_model(frozen, frozen.prepare(pictures)), "final.mean"), expected)
    assert np.isfinite(expected.numpy()).all()
