"""A text model in memory and frozen: from tokens to hidden states."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headstart.backbones.freezing import grad_context, is_int8
from headstart.backbones.hf.packing import PLACES, find_packing, pack, trial_texts, unpack, varlen_attention
from headstart.backbones.pooling import pool
from headstart.backbones.unpadded import run_unpadded
from headstart.types import AT_END, Activations, Positions

if TYPE_CHECKING:
    import torch

    from headstart.backbones.hf.packing import Attend, Packing
    from headstart.backbones.hf.text_encoders import TextEncoder
    from headstart.backbones.hf.tokenizing import TextInput
    from headstart.contracts import Change
    from headstart.errors import SampleError
    from headstart.types import Payload

CPU_TOKENS = 512  # a batch; more than about 1,000 fall out of a core's cache
GPU_TOKENS = 16_384
WIDTHS = 16  # padded texts on a GPU have a multiple of it


class FrozenTextModel:
    """A text encoder with its tokenizer, in memory and frozen.

    Parameters
    ----------
    encoder : TextEncoder
        On its device.
    text_input : TextInput
    n_skipped : int
        Positions at the beginning that take no part in a pooling: those of a prompt.
    head : torch.nn.Module, optional
        What follows the pooling.
    head_tap : str
        The canonical tap that the head reads.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        text_input: TextInput,
        n_skipped: int = 0,
        head: torch.nn.Module | None = None,
        head_tap: str = "",
    ) -> None:
        import torch

        self._encoder = encoder
        self._input = text_input
        self._n_skipped = n_skipped
        self._head = head
        self._head_tap = head_tap
        self.module: torch.nn.Module = (
            encoder.module if head is None else torch.nn.ModuleDict({"encoder": encoder.module, "head": head})
        )
        self.device = next(self.module.parameters()).device
        self.is_reentrant = not _changes_as_it_runs(encoder.config)
        self._accepts = set(inspect.signature(encoder.module.forward).parameters)
        self._fill = fill_values(text_input.tokenizer, encoder.module)
        self.budget = CPU_TOKENS if self.device.type == "cpu" else GPU_TOKENS
        self._packing: Packing | None = None
        self.pack_with(self._fused_attention())

    @property
    def forward_as(self) -> str:
        """How it runs: over texts one behind the other, or padded."""
        return "eager" if self._packing is None else "packed"

    def pack_with(self, attend: Attend | None) -> None:
        """Run over packed texts from now on, if a trial shows that they give what padded ones do."""
        if attend is None or self._encoder.is_causal:
            return
        rows = self.prepare(trial_texts())
        reads = {*self._encoder.depth.blocks.layers, *AT_END}

        def trial(packing: Packing | None) -> Activations:
            batch = self._collate(rows, packing)
            return self._forward({name: part.to(self.device) for name, part in batch.items()}, reads, packing)

        padding = getattr(self._encoder.config, "pad_token_id", None)
        firsts = [0, *([padding + 1] if isinstance(padding, int) else [])]
        self._packing = find_packing(self._encoder.module, attend, firsts, trial)

    def _fused_attention(self) -> Attend | None:
        import torch

        sixteen_bits = next(self._encoder.module.parameters()).dtype in (torch.bfloat16, torch.float16)
        return varlen_attention() if self.device.type == "cuda" and sixteen_bits else None

    def prepare(
        self, payloads: Sequence[Payload], changes: Sequence[Change | None] | None = None
    ) -> list[Any | SampleError]:
        """Token ids of each text, cut to the maximal length, not padded yet."""
        return self._input.prepare(payloads, changes)

    def length(self, prepared: Any) -> int:
        """The number of tokens."""
        return len(prepared["input_ids"])

    def collate(self, prepared: Sequence[Any]) -> dict[str, torch.Tensor]:
        """The batch: packed, or padded on the right. What a text gives is then what it gives alone.

        Encoders have the class token first in every row, and a decoder counts places from the left.
        """
        return self._collate(prepared, self._packing)

    def _collate(self, prepared: Sequence[Any], packing: Packing | None) -> dict[str, torch.Tensor]:
        import torch

        names = [name for name in prepared[0] if name in self._accepts]
        if packing is not None:
            return pack(prepared, names, packing.first)

        lengths = [len(row["input_ids"]) for row in prepared]
        width = max(lengths)
        if self.device.type == "cuda":  # tensor cores work on eight at a time, and a graph sees fewer widths
            width = min(-(-width // WIDTHS) * WIDTHS, self._input.max_length)

        def padded(name: str, fill: int) -> torch.Tensor:
            return torch.tensor(
                [row[name] + [fill] * (width - n) for row, n in zip(prepared, lengths, strict=True)]
            )

        batch = {name: padded(name, self._fill.get(name, 0)) for name in names}
        batch["attention_mask"] = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
        return batch

    def forward(self, batch: Mapping[str, torch.Tensor], reads: Collection[str] = AT_END) -> Activations:
        """Run the model over a batch."""
        if is_int8(self._encoder.module):
            return run_unpadded(lambda part: self._forward(part, reads, None), batch, "attention_mask")
        return self._forward(batch, reads, self._packing)

    def _forward(
        self, batch: Mapping[str, torch.Tensor], reads: Collection[str], packing: Packing | None
    ) -> Activations:
        module = self._encoder.module

        mask = batch["attention_mask"].bool()
        to_the_end = any(name in AT_END for name in reads)
        output: Any = None
        with grad_context(self.module):
            with self._encoder.depth.blocks.kept(reads, stop=not to_the_end) as kept:
                output = module(**batch) if packing is None else packing.run(module, batch)
            hidden = {**kept, "final": output.last_hidden_state} if to_the_end else kept
            if packing is not None:
                hidden = {layer: unpack(states, batch[PLACES]) for layer, states in hidden.items()}
            read = {layer: self._positions(states, mask) for layer, states in hidden.items()}
            whole = {}
            if to_the_end and self._encoder.has_pooler:
                whole["pooler"] = output.pooler_output if packing is None else module.pooler(hidden["final"])
            if self._head is not None and "sentence" in reads:
                whole["sentence"] = self._sentence(read["final"])
        return Activations(read, whole)

    def _positions(self, hidden: torch.Tensor, mask: torch.Tensor) -> Positions:
        if not self._n_skipped:
            return Positions(hidden, mask, hidden[:, 0])
        mask = mask.clone()
        mask[:, : self._n_skipped] = False
        # As in sentence-transformers, the first token after the prompt then stands for the class token.
        return Positions(hidden, mask, hidden[:, min(self._n_skipped, hidden.shape[1] - 1)])

    def _sentence(self, final: Positions) -> torch.Tensor:
        assert self._head is not None
        vectors = pool(Activations({"final": final}), self._head_tap)
        read: torch.Tensor = self._head(vectors.to(next(self._head.parameters()).dtype))
        return read


def _changes_as_it_runs(config: Any) -> bool:
    """Whether a model rewrites its own rotary frequencies for long texts: two threads would mix them up."""
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None)
    kinds = [rope, *rope.values()] if isinstance(rope, dict) else []
    named = {kind.get("rope_type", kind.get("type")) for kind in kinds if isinstance(kind, dict)}
    return bool(named & {"dynamic", "longrope"})


def fill_values(tokenizer: Any, module: Any) -> dict[str, int]:
    """What padded positions hold: any token that the model has, since they are masked.

    A padding token that was added to a tokenizer alone has no row in the embedding.
    """
    n_rows = module.get_input_embeddings().weight.shape[0]
    tokens = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
    usable = [token for token in tokens if isinstance(token, int) and token < n_rows]
    return {"input_ids": usable[0] if usable else 0, "token_type_ids": tokenizer.pad_token_type_id}
