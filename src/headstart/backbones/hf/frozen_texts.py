"""Text encoders: loaded, tried once, and frozen; from tokens to hidden states."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from headstart.backbones.freezing import grad_context, is_int8
from headstart.backbones.hf.described_texts import plain_texts
from headstart.backbones.hf.models import Depth, candidate_blocks, computed_weights, depth_of
from headstart.backbones.hf.packing import PLACES, find_packing, pack, trial_texts, unpack, varlen_attention
from headstart.backbones.hf.words import WordInput
from headstart.backbones.pooling import pool
from headstart.errors import BackboneError
from headstart.types import AT_END, Activations, Positions

if TYPE_CHECKING:
    import torch

    from headstart.backbones.hf.models import HubModel
    from headstart.backbones.hf.packing import Attend, Packing
    from headstart.backbones.hf.tokens import TextInput
    from headstart.backbones.plain_inputs import PlainInputs
    from headstart.contracts import Change
    from headstart.errors import SampleError
    from headstart.types import Payload


POOLER = "pooler"
ENCODER_CLASSES = ("t5", "mt5", "umt5")  # these have a class that never loads the decoder
TRIAL_LENGTH = 12
CPU_TOKENS = 512  # a batch; more than about 1,000 fall out of a core's cache
GPU_TOKENS = 16_384
WIDTHS = 16  # padded texts on a GPU have a multiple of it


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """A text encoder in eval mode, and what a trial found in it."""

    module: Any  # from tokens to hidden states; without the decoder of an encoder-decoder
    whole: Any  # the model that it is of: what a folder of transformers is opened as
    config: Any  # of the whole model
    missing: tuple[str, ...]  # the weights of it that the checkpoint does not have, which no feature reads
    depth: Depth
    is_causal: bool  # a position sees only what stands before it
    has_pooler: bool  # it pools by itself, with weights of the checkpoint


def load_text_encoder(source: HubModel) -> TextEncoder:
    """Load a text encoder and try it once."""
    import torch
    import transformers

    auto = transformers.AutoModel
    if source.config.model_type in ENCODER_CLASSES:
        auto = transformers.AutoModelForTextEncoding
    model, missing = source.load(auto)
    _check_takes_texts(source, model)
    module = model.get_encoder() if model.config.is_encoder_decoder else model
    missing = tuple(name for name in _of_part(model, module, missing) if name not in computed_weights(module))
    needed = [name for name in missing if POOLER not in name]
    if needed:
        raise BackboneError(f"{source.spec} lacks weights that its features need: {needed[0]}")
    if hasattr(module.config, "use_cache"):
        module.config.use_cache = False  # nothing is generated, so keys and values need no keeping
    with source.failures(), torch.inference_mode():
        depth, is_causal, pools = _trial(source, module)
    return TextEncoder(module, model, model.config, missing, depth, is_causal, pools and not missing)


def _check_takes_texts(source: HubModel, model: Any) -> None:
    takes = getattr(model, "main_input_name", "input_ids")
    if takes != "input_ids" or model.get_input_embeddings() is None:
        raise BackboneError(
            f"{source.spec} is no text model: it is a {type(model).__name__}, which takes {takes}"
        )


def _of_part(model: Any, part: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a part's weights among those of the whole model."""
    own = next(name for name, module in model.named_modules() if module is part)
    prefix = f"{own}." if own else ""
    return tuple(name.removeprefix(prefix) for name in names if name.startswith(prefix))


