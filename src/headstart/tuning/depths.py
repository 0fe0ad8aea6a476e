"""How deep in a network each parameter and each module lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.backbones.blocks import block_list
from headstart.backbones.timm_models import block_names, depths_of

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Depths:
    """The depth of every parameter of a backbone of so many blocks, or stages; 0 if it cannot be divided.

    It is 0 for what stands before the first block, then the number of the block from 1, and ``n_blocks + 1`` behind
    the last.
    """

    n_blocks: int
    of_parameter: Mapping[str, int]

    @classmethod
    def of(cls, backbone: nn.Module, blocks: Sequence[nn.Module] | None = None) -> Depths:
        """Look at a backbone, with its blocks from first to last; if none are given, with those of `blocks_of`."""
        if hasattr(backbone, "group_matcher"):
            return cls(*depths_of(backbone))
        blocks = blocks_of(backbone) if blocks is None else blocks
        names = {id(parameter): name for name, parameter in backbone.named_parameters()}
        inside = {
            names[id(parameter)]: number
            for number, block in enumerate(blocks, 1)
            for parameter in block.parameters()
        }
        depths, seen = {}, False
        for name in names.values():
            seen |= name in inside
            # What is registered behind the blocks runs behind them: closing norms and poolers.
            depths[name] = inside.get(name, len(blocks) + 1 if seen else 0)
        return cls(len(blocks), depths)

    def of_modules(self, backbone: nn.Module) -> dict[str, int]:
        """The depth of every module: of its shallowest parameter, or of the one that stands before it."""
        depths: dict[str, int] = {}
        latest = 0
        for name, module in backbone.named_modules():
            prefix = f"{name}." if name else ""
            own = [self.of_parameter[prefix + part] for part, _ in module.named_parameters()]
            depths[name] = min(own) if own else latest
            direct = [prefix + part for part, _ in module.named_parameters(recurse=False)]
            latest = self.of_parameter[direct[-1]] if direct else latest
        return depths


def blocks_of(backbone: nn.Module) -> list[Any]:
    """The blocks of a model of transformers, first to last, or of timm, as far as each is a module of its own.

    Any other has none that are known.
    """
    if hasattr(backbone, "group_matcher"):
        return [backbone.get_submodule(name) for name in block_names(backbone)]
    config = getattr(backbone, "config", None)
    if config is None:
        return []
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    depths = getattr(text, "depths", None)
    return list(block_list(backbone, len(depths) if depths else getattr(text, "num_hidden_layers", None)))
