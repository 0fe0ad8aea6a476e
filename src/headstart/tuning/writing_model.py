"""An encoder-decoder as one torch module, from texts or cached states to logits, of which any part may be trained.

Importing this imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from headstart.backbones.hf.models import computed_weights
from headstart.errors import ConfigError
from headstart.tuning.samples import LABELS
from headstart.tuning.whole_model import ADAPTED
from headstart.tuning.writing_plan import ADAPTERS, ALL, CROSS_ATTENTION, DECODER, LAST, OWN

if TYPE_CHECKING:
    from headstart.backbones.hf.writers import Writer
    from headstart.contracts import FrozenModel
    from headstart.tuning.writing_plan import WritingPhase

STATES, MASK = "states", "attention_mask"
NET = "net."
CROSS = frozenset(("EncDecAttention", "encoder_attn", "encoder_attention", "cross_attn", "crossattention"))
"""What transformers calls the attention of a decoder's block to the encoder."""


@dataclass(frozen=True)
class WritingDepths:
    """The depth of every parameter, counted over the blocks of the encoder and then those of the decoder.

    0 is what stands before the encoder's first block, the embeddings that both sides share with it; what is the
    decoder's and stands before its first block is as deep as that; what follows the last is deepest.
    """

    n_encoder: int
    n_decoder: int
    of_parameter: Mapping[str, int]

    @property
    def n_blocks(self) -> int:
        """Of both sides."""
        return self.n_encoder + self.n_decoder

    @classmethod
    def of(cls, writer: Writer) -> WritingDepths:
        """Look at an encoder-decoder."""
        n_encoder, n_decoder = len(writer.encoder_blocks), len(writer.decoder_blocks)
        inside = {
            id(parameter): number
            for number, block in enumerate([*writer.encoder_blocks, *writer.decoder_blocks], 1)
            for parameter in block.parameters()
        }
        first, top = n_encoder + 1, n_encoder + n_decoder + 1
        depths: dict[str, int] = {}
        of_decoder = {id(parameter) for parameter in writer.decoder.parameters()}
        seen = False
        for name, parameter in writer.net.named_parameters(remove_duplicate=False):
            block = inside.get(id(parameter))
            if name in writer.encoder_parameters:
                depths[name] = block or (n_encoder if depths.get(name) is None and _closes(name) else 0)
            elif id(parameter) in of_decoder:
                seen |= block is not None
                depths[name] = block or (top if seen else first)
            else:
                depths[name] = top
        return cls(n_encoder, n_decoder, depths)


def _closes(name: str) -> bool:
    """Whether a parameter of an encoder is of the norm behind its last block."""
    return name.rpartition(".")[0].endswith(("final_layer_norm", ".layer_norm"))


