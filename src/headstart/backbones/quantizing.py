"""Linear layers that multiply in int8, for CPUs: ``--precision int8``.

Each token has a scale of its own, so that a vector does not depend on its neighbours in the batch. That rules
out onnxruntime's and torch's dynamic quantisation (one scale for the whole batch) and optimum-quanto's
(fixed scales, from a calibration that would have to be part of the recipe). torchao has scales for each token,
on top of the same ``torch._int_mm`` as here, but spends the gain on tensor subclasses and temporaries unless
the model is compiled. On MiniLM, one thread, batches of 500 to 1,000 tokens, torch 2.15 and torchao 0.18 on
AVX512-VNNI, torchao was 1.0 to 1.4 times as fast as fp32 (compiled 2.2 to 2.7 times, after one to two minutes
of compiling), and these layers 1.7 to 2.0 times; ViT-S at 224 1.6 to 2.0 times.

Imported when it is used: torch is needed to define a module.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.nn.modules.conv import _ConvNd

from headstart.errors import ConfigError

LEVELS = 190
WEIGHT_MAX = 85
"""The steps of an activation, and the largest int8 weight.

Processors without VNNI add the products of two neighbours in 16 bits, and clip what does not fit: with the
full range of both, sums came out wrong by a half, and no error said so. 2 × 190 × 85 < 2**15, so the sums are
exact on every processor. Of all pairs that fit, this one drifts least; since the zero of a token is free to
move, less than the usual symmetric int8 of full range (MiniLM's largest error on average: 0.063 and 0.069).
"""
_SMALLEST = 1e-30  # a token of equal numbers has no step; dividing by 0 would make it NaN
_OFFSET = 128  # from 0 … LEVELS to int8
_BLOCK = 256
"""Rows at once: what is in between stays in the cache. Without it 1.6 times as fast as fp32, with it 2.0."""


class Int8Linear(torch.nn.Module):
    """A frozen linear layer: int8 weights with a scale for each output, activations for each token."""

    quantized: torch.Tensor
    scale: torch.Tensor
    sums: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(dim=1).clamp_(min=_SMALLEST) / WEIGHT_MAX
        quantized = (weight / scale[:, None]).round_().to(torch.int8)
        self.register_buffer("quantized", quantized)
        self.register_buffer("scale", scale)
        self.register_buffer("sums", quantized.sum(dim=1, dtype=torch.float32))
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().float())

    @property
    def weight(self) -> torch.Tensor:
        """What the layer multiplies by, in float32: some models (T5, Swin v2) read it past `forward`."""
        return self.quantized * self.scale[:, None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From (..., in_features) to (..., out_features), in float32."""
        rows = x.reshape(-1, self.in_features)
        out = rows.new_empty(len(rows), self.out_features)
        for part, target in zip(rows.split(_BLOCK), out.split(_BLOCK), strict=True):  # type: ignore[no-untyped-call]
            self._multiply(part, target)
        return out.view(*x.shape[:-1], self.out_features)

    def _multiply(self, rows: torch.Tensor, out: torch.Tensor) -> None:
        low = rows.amin(dim=1, keepdim=True)
        step = ((rows.amax(dim=1, keepdim=True) - low) / LEVELS).clamp_(min=_SMALLEST)
        steps = (rows - low).mul_(1 / step).round_().sub_(_OFFSET).to(torch.int8)
        # rows ≈ step × steps + (low + step × _OFFSET); the second term meets each output as a whole.
        torch.mul(torch._int_mm(steps, self.quantized.t()), step, out=out)
        out.addcmul_(low + step * _OFFSET, self.sums).mul_(self.scale)
        if self.bias is not None:
            out.add_(self.bias)


def quantize(module: torch.nn.Module) -> None:
    """Replace the linear layers of a module by int8 ones, in place.

    Everything else stays what it is: embeddings, norms, attention itself, and linear layers of a kind of
    their own, such as those of `torch.nn.MultiheadAttention`. Convolutions see one sample at a time.
    """
    _check_share(module)
    made: dict[torch.nn.Module, Int8Linear] = {}  # a layer that stands in two places stays one
    for parent in list(module.modules()):
        for name, child in list(parent._modules.items()):
            if type(child) is torch.nn.Linear:
                setattr(parent, name, made.setdefault(child, Int8Linear(child)))
        if isinstance(parent, _ConvNd):
            parent.forward = partial(_one_by_one, parent, parent.forward)


def _one_by_one(
    convolution: _ConvNd, forward: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    """A convolution of each sample alone: its kernel, and so its last bits, depend on the size of the batch.

    Rounded to int8 afterwards, they moved what DeBERTa-v2 gives by 1e-3.
    """
    if x.ndim < convolution.weight.ndim:
        return forward(x)
    return torch.cat([forward(sample) for sample in torch.split(x, 1)])


def _check_share(module: torch.nn.Module) -> None:
    """Refuse a module in which convolutions outnumber linear layers, or hold as much of the weights.

    Both, because AlexNet has most of its weights in three linear layers, and most of its work in five
    convolutions. Embeddings are looked up, not multiplied by.
    """
    kinds = [type(part) for part in module.modules()]
    n_linear = kinds.count(torch.nn.Linear)
    n_convolutions = sum(issubclass(kind, _ConvNd) for kind in kinds)
    n_weights = _n_weights(module, torch.nn.Module) - _n_weights(module, torch.nn.Embedding)
    share = _n_weights(module, torch.nn.Linear) / max(n_weights, 1)
    if share <= 0.5 or n_linear < n_convolutions:
        raise ConfigError(
            f"--precision int8 speeds up linear layers, and {type(module).__name__} has too few of them: {n_linear} "
            f"beside {n_convolutions} convolutions, with {share:.0%} of its weights; take --precision fp32 or auto"
        )


def _n_weights(module: torch.nn.Module, kind: type[torch.nn.Module]) -> int:
    """The weights of all modules of a kind, each tensor counted once."""
    found = {
        parameter
        for part in module.modules()
        if type(part) is kind or kind is torch.nn.Module
        for parameter in part.parameters(recurse=False)
    }
    return sum(parameter.numel() for parameter in found)
