"""A fitted head as a chain of plain torch layers: preparation, standardisation, network and temperature.

Importing this imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import ConfigError
from headstart.heads.estimators import AffineHead, Regressor
from headstart.heads.predictor import Predictor
from headstart.portable.head_layers import Scale, chain

AFFINE = (Scale, nn.Linear, nn.Dropout)
CAN = ("logistic", "ridge", "svm", "centroid", "zero-shot", "linear", "mlp", "residual")

_Layer = tuple[list[Any], dict[str, Any]]
"""A layer as `chain` takes it, and its tensors."""


@dataclass(frozen=True)
class PlainHead:
    """A head from features (B, D) to logits: what `headstart.portable.head_layers.chain` made it from, in eval mode."""

    layers: list[list[Any]]
    module: nn.Sequential

    @property
    def n_outputs(self) -> int:
        """How many logits it gives."""
        return int(next(layer for layer in reversed(self.layers) if layer[0] == "linear")[2])

    def folded(self) -> nn.Linear | None:
        """The one linear layer that answers the same; None where the head is not affine."""
        if not all(isinstance(layer, AFFINE) for layer in self.module):
            return None
        n_features = self.layers[0][1]
        exact = chain(self.layers).double().eval()
        exact.load_state_dict(self.module.state_dict())
        with torch.no_grad():
            bias = exact(torch.zeros(1, n_features, dtype=torch.float64))[0]
            matrix = exact(torch.eye(n_features, dtype=torch.float64)) - bias
        layer = nn.Linear(n_features, len(bias))
        layer.load_state_dict({"weight": matrix.T.float(), "bias": bias.float()})
        return layer


def plain_head(predictor: Predictor) -> PlainHead:
    """All that a predictor does between features and probabilities, but the softmax or the sigmoid.

    Raises
    ------
    ConfigError
        The head is no chain of layers.
    """
    found = [*_preparation(predictor), *_head(predictor.head), *_temperature(predictor)]
    layers = [layer for layer, _ in found]
    module = chain(layers)
    tensors = {
        f"{place}.{name}": _tensor(t) for place, (_, own) in enumerate(found) for name, t in own.items()
    }
    module.load_state_dict(tensors)
    return PlainHead(layers, module.eval())


def _preparation(predictor: Predictor) -> Iterator[_Layer]:
    for step in predictor.preparation.steps:
        if step.kind == "l2":
            yield ["unit"], {}
            continue
        mean = step.arrays["mean"]
        yield _scale(mean, step.arrays.get("scale", np.ones(len(mean))))
        if "matrix" in step.arrays:
            yield _linear(step.arrays["matrix"])


def _head(head: Any) -> Iterator[_Layer]:
    kind = head.kind
    if kind not in CAN:
        raise ConfigError(
            f"the head {kind!r} cannot be made one network with its backbone; heads that can: {', '.join(CAN)}"
        )
    if head.has_crf:
        raise ConfigError(
            "a CRF decides over all words of a sentence together, and is no layer of a network; fit the head without it"
        )
    yield _scale(head.mean_, head.scale_)
    if isinstance(head, AffineHead):
        if head.affine.is_unit:
            yield ["unit"], {}
        yield _linear(head.coef_, head.intercept_)
        return
    w = head.weights_
    layers = {"linear": _dropout, "mlp": _hidden, "residual": _blocks}
    yield from layers[kind](head)
    yield _linear(w["output.weight"], w["output.bias"])
    if isinstance(head, Regressor):
        yield _scale(-head.target_mean_ / head.target_scale_, 1 / head.target_scale_)


def _hidden(head: Any) -> Iterator[_Layer]:
    w = head.weights_
    for place in range(int(head.depth)):
        yield _linear(w[f"hidden.{place}.weight"], w[f"hidden.{place}.bias"])
        if head.norm == "layer":
            yield _norm(w[f"norms.{place}.weight"], w[f"norms.{place}.bias"])
        yield ["gelu"], {}
        yield from _dropout(head)


def _blocks(head: Any) -> Iterator[_Layer]:
    w = head.weights_
    yield _linear(w["inputs.weight"], w["inputs.bias"])
    for place in range(int(head.depth)):
        tensors = {
            f"{ours}.{name}": w[f"{theirs}.{place}.{name}"]
            for ours, theirs in (("norm", "norms"), ("wide", "wide"), ("narrow", "narrow"))
            for name in ("weight", "bias")
        }
        yield ["residual", int(head.width), float(head.dropout)], tensors
    yield _norm(w["norm.weight"], w["norm.bias"])


def _dropout(head: Any) -> Iterator[_Layer]:
    if head.dropout:
        yield ["dropout", float(head.dropout)], {}


def _temperature(predictor: Predictor) -> Iterator[_Layer]:
    if predictor.temperature != 1:
        n_outputs = len(predictor.classes)
        yield _scale(np.zeros(n_outputs), np.full(n_outputs, predictor.temperature))


def _scale(shift: Any, scale: Any) -> _Layer:
    return ["scale", len(shift)], {"shift": shift, "scale": scale}


def _norm(weight: Any, bias: Any) -> _Layer:
    return ["norm", len(weight)], {"weight": weight, "bias": bias}


def _linear(weight: Any, bias: Any = None) -> _Layer:
    n_outputs, n_inputs = weight.shape
    has_bias = {} if bias is None else {"bias": bias}
    return ["linear", n_inputs, n_outputs, bias is not None], {"weight": weight, **has_bias}


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))
