"""Text models of transformers and of sentence-transformers, by name or by local folder."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones.freezing import freeze, n_parameters, weights_digest
from headstart.backbones.hf.frozen_texts import (
    ENCODER_CLASSES,
    FrozenTextModel,
    TextEncoder,
    fill_values,
    load_text_encoder,
)
from headstart.backbones.hf.hub_tokenizer import HubTokenizer, lower_cased, puts_class_first
from headstart.backbones.hf.models import HubModel, HubPart, departures
from headstart.backbones.hf.passages import MAX_CONTEXT
from headstart.backbones.hf.tokens import TextInput, tokenizer_digest
from headstart.backbones.hf.words import WordInput, WordTokenizer, with_leading_blanks
from headstart.backbones.pooling import WORDS
from headstart.backbones.portable import Portable, reading_of, refuse_prompt, without_pooler
from headstart.backbones.prompts import words_of
from headstart.errors import ConfigError
from headstart.token_rows import n_tokens_of
from headstart.types import BackboneInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headstart.backbones.hf.sentence import SentenceHead, SentenceSettings
    from headstart.backbones.hf.writers import Writer
    from headstart.backbones.options import BackboneOptions
    from headstart.backbones.portable import BackboneSaver
    from headstart.types import Payload, Precision


UNBOUNDED = 1_000_000  # transformers writes 10^30 where a tokenizer knows no limit
FALLBACK_LENGTH = 512
POOLINGS = ("mean", "cls", "max", "eos", "gem", "sqrt", "weighted")


class TextBackbone(HubPart):
    """A text model of transformers: an encoder, an encoder-decoder's encoder, or a language model."""

    def resolve(self) -> BackboneInfo:
        """Load the model and describe it."""
        encoder = self._encoder
        return BackboneInfo(
            spec=self.spec,
            modality="words" if self._reads_words else "text",
            weights=self._weights,
            architecture=self._architecture,
            preprocessing=self._preprocessing,
            taps=self._taps,
            n_layers=encoder.depth.n_layers,
            first_layer=encoder.depth.first_layer,
            closing_norm=encoder.depth.closing_norm,
            max_length=self._max_length,
            windows=self._windows,
            prompt=self._prompt,
            provenance=self._source.provenance(n_parameters(encoder.module)),
        )

    def load(self, device: str, precision: Precision) -> FrozenTextModel:
        """The model, frozen, on a device."""
        freeze(self._encoder.module, device, precision)
        # It runs once a sample, not once a token: int8 would save nothing there.
        head_precision: Precision = "fp32" if precision == "int8" else precision
        head = None if self._head is None else freeze(self._head, device, head_precision)
        head_tap = f"final.{'+'.join(self._settings.poolings)}"
        fill = fill_values(self._loaded_tokenizer[0], self._encoder.module)
        return FrozenTextModel(self._encoder, self._text_input, fill, self._n_skipped, head, head_tap)

    def tunable(self, tap: str) -> BackboneSaver:
        """A folder as transformers keeps it, with its tokenizer.

        Raises `ConfigError` if dense layers behind the pooling are read, or the tokens of a prompt take no part
        in it.
        """
        self._check_alone(tap)
        if self._n_skipped:
            raise ConfigError(
                f"{self.spec} pools without the tokens of its prompt, which a tuned model would not know; extract with "
                "--prompt '' and train on that"
            )
        return self.saver(self._encoder.whole, self._save_tokenizer, self._as_loaded)

    @property
    def _as_loaded(self) -> BackboneOptions:
        """The options that open it as it is, whatever its authors' defaults become."""
        return replace(self._options, max_length=self._max_length, prompt=self._prompt or None)

    def portable(self, tap: str) -> Portable:
        """The encoder as transformers makes it, with its tokenizer.

        Raises `ConfigError` if something stands before its texts, or dense layers behind the pooling are read.
        """
        refuse_prompt(self._prompt)
        self._check_alone(tap)
        encoder = self._encoder
        reading = reading_of(
            tap,
            has_cls=True,
            is_encoder=bool(encoder.config.is_encoder_decoder),
            text_encoding=encoder.config.model_type in ENCODER_CLASSES,
            arguments=without_pooler(encoder.module, tap),
        )
        config = encoder.config.to_dict()
        return Portable(encoder.module, "text", config, reading, self._save_tokenizer, self._max_length)

    def writer(self) -> Writer:
        """See `WritingBackbone`."""
        from headstart.backbones.hf.writers import load_writer

        return load_writer(self._inner)

    def writer_saver(self, writer: Writer) -> BackboneSaver:
        """See `WritingBackbone`."""
        return self.saver(writer.net, self._save_tokenizer, self._as_loaded)

    def count_tokens(self, payloads: Sequence[Payload]) -> list[int]:
        """See `CountsTokens`."""
        return [n_tokens_of(row) for row in self._text_input.prepare(payloads)]

    @property
    def width(self) -> int:
        """Of the vector of a token."""
        return int(self._encoder.config.get_text_config().hidden_size)

    def _check_alone(self, tap: str) -> None:
        """Refuse what the encoder does not give by itself."""
        if tap.startswith("sentence"):
            raise ConfigError(
                f"the head reads the dense layers of {self.spec}, which cannot be taken along; fit one on "
                f"last.{'+'.join(self._settings.poolings)}"
            )

    def _save_tokenizer(self, folder: Path) -> None:
        """As it is used here: cut at the same length, and padded on the right with a token that the model has."""
        tokenizer = self._loaded_tokenizer[0]
        fill = fill_values(tokenizer, self._encoder.module)["input_ids"]
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(fill)
        tokenizer.padding_side = tokenizer.truncation_side = "right"
        tokenizer.model_max_length = self._max_length
        tokenizer.save_pretrained(folder)
        if self._reads_words:
            _save_with_leading_blanks(folder)

    @cached_property
    def _settings(self) -> SentenceSettings:
        from headstart.backbones.hf.sentence import sentence_settings

        return sentence_settings(self._source)

    @cached_property
    def _inner(self) -> HubModel:
        """The encoder and its tokenizer: the model itself, or a folder in it."""
        if self._settings.encoder == ".":
            return self._source
        return HubModel(self.spec, str(Path(self._source.name, self._settings.encoder)), self._options)

    @cached_property
    def _encoder(self) -> TextEncoder:
        return load_text_encoder(self._inner)

    @cached_property
    def _head(self) -> SentenceHead | None:
        if not self._settings.steps:
            return None
        from headstart.backbones.hf.sentence import sentence_head

        return sentence_head(self._source, self._settings.steps)

    @cached_property
    def _loaded_tokenizer(self) -> tuple[Any, bool]:
        """The tokenizer, and whether it was told to turn texts into lower case, which it did not do."""
        import transformers

        tokenizer = self._inner.part(transformers.AutoTokenizer)
        return tokenizer, self._settings.lower_case and lower_cased(tokenizer)

    @property
    def _reads_words(self) -> bool:
        return self._options.modality == "words"

    @cached_property
    def _text_input(self) -> TextInput | WordInput:
        tokenizer = self._loaded_tokenizer[0]
        if self._reads_words:
            return WordInput(WordTokenizer(tokenizer, self.spec), self._max_length)
        is_passage = self._options.on_long == "passages"
        if is_passage and not tokenizer.is_fast:
            raise ConfigError(
                f"the tokenizer of {self.spec} does not say where tokens stand in their text, which answers need; "
                "choose a backbone with a fast one (tokenizer.json)"
            )
        return TextInput(
            HubTokenizer(tokenizer),
            self._max_length,
            self._prompt or "",
            in_windows=is_passage or self._options.on_long == "windows",
            is_passage=is_passage,
        )

    @property
    def _windows(self) -> dict[str, Any] | None:
        """How longer texts are read in parts, as the recipe has it."""
        if not self._options.on_long and not self._reads_words:
            return None
        kept = {"tokens": MAX_CONTEXT} if self._options.on_long == "passages" else {}
        if kept and self._n_skipped:
            raise ConfigError(
                f"{self.spec} pools without the tokens of its prompt, and answers need all tokens; pass --prompt ''"
            )
        return {"overlap": self._text_input.overlap, **kept}

    @property
    def _prompt(self) -> str | None:
        if self._reads_words:
            if self._options.prompt:
                raise ConfigError(
                    f"--prompt {self._options.prompt!r} stands before texts, and samples are words; leave it out"
                )
            return None
        if self._options.prompt is None:
            return self._settings.prompts.default
        return words_of(self._options.prompt, self.declared_prompts(), self.spec) or None

    @property
    def _n_skipped(self) -> int:
        """The tokens of a prompt that takes no part in the pooling."""
        return 0 if self._settings.include_prompt or self._reads_words else self._text_input.prompt_length()

    @cached_property
    def _weights(self) -> str:
        digest = weights_digest(self._encoder.module, self._encoder.missing)
        if self._head is None:
            return digest
        both = digest + weights_digest(self._head)
        return blake2b(both.encode("ascii"), digest_size=16).hexdigest()

    @property
    def _architecture(self) -> dict[str, Any]:
        own = {"library": "transformers", "config": departures(self._encoder.config)}
        if self._head is None:
            return own
        # The tap says `sentence`, whichever pooling comes first.
        return {**own, "sentence": ["+".join(self._settings.poolings), *self._head.description]}

    @property
    def _preprocessing(self) -> dict[str, Any]:
        _, is_lowered = self._loaded_tokenizer  # first: this is what brings its files from the hub
        beside = [path for path in self._inner.files if path.parent == self._inner.root]
        return {
            "tokenizer": tokenizer_digest(beside),
            **({"lower_case": True} if is_lowered else {}),
            **({"include_prompt": False} if self._n_skipped else {}),
        }

    @property
    def _taps(self) -> tuple[str, ...]:
        """Where the authors read it, then the others."""
        if self._reads_words:
            return tuple(f"final.{name}" for name in WORDS)
        usual = "final.eos" if self._encoder.is_causal else "final.mean"
        has_cls = puts_class_first(self._loaded_tokenizer[0])
        poolings = [name for name in POOLINGS if has_cls or name != "cls"]
        pooler = ["pooler"] if self._encoder.has_pooler else []
        own = self._settings.tap or usual
        return tuple(dict.fromkeys([own, *(f"final.{name}" for name in poolings), *pooler]))

    @cached_property
    def _max_length(self) -> int:
        tokenizer, most = self._loaded_tokenizer[0], most_tokens(self._encoder)
        # The length that its authors trained a sentence model with stands above the tokenizer's.
        own = self._settings.max_length or _bounded(tokenizer.model_max_length)
        default = min(filter(None, (own, most)), default=FALLBACK_LENGTH)
        asked = self._options.max_length
        special = tokenizer.num_special_tokens_to_add(pair=self._options.modality == "text-pair")
        if asked is not None and (asked <= special or (most is not None and asked > most)):
            takes = f"at least {special + 1}" if most is None else f"{special + 1} to {most}"
            raise ConfigError(
                f"--max-length {asked} is out of range for {self.spec}: it takes {takes} tokens"
            )
        length = asked or default
        if self._prompt and len(tokenizer(self._prompt)["input_ids"]) >= length:
            raise ConfigError(
                f"the prompt {self._prompt[:40]!r} leaves no room for a text in the {length} tokens of {self.spec}; "
                "shorten it, or raise --max-length"
            )
        return length


