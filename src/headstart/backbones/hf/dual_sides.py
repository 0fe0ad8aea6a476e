"""One side of a dual encoder, ready to be read: its tower, its inputs, and what a trial found in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.backbones.blocks import Blocks
from headstart.backbones.hf.anatomy import Depth, Layout, candidate_blocks, depth_of, layout_of
from headstart.backbones.hf.dual_inputs import MASK, ImageInputs, TextInputs
from headstart.errors import BackboneError
from headstart.types import AT_END, Activations, Positions

if TYPE_CHECKING:
    import torch

    from headstart.backbones.hf.models import HubModel
    from headstart.backbones.hf.towers import Reading, Tower

TEXT_POOLINGS = ("mean", "max", "eos", "gem", "sqrt", "weighted")


@dataclass(frozen=True, slots=True)
class DualSide:
    """One side, as a trial found it.

    Parameters
    ----------
    layout : Layout, optional
        None: the positions are tokens of a text.
    offered : tuple of str
        Which of ``joint`` and ``pooler`` the checkpoint has the weights for.
    """

    tower: Tower
    inputs: ImageInputs | TextInputs
    depth: Depth
    layout: Layout | None
    offered: tuple[str, ...]

    @property
    def taps(self) -> tuple[str, ...]:
        """The joint space first, then the tower's own pooling, then its last positions."""
        if self.layout is not None:
            poolings: tuple[str, ...] = self.layout.poolings
        else:
            poolings = (*TEXT_POOLINGS, *(("cls",) if self._has_cls else ()))
        return (*self.offered, *(f"final.{name}" for name in poolings))

    def read(self, inputs: Mapping[str, torch.Tensor], reads: Collection[str]) -> Activations:
        """Run the side over a batch that is on its device."""
        mask = inputs.get(MASK)
        reading = self.tower.read(inputs, self.depth.blocks, reads)
        whole = {"joint": reading.joint, "pooler": reading.pooled}
        return Activations(
            {layer: self._positions(hidden, mask) for layer, hidden in reading.hidden.items()},
            {name: vectors for name in self.offered if (vectors := whole[name]) is not None},
        )

    def _positions(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> Positions:
        if self.layout is not None:
            return self.layout.positions(hidden, mask)
        return Positions(hidden, mask, hidden[:, 0] if self._has_cls else None)

    @property
    def pads(self) -> bool:
        """Whether samples are padded to the longest of a batch."""
        return isinstance(self.inputs, TextInputs) and not self.inputs.pads_to_max

    @property
    def _has_cls(self) -> bool:
        return isinstance(self.inputs, TextInputs) and self.inputs.has_cls


def open_side(source: HubModel, tower: Tower, missing: Collection[str]) -> DualSide:
    """A side of a loaded model, after a trial.

    Parameters
    ----------
    source : HubModel
    tower : Tower
    missing : collection of str
        The weights that the checkpoint does not have.

    Raises
    ------
    BackboneError
        The checkpoint lacks weights without which the side cannot be read.
    """
    needed, random_pooler, random_joint = tower.lacks(missing)
    if needed:
        raise BackboneError(f"{source.spec} lacks weights of its {tower.side} side: {needed[0]}")
    is_image = tower.side == "image"
    inputs: ImageInputs | TextInputs = ImageInputs(source) if is_image else TextInputs(source, tower.config)
    blocks = candidate_blocks(tower.transformer, tower.config)
    batch, reading = _try(source, tower, inputs, blocks)
    final = reading.hidden["final"]
    has = {
        "joint": reading.joint is not None and reading.joint.ndim == 2 and not random_joint,
        "pooler": reading.pooled is not None and not random_pooler,
    }
    return DualSide(
        tower,
        inputs,
        depth_of(blocks, tower.config, reading.hidden, final),
        layout_of(tower.transformer, tower.config, batch["pixel_values"], final) if is_image else None,
        tuple(name for name, there in has.items() if there),
    )


def _try(
    source: HubModel, tower: Tower, inputs: ImageInputs | TextInputs, blocks: Blocks
) -> tuple[dict[str, torch.Tensor], Reading]:
    import torch

    dtype = next(tower.transformer.parameters()).dtype
    batch = inputs.batch([inputs.trial()])
    batch = {name: part.to(dtype) if part.is_floating_point() else part for name, part in batch.items()}
    with source.failures(), torch.inference_mode():
        return batch, tower.read(batch, blocks, (*blocks.layers, *AT_END))