class WritingModel(nn.Module):
    """An encoder-decoder, and what prepares its inputs; ``frozen`` is the encoder as it was loaded for features."""

    def __init__(self, writer: Writer, frozen: FrozenModel) -> None:
        super().__init__()
        self.frozen, self.writer = frozen, writer
        self.net: nn.Module = writer.net.to(frozen.device)
        self.net.requires_grad_(False)
        self.depths = WritingDepths.of(writer)
        self._of_decoder = _own_of(writer.decoder, writer)
        self._unread: frozenset[str] = frozenset()
        self.eval()

    @property
    def backbone(self) -> nn.Module:
        """The whole network, for adapters."""
        return self.net

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Logits (B, T, V) of each token of a batch's labels."""
        return self.writer.logits(self.states(batch), batch[MASK], batch[LABELS])

    features = forward

    def states(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The encoder's states (B, T, D): those that were cached, or of the encoder as it is."""
        if STATES in batch:
            return batch[STATES]
        return self.writer.encode({name: part for name, part in batch.items() if name != LABELS})

    def collate(self, prepared: Sequence[Any]) -> dict[str, Tensor]:
        """Prepared inputs as one batch on the CPU."""
        return dict(self.frozen.collate(prepared))

    def length(self, prepared: Any) -> int:
        """The tokens of a prepared input."""
        return self.frozen.length(prepared)

    # -- what of it trains

    def find_unread(self, batch: Mapping[str, Tensor]) -> frozenset[str]:
        """The parameters that no logit depends on, which are never trained, and those that get no adapter.

        The output layer is often the embeddings once more: what an adapter adds to it would be added to them.
        """
        self.net.requires_grad_(True)
        self.eval()
        torch.autograd.backward(self(batch).sum())
        unread = frozenset(name for name, p in self.net.named_parameters() if p.grad is None)
        self._unread = unread | computed_weights(self.net)
        self.zero_grad(set_to_none=True)
        self.net.requires_grad_(False)
        output: Any = self.writer.net.get_output_embeddings()
        outputs = {f"{name}.weight" for name, module in self.net.named_modules() if module is output}
        return self._unread | outputs

    def train_phase(self, phase: WritingPhase) -> None:
        """Train what a phase says; nothing else changes in any way.

        Raises
        ------
        ConfigError
            Nothing of it can be told apart.
        """
        first = phase.first_depth(self.depths.n_blocks)
        for name, parameter in self.net.named_parameters():
            parameter.requires_grad_(self._trains(name, phase, first))
        if not any(parameter.requires_grad for parameter in self.net.parameters()):
            raise ConfigError(
                f"nothing would train: the {phase.part} of this decoder cannot be told apart; take decoder or full"
            )

    def _trains(self, name: str, phase: WritingPhase, first: int) -> bool:
        plain = name.replace(ADAPTED, ".")
        depth = self.depths.of_parameter.get(plain)
        if depth is None:  # it was put in later: an adapter
            return True
        if plain in self._unread:
            return False
        return {
            CROSS_ATTENTION: bool(CROSS & {*plain.split(".")}),
            DECODER: plain in self._of_decoder,
            OWN: plain not in self.writer.encoder_parameters,
            LAST: depth >= first,
            ALL: True,
            ADAPTERS: False,
        }[phase.part]

    def train(self, mode: bool = True) -> Self:
        """Training mode for what trains; dropout in what is frozen stays off."""
        super().train(mode)
        if mode:
            for part in (self.writer.encoder, *self.writer.encoder_blocks, *self.writer.decoder_blocks):
                if not any(parameter.requires_grad for parameter in part.parameters()):
                    part.eval()
        return self

    def groups(
        self, lr: float, head_lr: float, layer_decay: float, weight_decay: float
    ) -> list[dict[str, Any]]:
        """What trains, each parameter in one group: the learning rate falls from block to block towards the input."""
        top = self.depths.n_blocks + 1
        found: dict[tuple[float, float], list[str]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                plain = name.removeprefix(NET).replace(ADAPTED, ".")
                depth = self.depths.of_parameter.get(plain, top)
                rate = lr * layer_decay ** (top - depth)
                found.setdefault((rate, weight_decay if parameter.ndim > 1 else 0.0), []).append(name)
        return [{"names": names, "lr": rate, "weight_decay": decay} for (rate, decay), names in found.items()]

    def parts(self, phase: WritingPhase) -> list[tuple[str, nn.Module, float]]:
        """Encoder and decoder, with the peak learning rate of a phase; what both have counts as the encoder's."""
        own = {id(parameter) for parameter in self.writer.encoder.parameters()}
        others = [parameter for parameter in self.net.parameters() if id(parameter) not in own]
        return [("encoder", self.writer.encoder, phase.lr), ("decoder", nn.ParameterList(others), phase.lr)]


def _own_of(part: nn.Module, writer: Writer) -> frozenset[str]:
    """The names of the parameters of a decoder that its encoder does not have."""
    own = {id(parameter) for parameter in part.parameters()}
    named = writer.net.named_parameters()
    return frozenset(name for name, p in named if id(p) in own and name not in writer.encoder_parameters)