def _save_with_leading_blanks(folder: Path) -> None:
    """Write a saved tokenizer as `WordTokenizer` uses it, so that others who give it words get the same tokens."""
    path, settings = folder / "tokenizer.json", folder / "tokenizer_config.json"
    core = path.read_text("utf-8")
    mended = with_leading_blanks(core)
    if json.loads(mended) != json.loads(core):
        path.write_text(mended, "utf-8")
        said = json.loads(settings.read_text("utf-8"))
        settings.write_text(json.dumps({**said, "add_prefix_space": True}, indent=2), "utf-8")


def most_tokens(encoder: TextEncoder) -> int | None:
    """The most tokens that a model has places for; None where it knows no limit."""
    import torch

    for name, module in encoder.module.named_modules():
        padded = isinstance(module, torch.nn.Embedding) and module.padding_idx is not None
        if padded and name.endswith("position_embeddings"):
            # RoBERTa and its kin count places from behind the padding's, so its table has a few too many.
            return int(module.num_embeddings) - int(module.padding_idx) - 1
    config = encoder.module.config.get_text_config()
    named = ("max_position_embeddings", "max_encoder_position_embeddings")  # the second: LED
    return next(filter(None, (_bounded(getattr(config, name, None)) for name in named)), None)


def _bounded(length: Any) -> int | None:
    return length if isinstance(length, int) and 0 < length < UNBOUNDED else None
