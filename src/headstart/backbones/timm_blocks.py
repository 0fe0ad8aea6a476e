"""The blocks that a timm model is made of, one after the other, and passes that end behind one of them.

They are counted as timm groups parameters for layer-wise learning rates: blocks of a transformer, stages of a
convolutional network. Layers by number are something else: the maps that ``forward_intermediates`` gives, which
lack the tokens before the patches, and of some networks are fewer.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import threading
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from headstart.errors import BackboneError
from headstart.types import Activations, Positions

if TYPE_CHECKING:
    import torch
    from torch import nn

BLOCK = "block"
"""What the layer is called that leaves a block: ``block3``, counted from 1."""
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


def positions_of(states: torch.Tensor, channels_last: bool) -> torch.Tensor:
    """What leaves a block as (B, T, D): tokens as they are, maps row by row.

    Raises
    ------
    BackboneError
        It is neither.
    """
    if getattr(states, "ndim", 0) == 3:
        return states
    if getattr(states, "ndim", 0) != 4:
        raise BackboneError("what leaves its blocks is neither tokens nor a map")
    return states.flatten(1, 2) if channels_last else states.flatten(2).transpose(1, 2)


class BlockReader:
    """Reads what leaves blocks of a timm model; a pass ends behind the deepest. Threads may share it.

    Parameters
    ----------
    model : torch.nn.Module
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._kept = threading.local()
        self._ending: dict[frozenset[int], nn.Module] = {}

    def __call__(self, batch: torch.Tensor, layers: Collection[str]) -> Activations:
        """Layers by name for a batch (B, 3, H, W).

        Raises
        ------
        BackboneError
            There is no such block.
        """
        numbers = frozenset(int(layer.removeprefix(BLOCK)) for layer in layers)
        if numbers not in self._ending:
            self._ending[numbers] = self._ending_behind(numbers)
        self._kept.states = {}
        with contextlib.suppress(_Reached):
            self._ending[numbers].forward_features(batch)  # type: ignore[operator]
        channels_last = has_channels_last(self._model)
        found: Mapping[int, torch.Tensor] = self._kept.states
        return Activations(
            {f"{BLOCK}{number}": Positions(positions_of(found[number], channels_last)) for number in numbers}
        )

    def _ending_behind(self, numbers: frozenset[int]) -> nn.Module:
        names = block_names(self._model)
        if not names or max(numbers) > len(names):
            raise BackboneError(
                f"it has {len(names)} blocks that can be told apart, and no number {max(numbers)}"
            )
        top, copies = _shallow(self._model), dict[str, Any]()
        for number in sorted(numbers):
            *path, last = names[number - 1].split(".")
            at, name = top, ""
            for part in path:
                name = f"{name}.{part}"
                if name not in copies:
                    copies[name] = _shallow(at._modules[part])
                    at._modules[part] = copies[name]
                at = copies[name]
            at._modules[last] = _keeping(at._modules[last], number, number == max(numbers), self._kept)
        return top


class _Reached(Exception):
    """The deepest block has been passed."""


def _shallow(module: Any) -> nn.Module:
    """A module of its own with the same parameters, buffers and children."""
    twin: nn.Module = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin


def _keeping(block: Any, number: int, is_last: bool, kept: Any) -> nn.Module:
    """The block, which notes what leaves it; behind the last of them the pass ends."""
    from torch import nn

    class Keeping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = block

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            states = self.block(*args, **kwargs)
            kept.states[number] = states
            if is_last:
                raise _Reached
            return states

    return Keeping()
