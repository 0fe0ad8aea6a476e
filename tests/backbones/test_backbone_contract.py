"""Every library keeps the contract of a backbone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from headstart.backbones import BackboneOptions, open_backbone
from headstart.contracts import Backbone
from headstart.testing.backbone import BackboneContract
from headstart.types import Payload

from . import tiny_vision
from .conftest import TEXTS, picture


class OfImages(BackboneContract):
    @pytest.fixture
    def payloads(self) -> list[Payload]:
        return [picture(number, size) for number, size in enumerate([(60, 80), (80, 60), (64, 64)])]


class OfTexts(BackboneContract):
    @pytest.fixture
    def payloads(self) -> list[Payload]:
        return list(TEXTS)


class TestTimm(OfImages):
    @pytest.fixture
    def backbone(self, tmp_path: Path) -> Backbone:
        import timm
        from safetensors.torch import save_file

        torch.manual_seed(0)
        save_file(timm.create_model("test_vit").state_dict(), tmp_path / "weights.safetensors")
        return open_backbone("timm:test_vit", BackboneOptions(weights=tmp_path / "weights.safetensors"))


class TestBundled(OfImages):
    @pytest.fixture
    def backbone(self) -> Backbone:
        return open_backbone("bundled:efficientnet-lite0", BackboneOptions())


class TestTransformersTexts(OfTexts):
    @pytest.fixture
    def backbone(self, tiny_bert: Path) -> Backbone:
        return open_backbone(f"hf:{tiny_bert}", BackboneOptions())


class TestOneSideOfTwo(OfTexts):
    @pytest.fixture
    def backbone(self, tmp_path: Path) -> Backbone:
        return open_backbone(f"hf:{tiny_vision.clip(tmp_path / 'clip')}", BackboneOptions(modality="text"))


class TestOwnCode(OfImages):
    @pytest.fixture
    def backbone(self, monkeypatch: pytest.MonkeyPatch) -> Backbone:
        monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "end_to_end"))
        return open_backbone("py:tiny_backbones:images", BackboneOptions())
