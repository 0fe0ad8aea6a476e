"""How the hidden states of a model are laid out: its layers by number; class token, registers, patches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.backbones.blocks import Blocks, find_blocks, has_closing_norm
from headstart.types import Positions

if TYPE_CHECKING:
    import torch

PATCH_POOLINGS = ("mean", "max", "gem")
_TOKENS = ("cls_token", "class_embedding", "class_token", "distillation_token", "register_tokens")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the positions of an image model are laid out.

    Parameters
    ----------
    n_prefix : int
        The tokens before the patches: the class token, then a distillation token or registers.
    reads_patches : bool
        Whether what follows them is one position a patch.
    """

    n_prefix: int = 0
    reads_patches: bool = True

    @property
    def poolings(self) -> tuple[str, ...]:
        """What can be read of a layer."""
        return (("cls",) if self.n_prefix else ()) + (PATCH_POOLINGS if self.reads_patches else ())

    def positions(self, hidden: torch.Tensor, mask: torch.Tensor | None = None) -> Positions:
        """Patches to pool and the class token; a map (B, C, H, W) gives a position a pixel."""
        if hidden.ndim == 4:
            return Positions(hidden.flatten(2).transpose(1, 2))
        cls = hidden[:, 0] if self.n_prefix else None
        return Positions(hidden[:, self.n_prefix :], mask, cls)


def layout_of(tower: torch.nn.Module, config: Any, pixels: torch.Tensor, final: torch.Tensor) -> Layout:
    """The layout of a model's last hidden state.

    Parameters
    ----------
    tower : torch.nn.Module
    config
        Of the tower.
    pixels, final : Tensor
        Of one forward pass: what entered, and the last hidden state.
    """
    if final.ndim != 3:
        return Layout()
    named = ((name.rpartition(".")[2], parameter) for name, parameter in tower.named_parameters())
    n_prefix = sum(tensor.numel() // tensor.shape[-1] for name, tensor in named if name in _TOKENS)
    n_patches = _n_patches(config, pixels)
    n_found = final.shape[1] - n_prefix
    # YOLOS puts detection tokens after the patches: nothing says which positions are which.
    return Layout(n_prefix, not n_prefix or n_patches is None or n_found == n_patches)


@dataclass(frozen=True, slots=True)
class Depth:
    """Which layers of a model can be read by number.

    Parameters
    ----------
    first_layer : int
        1 for stages of different widths, where what enters the first is not like what leaves it.
    closing_norm : bool
        As in `BackboneInfo`.
    """

    blocks: Blocks
    first_layer: int = 0
    closing_norm: bool = True

    @property
    def n_layers(self) -> int:
        """The number of the last layer; 0: none can be read."""
        return len(self.blocks)


def candidate_blocks(tower: torch.nn.Module, config: Any) -> Blocks:
    """The blocks, or the stages of a hierarchical model; whether they can be read shows in a trial."""
    depths = getattr(config, "depths", None)
    n_blocks = len(depths) if depths else getattr(config, "num_hidden_layers", None)
    return find_blocks(tower, n_blocks)


def depth_of(blocks: Blocks, config: Any, kept: Mapping[str, torch.Tensor], final: torch.Tensor) -> Depth:
    """What can be read by number, after a trial that kept every layer.

    Parameters
    ----------
    blocks : Blocks
    config
        Of the tower.
    kept : mapping of str to Tensor
        What each layer gave.
    final : Tensor
        The last hidden state of the same forward pass.
    """
    staged = bool(getattr(config, "depths", None))
    layers = [kept.get(str(number)) for number in range(int(staged), len(blocks) + 1)]
    like_final = [
        layer is not None and layer.ndim == final.ndim and (staged or layer.shape == final.shape)
        for layer in layers
    ]
    if not blocks.modules or not all(like_final):
        return Depth(Blocks())
    return Depth(blocks, int(staged), has_closing_norm(layers[-1], final))


def _n_patches(config: Any, pixels: torch.Tensor) -> int | None:
    size = getattr(config, "patch_size", None)
    if size is None or pixels.ndim != 4:
        return None
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return int((pixels.shape[-2] // height) * (pixels.shape[-1] // width))
