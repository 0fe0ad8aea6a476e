"""The blocks that a timm model is made of, one after the other.

They are counted as timm groups parameters for layer-wise learning rates: blocks of a transformer, stages of a
convolutional network. Layers by number are something else: the maps that ``forward_intermediates`` gives, which
lack the tokens before the patches, and of some networks are fewer.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from headstart.backbones.blocks import BlockReader

if TYPE_CHECKING:
    import torch

AFTER_BLOCKS = ("norm", "head", "fc", "classifier", "conv_head", "bn2")
"""What timm calls the modules behind its last block, at the beginning of their names."""


def depths_of(model: Any) -> tuple[int, dict[str, int]]:
    """How many blocks there are, and the depth of every parameter by name: 0 before the first block, then its number,
    and one more behind the last."""
    from timm.models import group_parameters

    groups = dict(group_parameters(model, model.group_matcher(coarse=True)))
    last = max(groups)
    is_behind = all(name.startswith(AFTER_BLOCKS) for name in groups[last])
    depths = {name: depth for depth, names in groups.items() for name in names}
    return (last - 1 if is_behind else last), depths


def block_names(model: Any) -> list[str]:
    """The name of the module that each block is, from the first to before the first that is no module of its own.

    The last often is none: timm counts what stands behind it, such as the closing norm, to the same group.
    """
    n_blocks, depths = depths_of(model)
    inside: dict[int, set[str]] = {number: set() for number in range(1, n_blocks + 1)}
    for name, depth in depths.items():
        if depth in inside:
            inside[depth].add(name)
    found: dict[frozenset[str], str] = {}
    for name, module in model.named_modules():
        if name:  # the outermost of several that hold the same comes first
            found.setdefault(frozenset(f"{name}.{part}" for part, _ in module.named_parameters()), name)
    names = (found.get(frozenset(held)) for held in inside.values())
    return [name for name in itertools.takewhile(lambda name: name is not None, names) if name]


def has_channels_last(model: Any) -> bool:
    """Whether its maps are (B, H, W, D) rather than (B, D, H, W)."""
    return str(getattr(model, "output_fmt", "NCHW")).endswith("NHWC")


def block_reader(model: Any) -> BlockReader:
    """What reads the blocks of a model."""

    def modules() -> list[torch.nn.Module]:
        return [model.get_submodule(name) for name in block_names(model)]

    return BlockReader(modules, model.forward_features, has_channels_last(model))
