"""Which layers get an adapter."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from headstart.errors import ConfigError
from headstart.tuning.weights import add_adapters


class Attends(nn.Module):
    """Torch's own attention, which runs its projection by its weights alone."""

    def __init__(self, has_mlp: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = nn.Linear(8, 8) if has_mlp else nn.Identity()
        self.classifier = nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        mixed, _ = self.attention(inputs, inputs, inputs)
        outputs: Tensor = self.mlp(mixed)
        return outputs


class Model(nn.Module):
    """As much of a `WholeModel` as adapters ask for."""

    def __init__(self, has_mlp: bool) -> None:
        super().__init__()
        self.backbone = Attends(has_mlp)

    def features(self, batch: dict[str, Tensor]) -> Tensor:
        found: Tensor = self.backbone(batch["inputs"]).mean(1)
        return found


def adapt(has_mlp: bool) -> Any:
    pytest.importorskip("peft")
    model = Model(has_mlp)
    batch = {"inputs": torch.randn(2, 3, 8)}
    return model, batch, add_adapters(cast("Any", model), batch, ["classifier.weight"], 2, 4.0, 0.0)


def test_layers_that_a_pass_does_not_run_get_none() -> None:
    model, batch, _ = adapt(has_mlp=True)
    adapters = {name: part for name, part in model.named_parameters() if "lora_B" in name}
    assert [name.partition(".lora")[0] for name in adapters] == ["backbone.mlp"]
    torch.autograd.backward(model.features(batch).sum())
    assert all(part.grad is not None for part in adapters.values())


def test_a_network_without_any_is_refused() -> None:
    with pytest.raises(ConfigError, match="no linear layer and no convolution"):
        adapt(has_mlp=False)