def _trial(source: HubModel, module: Any) -> tuple[Depth, bool, bool]:
    """What one text and another one that begins alike show: depth, direction, pooler."""
    import torch

    vocabulary = module.get_input_embeddings().weight.shape[0]
    ids = (torch.arange(TRIAL_LENGTH) * 3 + 2) % vocabulary
    changed = torch.where(torch.arange(TRIAL_LENGTH) < TRIAL_LENGTH // 2, ids, (ids + 1) % vocabulary)
    config = module.config.get_text_config()
    blocks = candidate_blocks(module, config)
    with blocks.kept([str(number) for number in range(len(blocks) + 1)] if len(blocks) else []) as kept:
        output = _run(module, ids)
    other = _run(module, changed)
    if not hasattr(output, "last_hidden_state"):
        raise BackboneError(
            f"{source.spec} is no text encoder: {type(module).__name__} gives no hidden state a token"
        )
    final = output.last_hidden_state
    if not torch.allclose(final, _run(module, ids).last_hidden_state, equal_nan=True):
        # Reformer hashes at random, also in eval mode.
        raise BackboneError(
            f"{source.spec} gives other numbers each time it reads a text, so its features cannot be kept"
        )
    pools = getattr(output, "pooler_output", None) is not None
    return depth_of(blocks, config, kept, final), _begin_alike(final, other.last_hidden_state), pools


def _run(module: Any, ids: torch.Tensor) -> Any:
    import torch

    return module(input_ids=ids[None], attention_mask=torch.ones_like(ids)[None])


def _begin_alike(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether the common beginning of two texts has the same hidden states, up to rounding.

    Most of the values are asked, relative to themselves: a few huge ones of a language model would hide
    all others, and the experts of a mixture may round otherwise when other tokens join them.
    """
    import torch

    half = TRIAL_LENGTH // 2
    a, b = first[:, :half].float(), second[:, :half].float()
    change = (a - b).abs() / a.abs().clamp(min=torch.finfo(torch.float32).tiny)
    return bool(change.median() <= 4 * torch.finfo(first.dtype).eps)


class FrozenTextModel:
    """A text encoder with its tokenizer, in memory and frozen.

    ``encoder``: on its device; ``fill``: what padded positions hold, by the name of each input; ``n_skipped``:
    positions at the beginning that take no part in a pooling: those of a prompt; ``head``: what follows the
    pooling; ``head_tap``: the canonical tap that the head reads.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        text_input: TextInput | WordInput,
        fill: Mapping[str, int],
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
        self._fill = fill
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
                [[*row[name], *[fill] * (width - n)] for row, n in zip(prepared, lengths, strict=True)]
            )

        batch = {name: padded(name, self._fill.get(name, 0)) for name in names}
        batch["attention_mask"] = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
        return batch

    def plain(self) -> PlainInputs | None:
        """What prepares its batches on a CPU without torch; None if nothing does it alike."""
        if self.device.type != "cpu" or isinstance(self._input, WordInput):
            return None
        return plain_texts(self, self._input, self._fill, CPU_TOKENS, self._accepts)

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


Batch: TypeAlias = "Mapping[str, torch.Tensor]"


def run_unpadded(run: Callable[[Batch], Activations], batch: Batch, mask: str) -> Activations:
    """Run a model once for each length in a batch, and put the parts together as if it had run once.

    ``run``: the forward pass; ``batch`` (B, T): padded on the right; ``mask``: its entry that says which
    positions are no padding.
    """
    import torch

    lengths = batch[mask].sum(dim=1)
    groups = [torch.nonzero(lengths == n).flatten() for n in torch.unique(lengths)]
    parts = []
    for rows in groups:
        n = int(lengths[rows[0]])
        parts.append(run({name: part[rows, :n] for name, part in batch.items()}))
    if len(parts) == 1:
        return parts[0]
    order = torch.argsort(torch.cat(groups))
    return Activations(
        {layer: _join_positions([part.layers[layer] for part in parts], order) for layer in parts[0].layers},
        {tap: torch.cat([part.whole[tap] for part in parts])[order] for tap in parts[0].whole},
    )


def _join_positions(parts: Sequence[Positions], order: torch.Tensor) -> Positions:
    """Positions of several lengths, padded to the longest."""
    import torch

    width = max(part.hidden.shape[1] for part in parts)

    def padded(tensor: torch.Tensor) -> torch.Tensor:
        more = [0] * (2 * (tensor.ndim - 2)) + [0, width - tensor.shape[1]]
        return torch.nn.functional.pad(tensor, more)

    masks = [part.mask for part in parts if part.mask is not None]
    class_tokens = [part.cls for part in parts if part.cls is not None]
    return Positions(
        torch.cat([padded(part.hidden) for part in parts])[order],
        torch.cat([padded(mask) for mask in masks])[order] if masks else None,
        torch.cat(class_tokens)[order] if class_tokens else None,
    )
