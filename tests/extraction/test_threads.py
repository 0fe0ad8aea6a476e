"""Several threads may run one model at once: its features are those that one thread gets."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from headstart.backbones.pooling import read_tap, reads_of
from headstart.types import Tokens

from ..variants import variants
from .computing import assert_close, one_thread
from .models import Opened, open_named

N_THREADS = 4
N_BATCHES = 4  # a thread
MODELS = variants(
    (
        "text:bert", "text:deberta-v2", "text:modernbert", "text:t5", "text:gpt2", "text:gemma2",
        "image:vit", "image:dinov2_with_registers", "image:beit", "image:swin", "image:convnext",
        "clip:image", "clip:text", "clip:image-text", "siglip2:image", "blip:image-text", "chinese_clip:text",
        "timm:test_vit", "timm:test_convnext", "timm:resnet18", "timm:vit_tiny_patch16_dinov3_qkvb",
        "torchvision:resnet18",
    ),
    {
        "text:bert", "text:deberta-v2", "text:t5", "image:vit", "clip:image-text", "timm:test_convnext",
    },
)  # fmt: skip

Batch = tuple[list[int], tuple[str, ...]]
"""Which samples, and which taps of them."""


def some_batches(opened: Opened, seed: int) -> list[Batch]:
    """Batches of different samples and taps: some need the whole pass, some only its beginning."""
    draw = random.Random(seed)
    rows = range(len(opened.samples))
    taps = [*opened.taps, *(f"{layer}.tokens" for layer in opened.layers)]
    return [
        (draw.sample(rows, draw.randint(1, 4)), tuple(draw.sample(taps, min(draw.randint(1, 4), len(taps)))))
        for _ in range(N_BATCHES)
    ]


def compute(opened: Opened, batches: list[Batch]) -> list[NDArray[Any]]:
    """Each tap of each batch, from the samples on."""
    made = []
    for rows, taps in batches:
        prepared = opened.model.prepare([opened.samples[row] for row in rows])
        activations = opened.model.forward(opened.model.collate(prepared), reads_of(taps))
        for tap in taps:
            read = read_tap(activations, tap)
            made.append((read.values if isinstance(read, Tokens) else read).numpy().copy())
    return made


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_each_of_four_threads_what_it_gives_one(name: str, tmp_path: Path) -> None:
    opened = open_named(name, tmp_path)
    assert opened.model.is_reentrant
    work = [some_batches(opened, seed) for seed in range(N_THREADS)]
    with one_thread():
        expected = [compute(opened, batches) for batches in work]
    together = Barrier(N_THREADS)

    def run(batches: list[Batch]) -> list[NDArray[Any]]:
        torch.set_num_threads(1)
        together.wait(30)
        return compute(opened, batches)

    with ThreadPoolExecutor(N_THREADS) as pool:
        found = list(pool.map(run, work))
    for mine, theirs in zip(found, expected, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            assert_close(one, other)
            assert np.isfinite(one).all()
