"""Encoder-decoders of transformers as writers: from the states of the encoder to texts, and from texts to labels.

Importing this imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from headstart.backbones.blocks import block_list
from headstart.backbones.hf.models import quietly
from headstart.errors import BackboneError, ConfigError, StorageError, first_line

if TYPE_CHECKING:
    from headstart.backbones.hf.models import HubModel

ENCODER_LAYERS = ("encoder_layers", "num_encoder_layers", "num_layers")
DECODER_LAYERS = ("decoder_layers", "num_decoder_layers", "num_layers")
"""What configurations call the numbers of blocks."""
OF_TOKENS = (
    *("decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id", "forced_bos_token_id"),
    *("forced_eos_token_id", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens"),
)
"""What of a model's own way to generate is kept: which tokens there are. How many beams, how long a text and how much
length counts were chosen for other texts."""
UNBOUNDED = 1_000_000


@dataclass(frozen=True)
class Writer:
    """An encoder-decoder with the tokenizer of what it writes; the encoder may have no blocks, and then never runs."""

    net: Any
    tokenizer: Any

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        found: torch.device = next(self.net.parameters()).device
        return found

    @property
    def encoder(self) -> Any:
        """From tokens to states."""
        return self.net.get_encoder()

    @property
    def decoder(self) -> Any:
        """From states and what was written so far to what comes next."""
        return self.net.get_decoder()

    @cached_property
    def decoder_blocks(self) -> Sequence[nn.Module]:
        """First to last; none if they cannot be told apart."""
        return block_list(self.decoder, _count(self.net.config, DECODER_LAYERS))

    @cached_property
    def encoder_blocks(self) -> Sequence[nn.Module]:
        """First to last; none if they cannot be told apart."""
        return block_list(self.encoder, _count(self.net.config, ENCODER_LAYERS))

    @cached_property
    def encoder_parameters(self) -> frozenset[str]:
        """The names of all parameters that the encoder has, those among them that it shares with the decoder."""
        own = {id(parameter) for parameter in self.encoder.parameters()}
        named = self.net.named_parameters(remove_duplicate=False)
        return frozenset(name for name, parameter in named if id(parameter) in own)

    @property
    def most_tokens(self) -> int | None:
        """The most tokens of a text that the decoder has places for; None where it knows no limit."""
        found = getattr(self.net.config, "max_position_embeddings", None)
        return found if isinstance(found, int) and 0 < found < UNBOUNDED else None

    def check_room(self, max_new_tokens: int) -> None:
        """Refuse texts that are longer than the decoder has places for."""
        if self.most_tokens is not None and max_new_tokens >= self.most_tokens:
            raise ConfigError(
                f"--max-new-tokens {max_new_tokens} is out of range: the decoder has places for "
                f"{self.most_tokens - 1} tokens behind the one that a text begins with"
            )

    # -- training

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """What is to be written, token by token, with the end; none is cut."""
        made = self.tokenizer(text_target=list(texts), truncation=False, verbose=False)
        return [list(ids) for ids in made["input_ids"]]

    def logits(self, states: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, T, V) of each token of ``labels`` (B, T), where those before it are known; -100 pads."""
        begun = self.net.prepare_decoder_input_ids_from_labels(labels=labels)
        output = self.net(
            encoder_outputs=_encoded(states), attention_mask=mask, decoder_input_ids=begun, use_cache=False
        )
        logits: Tensor = output.logits
        return logits

    def encode(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The encoder's states (B, T, D) of a batch of tokens."""
        states: Tensor = self.encoder(**batch).last_hidden_state
        return states

    # -- writing

    def write(self, states: Tensor, mask: Tensor, num_beams: int, max_new_tokens: int) -> list[str]:
        """A text for each sample by its states (B, T, D): greedy, or the best of so many beams."""
        with torch.inference_mode():
            ids = self.net.generate(
                encoder_outputs=_encoded(states),
                attention_mask=mask,
                generation_config=self.generation(num_beams, max_new_tokens),
            )
        return list(self.tokenizer.batch_decode(ids, skip_special_tokens=True))

    def generation(self, num_beams: int, max_new_tokens: int) -> Any:
        """How texts are written, as transformers keeps it."""
        import transformers

        said, config = self.net.generation_config, self.net.config
        tokens = {}
        for name in OF_TOKENS:
            value = getattr(said, name, None)
            value = getattr(config, name, None) if value is None else value
            if value is not None:
                tokens[name] = value
        return transformers.GenerationConfig(
            **{**tokens, **_first_token(self.tokenizer, tokens)},
            num_beams=num_beams,
            max_new_tokens=max_new_tokens,
            do_sample=False,
        )

    # -- as it is kept

    def own_state(self) -> dict[str, Tensor]:
        """All that is not the encoder's alone, each tensor once: what it takes to write from states."""
        prefix = _name_of(self.net, self.encoder) + "."
        found: dict[str, Tensor] = {}
        seen: set[int] = set()
        for name, tensor in self.net.state_dict().items():
            if not name.startswith(prefix) and tensor.data_ptr() not in seen:
                seen.add(tensor.data_ptr())
                found[name] = tensor
        return found

    def save_settings(self, folder: Path, num_beams: int, max_new_tokens: int) -> None:
        """Write all but weights, as transformers keeps them: its configuration, how it writes, and its tokenizer."""
        with quietly():
            self.net.config.save_pretrained(folder)
            self.generation(num_beams, max_new_tokens).save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)

    @classmethod
    def restored(cls, folder: Path, state: Mapping[str, Tensor]) -> Writer:
        """What `own_state` and `save_settings` gave, without the blocks of an encoder.

        Raises
        ------
        StorageError
            They do not fit each other.
        """
        import transformers

        try:
            with quietly():
                net = _without_encoder(transformers.AutoConfig.from_pretrained(folder, **_HERE))
                tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **_HERE)
                net.generation_config = transformers.GenerationConfig.from_pretrained(folder, **_HERE)
            net.tie_weights()
            missing, unknown = net.load_state_dict(state, strict=False)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise StorageError(
                f"{folder} holds no decoder of this version ({first_line(error)}); fine-tune it again"
            ) from error
        writer = cls(net.eval(), tokenizer)
        lacking = [name for name in missing if name in writer.own_state() and name not in state]
        if lacking or unknown:
            raise StorageError(f"{folder}: the decoder's weights do not fit it ({[*lacking, *unknown][0]})")
        return writer


