"""The part of a text model that reads: an encoder, the encoder of a pair, or a decoder-only model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.backbones.hf.anatomy import Depth, candidate_blocks, depth_of
from headstart.errors import BackboneError

if TYPE_CHECKING:
    import torch

    from headstart.backbones.hf.models import HubModel

POOLER = "pooler"
ENCODER_CLASSES = ("t5", "mt5", "umt5")  # these have a class that never loads the decoder
TRIAL_LENGTH = 12


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """A text encoder in eval mode, and what a trial found in it.

    Parameters
    ----------
    module : torch.nn.Module
        What turns tokens into hidden states; without the decoder of an encoder-decoder.
    config
        Of the whole model.
    missing : tuple of str
        The weights of it that the checkpoint does not have, which no feature reads.
    is_causal : bool
        A position sees only what stands before it.
    has_pooler : bool
        It pools by itself, with weights of the checkpoint.
    """

    module: Any
    config: Any
    missing: tuple[str, ...]
    depth: Depth
    is_causal: bool
    has_pooler: bool


def load_text_encoder(source: HubModel) -> TextEncoder:
    """Load a text encoder and try it once.

    Raises
    ------
    BackboneError
        It is no text model, or lacks weights that every feature needs.
    """
    import torch
    import transformers

    auto = transformers.AutoModel
    if source.config.model_type in ENCODER_CLASSES:
        auto = transformers.AutoModelForTextEncoding
    model, missing = source.load(auto)
    _check_takes_texts(source, model)
    module = model.get_encoder() if model.config.is_encoder_decoder else model
    missing = _of_part(model, module, missing)
    needed = [name for name in missing if POOLER not in name]
    if needed:
        raise BackboneError(f"{source.spec} lacks weights that its features need: {needed[0]}")
    if hasattr(module.config, "use_cache"):
        module.config.use_cache = False  # nothing is generated, so keys and values need no keeping
    with source.failures(), torch.inference_mode():
        depth, is_causal, pools = _trial(source, module)
    return TextEncoder(module, model.config, missing, depth, is_causal, pools and not missing)


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
