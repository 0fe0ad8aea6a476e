"""What the sides of a dual encoder take: pictures and texts, prepared as the library's own call does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headstart.backbones.hf.image_processors import ImageProcessor, trial_images
from headstart.backbones.hf.texts import FALLBACK_LENGTH, UNBOUNDED
from headstart.backbones.hf.tokenizer_files import tokenizer_digest
from headstart.backbones.hf.tokenizing import TextInput, puts_class_first
from headstart.backbones.images import prepare_images
from headstart.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from headstart.backbones.hf.models import HubModel
    from headstart.contracts import Change
    from headstart.errors import SampleError
    from headstart.types import Json

MASK = "headstart_mask"
"""Which positions of a batch are no padding; no model takes an input of this name."""

# Trained on texts padded to one length, and pooled at the last position, padding or not.
PADS_TO_MAX = ("siglip",)


class ImageInputs:
    """Pictures for the image side.

    Parameters
    ----------
    source : HubModel
    """

    max_length: int | None = None
    prompt: str | None = None
    pads_to_max = False

    def __init__(self, source: HubModel) -> None:
        self._processor = ImageProcessor(source)

    def save(self, folder: Path) -> None:
        """Write the image processor into a folder, as transformers keeps it."""
        self._processor.save(folder)

    @property
    def description(self) -> dict[str, Json]:
        """All that decides what the model sees."""
        return {"library": "transformers", **self._processor.description}

    def trial(self) -> dict[str, torch.Tensor]:
        """One prepared picture."""
        return self._processor(trial_images()[0])

    def prepare(
        self, payloads: Sequence[Any], changes: Sequence[Change | None] | None = None
    ) -> list[Any | SampleError]:
        """Decoded and transformed pictures, or the reason why one cannot be."""
        return prepare_images(payloads, changes, self._processor)

    def length(self, prepared: Any) -> int:
        """All pictures cost the same."""
        return 1

    def batch(self, prepared: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """One batch, and as ``MASK`` which patches are no padding (SigLIP 2 alone pads them)."""
        import torch

        inputs = {name: torch.stack([part[name] for part in prepared]) for name in prepared[0]}
        mask = inputs.get("pixel_attention_mask")
        return inputs if mask is None else {**inputs, MASK: mask.bool()}


class TextInputs:
    """Texts for the text side.

    Parameters
    ----------
    source : HubModel
    config
        Of the text side.

    Raises
    ------
    ConfigError
        ``--max-length`` is out of range, or the prompt leaves no room for a text.
    """

    def __init__(self, source: HubModel, config: Any) -> None:
        import transformers

        self._tokenizer = source.part(transformers.AutoTokenizer)
        self._digest = tokenizer_digest(path for path in source.files if path.parent == source.root)
        self.prompt = source.options.prompt or None
        self.max_length: int = self._limit(source, config)
        self.has_cls = puts_class_first(self._tokenizer)
        self._shows_mask = "attention_mask" in self._tokenizer.model_input_names
        # Without a mask the model reads the padding: only one length makes a vector its text's own.
        self.pads_to_max: bool = config.model_type.startswith(PADS_TO_MAX) or not self._shows_mask
        if not self.pads_to_max:
            self._tokenizer.padding_side = "right"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token or self._tokenizer.unk_token
        self._texts = TextInput(self._tokenizer, self.max_length, self.prompt or "")

    def save(self, folder: Path) -> None:
        """Write the tokenizer into a folder, as transformers keeps it, cut at the same length."""
        self._tokenizer.model_max_length = self.max_length
        self._tokenizer.save_pretrained(folder)

    def _limit(self, source: HubModel, config: Any) -> int:
        own = (self._tokenizer.model_max_length, getattr(config, "max_position_embeddings", None))
        limits = [limit for limit in own if isinstance(limit, int) and 0 < limit < UNBOUNDED]
        most, asked = min(limits, default=FALLBACK_LENGTH), source.options.max_length
        special = self._tokenizer.num_special_tokens_to_add()
        if asked is not None and not special < asked <= most:
            raise ConfigError(
                f"--max-length {asked} is out of range for the text side of {source.spec}: it takes "
                f"{special + 1} to {most} tokens"
            )
        length = asked or most
        if self.prompt and len(self._tokenizer(self.prompt)["input_ids"]) >= length:
            raise ConfigError(
                f"the prompt {self.prompt[:40]!r} leaves no room for a text in the {length} tokens of "
                f"{source.spec}; shorten it"
            )
        return length

    @property
    def description(self) -> dict[str, Json]:
        """All that decides what the model sees, but for its length and the prompt."""
        padding = {"padding": f"max_length, {self._tokenizer.padding_side}"} if self.pads_to_max else {}
        return {"tokenizer": self._digest, **padding}

    def trial(self) -> Any:
        """One prepared text."""
        return self.prepare(["a trial"])[0]

    def prepare(
        self, payloads: Sequence[Any], changes: Sequence[Change | None] | None = None
    ) -> list[Any | SampleError]:
        """Token ids of each text after the prompt, cut to the maximal length."""
        return self._texts.prepare(payloads, changes)

    def length(self, prepared: Any) -> int:
        """The number of tokens."""
        return self.max_length if self.pads_to_max else len(prepared["input_ids"])

    def batch(self, prepared: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """One batch, padded as the model wants it, and as ``MASK`` which tokens are no padding."""
        inputs = dict(
            self._tokenizer.pad(
                [dict(part) for part in prepared],
                padding="max_length" if self.pads_to_max else True,
                max_length=self.max_length if self.pads_to_max else None,
                return_attention_mask=True,
                return_tensors="pt",
            )
        )
        mask = inputs["attention_mask"].bool()
        if not self._shows_mask:
            inputs.pop("attention_mask")
        return {**inputs, MASK: mask}
