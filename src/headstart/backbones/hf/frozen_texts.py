"""A text model in memory and frozen: from tokens to hidden states."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from headstart.pooling import pool
from headstart.types import Activations, Positions

if TYPE_CHECKING:
    import torch

    from headstart.backbones.hf.text_encoders import TextEncoder
    from headstart.backbones.hf.tokenizing import TextInput
    from headstart.errors import SampleError
    from headstart.types import Payload

CPU_BATCH = 16
GPU_BATCH = 128


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
        self._device = next(self.module.parameters()).device
        self._accepts = set(inspect.signature(encoder.module.forward).parameters)
        self._fill = _fill_values(text_input.tokenizer, encoder.module)
        self.batch_size = CPU_BATCH if self._device.type == "cpu" else GPU_BATCH

    def prepare(self, payloads: Sequence[Payload]) -> list[Any | SampleError]:
        """Token ids of each text, cut to the maximal length, not padded yet."""
        return self._input.prepare(payloads)

    def length(self, prepared: Any) -> int:
        """The number of tokens."""
        return len(prepared["input_ids"])

    def forward(self, prepared: Sequence[Any], layers: Collection[str] = ()) -> Activations:
        """Run the model over a batch, padded to its longest text."""
        import torch

        batch = self._padded(prepared)
        mask = batch["attention_mask"].bool()
        blocks = self._encoder.depth.blocks
        with torch.inference_mode():
            with blocks.kept(layers) as kept:
                output = self._encoder.module(**batch)
            hidden = {"final": output.last_hidden_state, **kept}
            read = {layer: self._positions(states, mask) for layer, states in hidden.items()}
            whole = {"pooler": output.pooler_output} if self._encoder.has_pooler else {}
            if self._head is not None:
                whole["sentence"] = self._sentence(read["final"])
        return Activations(read, whole)

    def _padded(self, prepared: Sequence[Any]) -> dict[str, torch.Tensor]:
        """The batch, padded on the right: what a text gives is then what it gives alone.

        Encoders have the class token first in every row, and a decoder counts places from the left.
        """
        import torch

        width = max(len(row["input_ids"]) for row in prepared)

        def padded(rows: list[list[int]], fill: int) -> torch.Tensor:
            return torch.tensor([row + [fill] * (width - len(row)) for row in rows], device=self._device)

        names = [name for name in prepared[0] if name in self._accepts]
        batch = {name: padded([row[name] for row in prepared], self._fill.get(name, 0)) for name in names}
        batch["attention_mask"] = padded([[1] * len(row["input_ids"]) for row in prepared], 0)
        return batch

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


def _fill_values(tokenizer: Any, module: Any) -> dict[str, int]:
    """What padded positions hold: any token that the model has, since they are masked.

    A padding token that was added to a tokenizer alone has no row in the embedding.
    """
    n_rows = module.get_input_embeddings().weight.shape[0]
    tokens = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
    usable = [token for token in tokens if isinstance(token, int) and token < n_rows]
    return {"input_ids": usable[0] if usable else 0, "token_type_ids": tokenizer.pad_token_type_id}
