"""Tokenizers of transformers in words and a file, from which `PlainTexts` makes the same batches."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from headstart.backbones.hf.hub_tokenizer import HubTokenizer
from headstart.backbones.hf.plain_texts import CORE
from headstart.backbones.hf.tokens import CHANNELS
from headstart.backbones.plain_inputs import PlainInputs, proven

if TYPE_CHECKING:
    from headstart.backbones.hf.tokens import TextInput, Tokenizer
    from headstart.contracts import FrozenModel
    from headstart.types import Json, Payload


ATTENTION = "attention_mask"
# Where a class of transformers could do more to a text than its core. Those of transformers 5, then those of 4.
_ON_THE_WAY = (
    "__call__", "_encode_plus", "_convert_encoding", "set_truncation_and_padding", "num_special_tokens_to_add",
    "_get_padding_truncation_strategies", "_switch_to_input_mode",
    "_call_one", "_batch_encode_plus", "prepare_for_tokenization",
)  # fmt: skip
# Of every kind that a tokenizer may treat in its own way; long ones and each of its special tokens are tried besides.
TRIAL_TEXTS = (
    "I lost my card.", "", " ", "HELLO  World ", "\tnaïve façade – 東京 1234567\n", "e\u0301a\u0308 \u00e9 \ufb01",
    "\U0001f642\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f", "שלום עולם مرحبا", "a\x00b\u200bc\ufeff\ufffd",
    "don't e-mail me@x.org: 3.14 €/$ [CLS] <s> </s> [MASK] <FILL_ME>", "unbroken" * 30,
)  # fmt: skip
BROKEN = "a\ud800b"  # half a character


def plain_texts(
    model: FrozenModel,
    text_input: TextInput,
    fill: Mapping[str, int],
    budget: int,
    names: Collection[str] | None = None,
    width: int | None = None,
    side: str = "right",
    masks: Mapping[str, str] | None = None,
) -> PlainInputs | None:
    """What does for a model's texts without torch, proven on texts of every kind; None: nothing does.

    Parameters
    ----------
    model : FrozenModel
        What it has to be equal to.
    text_input : TextInput
    fill : mapping of str to int
        What padded positions hold, by the name of each input.
    budget : int
    names : collection of str, optional
        The inputs that the model takes; None: whatever the tokenizer gives.
    width : int, optional
        The length that every text is padded to; None: the longest of the batch.
    side : {"right", "left"}
        Where it is padded.
    masks : mapping of str to str, optional
        The masks of a batch by their names, with their dtypes; None: an attention mask.
    """
    said, core = describe(text_input.tokenizer), core_json(text_input.tokenizer)
    if said is None or core is None:
        return None
    settings = {
        "tokenizer": said,
        "input": {
            "max_length": text_input.max_length,
            "prompt": text_input.prompt,
            "in_windows": text_input.in_windows,
            "is_passage": text_input.is_passage,
        },
        "names": None if names is None else [name for name in CHANNELS if name in names],
        "fill": dict(fill),
        "width": width,
        "side": side,
        "masks": dict(masks or {ATTENTION: "int64"}),
        "budget": budget,
    }
    return proven(PlainInputs("texts", settings, {CORE: core}), model, trials(text_input))


def trials(text_input: TextInput) -> list[Sequence[Payload]]:
    """Batches of texts and pairs on which a tokenizer shows all that it does, if it is cut at this length."""
    long, longer = "word " * (text_input.max_length + 8), "é1 " * (2 * text_input.max_length)
    texts = [*TRIAL_TEXTS, long, longer, *special_texts(text_input.tokenizer)]
    pairs = [("hello", "world"), ("", "b"), ("a", ""), (long, "b"), ("a", long), (long, longer)]
    if text_input.is_passage:
        return [[pair for pair in pairs if all(pair)]]
    batches: list[Sequence[Payload]] = [texts, *([text] for text in (*texts[:3], BROKEN))]
    return batches if text_input.in_windows else [*batches, pairs]


def describe(tokenizer: Tokenizer) -> dict[str, Json] | None:
    """What a fast tokenizer of transformers adds to its core, as JSON; None if its class does more than that."""
    if not isinstance(tokenizer, HubTokenizer) or not tokenizer.own.is_fast:
        return None
    own = tokenizer.own
    if not _is_plain(type(own)):
        return None
    return {
        "inputs": [name for name in CHANNELS if name in {"input_ids", *own.model_input_names}],
        "special_ids": sorted(tokenizer.special_ids),
        "mask_id": tokenizer.mask_id,
        "truncation_side": own.truncation_side,
        "split_special_tokens": bool(own.split_special_tokens),
    }


def core_json(tokenizer: Tokenizer) -> bytes | None:
    """The core of a fast tokenizer, with all that was done to it; None if it cannot be written and read again."""
    from tokenizers import Tokenizer as Core

    if not isinstance(tokenizer, HubTokenizer) or not tokenizer.own.is_fast:
        return None
    try:
        written: str = tokenizer.own.backend_tokenizer.to_str()
        # A part in Python cannot be written. Of a number that is read otherwise than written the text shows it.
        return written.encode() if Core.from_str(written).to_str() == written else None
    except Exception:  # `tokenizers` raises nothing more special
        return None


def special_texts(tokenizer: Tokenizer) -> list[str]:
    """A text with each special token in its midst, to see what is made of it."""
    names: list[str] = tokenizer.own.all_special_tokens if isinstance(tokenizer, HubTokenizer) else []
    return [f"a {name} b{name}" for name in names]


def _is_plain(kind: type) -> bool:
    from transformers import PreTrainedTokenizerFast

    return all(
        getattr(kind, name, None) is getattr(PreTrainedTokenizerFast, name, None) for name in _ON_THE_WAY
    )
