"""Backbones and a head that an archive was made with; their digest is that of this file, so it never changes."""

import io
import os
import time

import numpy as np
import torch
from PIL import Image


class Images:
    """A convolution over 8 × 8 pixels, with seeded weights."""

    modality = "image"
    version = "1"

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.module = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()
        )
        with torch.no_grad():
            for parameter in self.module.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def prepare(self, payload):
        pixels = np.asarray(Image.open(io.BytesIO(payload)).convert("RGB").resize((8, 8)), dtype=np.float32)
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy() / 255)


class Texts:
    """Counts of letters through a seeded linear layer; sleeps if it is asked to."""

    modality = "text"
    version = "1"

    def __init__(self):
        generator = torch.Generator().manual_seed(1)
        self.module = torch.nn.Linear(64, 8)
        with torch.no_grad():
            for parameter in self.module.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def prepare(self, payload):
        codes = np.frombuffer(payload.encode("utf-8"), dtype=np.uint8) % 64
        return torch.from_numpy(np.bincount(codes, minlength=64).astype(np.float32))

    def forward(self, batch):
        time.sleep(float(os.environ.get("ARCHIVED_SECONDS", "0")) * len(batch))
        return self.module(batch)


def head(n_features, n_outputs):
    """Two layers."""
    return torch.nn.Sequential(
        torch.nn.Linear(n_features, 4), torch.nn.Tanh(), torch.nn.Linear(4, n_outputs)
    )
