"""Frozen means frozen: every parameter and every buffer is bit-identical after extraction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.backbones import BackboneOptions, open_backbone
from headstart.backbones.pooling import pool
from headstart.contracts import Backbone
from headstart.errors import BackboneError
from headstart.heads import open_head

from .conftest import TEXTS, picture
from .opening import run_model


def extract_and_train(backbone: Backbone, payloads: list[object]) -> None:
    model = backbone.load("cpu", "fp32")
    before = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    buffers = {name: tensor.clone() for name, tensor in model.module.named_buffers()}
    for _ in range(3):
        X = pool(run_model(model, model.prepare(payloads)), backbone.resolve().default_tap).numpy()
    y = np.array(["a", "b"] * len(X))[: len(X)]
    for name in ("logistic", "ridge", "linear"):
        open_head(name, {"epochs": 3} if name == "linear" else {}, seed=0).fit(X, y)
    after = model.module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(torch.equal(buffers[name], tensor) for name, tensor in model.module.named_buffers())
    assert not any(module.training for module in model.module.modules())
    assert not any(parameter.requires_grad for parameter in model.module.parameters())


def test_a_batch_norm_net() -> None:
    backbone = open_backbone("bundled:efficientnet-lite0", BackboneOptions())
    extract_and_train(backbone, [picture(number) for number in range(6)])


def test_a_dropout_net(tiny_bert: Path) -> None:
    extract_and_train(open_backbone(f"hf:{tiny_bert}", BackboneOptions()), list(TEXTS))


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    backbone = open_backbone("bundled:all-minilm-l6-v2", BackboneOptions())
    on_cpu = backbone.load("cpu", "fp32")
    expected = pool(run_model(on_cpu, on_cpu.prepare(TEXTS)), "final.mean").numpy()
    on_gpu = backbone.load("cuda", "fp32")
    found = pool(run_model(on_gpu, on_gpu.prepare(TEXTS)), "final.mean").cpu().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_weights_that_were_rounded_are_not_taken_for_whole_ones(tiny_bert: Path) -> None:
    backbone = open_backbone(f"hf:{tiny_bert}", BackboneOptions())
    backbone.load("cpu", "bf16")
    with pytest.raises(BackboneError, match="open the backbone anew"):
        backbone.load("cpu", "fp32")