_HERE = {"local_files_only": True, "trust_remote_code": False}


def load_writer(source: HubModel) -> Writer:
    """An encoder-decoder with all of its weights, in float32 and eval mode.

    Raises
    ------
    ConfigError
        It is none.
    BackboneError
        The checkpoint lacks weights of the decoder.
    """
    import transformers

    if not source.config.is_encoder_decoder:
        raise ConfigError(
            f"{source.spec} writes no texts: it is a {source.config.model_type} model without a decoder; take an "
            "encoder-decoder such as T5, BART, mBART or Marian"
        )
    if type(source.config) not in transformers.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
        raise ConfigError(
            f"{source.spec} writes no texts from texts: transformers has no AutoModelForSeq2SeqLM of "
            f"{source.config.model_type}"
        )
    with quietly():
        net, missing = source.load(transformers.AutoModelForSeq2SeqLM)
        tokenizer = source.part(transformers.AutoTokenizer)
    if missing:
        raise BackboneError(
            f"{source.spec} lacks weights that writing needs ({missing[0]}): is it an encoder alone?"
        )
    if not hasattr(net, "prepare_decoder_input_ids_from_labels"):
        raise ConfigError(
            f"{source.spec} cannot be trained to write: its class does not say how a text begins"
        )
    return Writer(net.float().eval(), tokenizer)


def _encoded(states: Tensor) -> Any:
    from transformers.modeling_outputs import BaseModelOutput

    return BaseModelOutput(last_hidden_state=states)


def _first_token(tokenizer: Any, tokens: Mapping[str, Any]) -> dict[str, int]:
    """The language that is written, where labels begin with it and nothing else says so (mBART-50, M2M-100, NLLB)."""
    language = getattr(tokenizer, "tgt_lang", None)
    if not isinstance(language, str) or tokens.get("forced_bos_token_id") is not None:
        return {}
    token = tokenizer.convert_tokens_to_ids(language)
    if not isinstance(token, int):
        converted = getattr(tokenizer, "get_lang_id", None)  # M2M-100 writes languages as __fr__
        token = converted(language) if converted else None
    ids = tokenizer(text_target="a")["input_ids"]
    return {"forced_bos_token_id": token} if token is not None and ids[0] == token else {}


def _name_of(net: nn.Module, part: nn.Module) -> str:
    names: list[str] = [name for name, module in net.named_modules() if module is part]
    return names[0]


def _count(config: Any, names: Sequence[str]) -> int | None:
    return next((n for name in names if isinstance(n := getattr(config, name, None), int)), None)


def _without_encoder(config: Any) -> Any:
    """A model whose encoder has no blocks, as far as its configuration says how many there are."""
    import transformers

    halves = getattr(config, "num_decoder_layers", None) is not None
    names = [name for name in ENCODER_LAYERS if name != "num_layers" or halves]
    name = next((name for name in names if isinstance(getattr(config, name, None), int)), None)
    if name is None:
        return transformers.AutoModelForSeq2SeqLM.from_config(config)
    before = getattr(config, name)
    setattr(config, name, 0)
    net = transformers.AutoModelForSeq2SeqLM.from_config(config)
    setattr(net.config, name, before)  # as the exported model and the next reader have it
    return net
