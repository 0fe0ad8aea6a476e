"""Backbones small enough for tests, loaded through ``py:tiny_backbones:NAME``."""

from __future__ import annotations

import io
import os
import time
from typing import Any

import numpy as np
import torch
from PIL import Image

SIDE = 8


class TinyImages:
    """A BatchNorm net over 8 × 8 pixels, with seeded weights."""

    modality = "image"
    version = "1"

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.module = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Dropout(0.5),
            torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(),
        )  # fmt: skip
        with torch.no_grad():
            for parameter in self.module.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def prepare(self, payload: bytes) -> torch.Tensor:
        image = Image.open(io.BytesIO(payload)).convert("RGB").resize((SIDE, SIDE))
        pixels = np.asarray(image, dtype=np.float32) / 255
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


class TinyTexts:
    """Counts of letters through a seeded linear layer; sleeps if the test asks it to."""

    modality = "text"
    version = "1"

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.module = torch.nn.Linear(64, int(os.environ.get("TINY_WIDTH", "16")))
        with torch.no_grad():
            for parameter in self.module.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def prepare(self, payload: Any) -> torch.Tensor:
        text = payload if isinstance(payload, str) else "\t".join(payload)
        codes = np.frombuffer(text.encode("utf-8"), dtype=np.uint8) % 64
        return torch.from_numpy(np.bincount(codes, minlength=64).astype(np.float32))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        time.sleep(float(os.environ.get("TINY_SECONDS", "0")) * len(batch))
        features: torch.Tensor = self.module(batch)
        if os.environ.get("TINY_NAN") == "all":
            features = features * float("nan")
        if os.environ.get("TINY_NAN") == "some":
            features = torch.where(batch[:, ord("z") % 64, None] > 0, float("nan"), features)
        return features * float(os.environ.get("TINY_SCALE", "1"))


class TinyPairs(TinyImages):
    """The pixels of an image beside the letters of a text."""

    modality = "image-text"

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.module = torch.nn.Linear(3 * SIDE * SIDE + 64, 8)
        with torch.no_grad():
            for parameter in self.module.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def prepare(self, payload: Any) -> torch.Tensor:
        image, text = payload
        letters = np.bincount(np.frombuffer(text.encode("utf-8"), dtype=np.uint8) % 64, minlength=64)
        pixels = super().prepare(image).flatten()
        return torch.cat([pixels, torch.from_numpy(letters.astype(np.float32))])


images = TinyImages
texts = TinyTexts
pairs = TinyPairs
