"""What sentence-transformers puts after the pooling: dense layers, and scaling between them.

Imported when it is used: torch is needed to define a module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from headstart.backbones.hf.sentence_settings import WEIGHTS
from headstart.backbones.state_dicts import load_into, read_state_dict
from headstart.errors import BackboneError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from headstart.backbones.hf.models import HubModel
    from headstart.backbones.hf.sentence_settings import Step

# By name, never by import: a configuration could name anything.
_ACTIVATIONS = {
    kind.__name__: kind
    for kind in (
        torch.nn.Identity, torch.nn.Tanh, torch.nn.ReLU, torch.nn.GELU, torch.nn.SiLU, torch.nn.Sigmoid,
        torch.nn.Mish, torch.nn.ELU, torch.nn.SELU, torch.nn.LeakyReLU, torch.nn.ReLU6, torch.nn.Softplus,
        torch.nn.Hardtanh, torch.nn.Hardswish, torch.nn.LogSigmoid, torch.nn.Softsign, torch.nn.Tanhshrink,
    )
}  # fmt: skip
_VECTOR = "sentence_embedding"


class Dense(torch.nn.Module):
    """A linear layer, its activation and, where it has one, its residual connection.

    Source: sentence-transformers 6.2, `base/modules/dense.py`; the weights have its names.
    """

    def __init__(
        self, n_in: int, n_out: int, bias: bool, activation: torch.nn.Module, residual: bool
    ) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(n_in, n_out, bias=bias)
        self.activation = activation
        self.has_residual = residual
        if residual and n_in != n_out:
            self.residual = torch.nn.Linear(n_in, n_out, bias=False)

    @property
    def description(self) -> str:
        """What its weights do not show."""
        residual = " residual" if self.has_residual else ""
        return f"dense {type(self.activation).__name__}{residual}"

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """From (B, n_in) to (B, n_out)."""
        out: torch.Tensor = self.activation(self.linear(vectors))
        if not self.has_residual:
            return out
        return out + (self.residual(vectors) if hasattr(self, "residual") else vectors)


class Normalize(torch.nn.Module):
    """Scales vectors to length 1."""

    description = "normalize"

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """From (B, D) to (B, D)."""
        return torch.nn.functional.normalize(vectors, dim=1)


class SentenceHead(torch.nn.Sequential):
    """Dense layers and what stands between them."""

    @property
    def description(self) -> list[str]:
        """What the weights do not show."""
        return [str(module.description) for module in self]


def sentence_head(source: HubModel, steps: Sequence[Step]) -> SentenceHead:
    """The modules that follow the pooling, with their weights.

    Raises
    ------
    BackboneError
        A configuration names what cannot be run here, or the weights do not fit it.
    """
    modules = [_dense(source, step) if step.kind == "dense" else Normalize() for step in steps]
    for step in steps:
        if step.config.get("module_input_name", _VECTOR) != _VECTOR:
            raise BackboneError(
                f"{source.spec} applies {step.folder} to single tokens, which is not supported"
            )
    return SentenceHead(*modules).eval()


def _dense(source: HubModel, step: Step) -> Dense:
    config = step.config
    activation = _activation(source.spec, config)
    try:
        dense = Dense(
            int(config["in_features"]),
            int(config["out_features"]),
            bool(config.get("bias", True)),
            activation,
            bool(config.get("use_residual", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BackboneError(f"{source.spec}: {step.folder}/config.json describes no dense layer") from error
    paths = [path for name in WEIGHTS if (path := source.file(f"{step.folder}/{name}"))]
    if not paths:
        raise BackboneError(f"{source.spec} has no weights in {step.folder}; expected {' or '.join(WEIGHTS)}")
    state = read_state_dict(paths[0])
    dense = dense.to(next(iter(state.values())).dtype)
    load_into(dense, state, paths[0], in_order=False, classifier=())
    return dense


def _activation(spec: str, config: Mapping[str, Any]) -> torch.nn.Module:
    name = str(config.get("activation_function", "torch.nn.Tanh"))
    kind = _ACTIVATIONS.get(name.rpartition(".")[2]) if name.startswith("torch.nn.") else None
    if kind is None:
        raise BackboneError(
            f"{spec} has a dense layer with the activation {name!r}; known are those of torch.nn: "
            f"{', '.join(_ACTIVATIONS)}"
        )
    return kind()
