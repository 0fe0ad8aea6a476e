"""The towers of a dual encoder, whole or one side alone, and what they take: pictures and texts."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from headstart.backbones.blocks import Blocks
from headstart.backbones.byte_images import byte_pixels
from headstart.backbones.described_images import plain_images
from headstart.backbones.hf.described_texts import ATTENTION, plain_texts
from headstart.backbones.hf.frozen_texts import CPU_TOKENS
from headstart.backbones.hf.hub_tokenizer import HubTokenizer, puts_class_first
from headstart.backbones.hf.images import ImageProcessor, trial_images
from headstart.backbones.hf.texts import FALLBACK_LENGTH, UNBOUNDED
from headstart.backbones.hf.tokens import TextInput, tokenizer_digest
from headstart.backbones.images import PIXELS, prepare_images
from headstart.errors import ConfigError
from headstart.types import AT_END

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from headstart.backbones.byte_images import BytePixels
    from headstart.backbones.hf.models import HubModel
    from headstart.backbones.plain_inputs import PlainInputs
    from headstart.contracts import Change, FrozenModel
    from headstart.errors import SampleError
    from headstart.types import Json


Side: TypeAlias = Literal["image", "text"]
Inputs: TypeAlias = "Mapping[str, torch.Tensor]"

SIDES: tuple[Side, ...] = ("image", "text")
_TRANSFORMER: dict[Side, tuple[str, ...]] = {
    "image": ("vision_model",),
    "text": ("text_model", "text_encoder"),
}
_PROJECTION: dict[Side, tuple[str, ...]] = {
    "image": ("visual_projection", "vision_projection", "vision_proj"),
    "text": ("text_projection", "text_proj"),
}
_ALONE: dict[Side, str] = {"image": "_vision_model", "text": "_text_model"}
# What compares the two sides, or joins them: no feature of either reads it.
_JOINING = ("itm_head", "text_decoder")
_BETWEEN = ("logit_scale", "logit_bias", "temperature", *(f"{name}." for name in _JOINING))
MASK = "headstart_mask"
"""Which positions of a batch are no padding; no model takes an input of this name."""
# Trained on texts padded to one length, and pooled at the last position, padding or not.
PADS_TO_MAX = ("siglip",)


class _Outcome(threading.local):
    """What a transformer gave last in a thread."""

    output: tuple[torch.Tensor, torch.Tensor | None] | None = None

    def sees(self, _: Any, given: Any, output: Any) -> None:
        # Taken at once: get_text_features then writes the projection over the pooled output.
        self.output = (output.last_hidden_state, getattr(output, "pooler_output", None))

    def taken(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """It, and not kept any longer than needed."""
        output, self.output = self.output, None
        assert output is not None
        return output


@dataclass(frozen=True)
class Tower:
    """One side of a dual encoder."""

    side: Side
    transformer: torch.nn.Module  # gives a last hidden state and, mostly, a pooled one
    config: Any  # of the transformer
    # Runs the transformer as the library does, and gives the joint vectors if there are any.
    call: Callable[..., torch.Tensor | None]
    takes: Collection[str]  # the names of the inputs that ``call`` knows
    prefixes: tuple[str, ...] = ()  # of the weights that the side reads; empty: all of the model's
    # What the model calls its ``transformer``, and the method that gives joint ``features``; empty: it is the
    # transformer itself, or has no such method.
    names: Mapping[str, str] = field(default_factory=dict)
    _outcome: _Outcome = field(default_factory=lambda: _Outcome(), repr=False)

    def __post_init__(self) -> None:
        # For good, and by thread, as with the hooks of `Blocks`: several threads may run it at once.
        self.transformer.register_forward_hook(self._outcome.sees)

    def read(
        self, inputs: Inputs, blocks: Blocks, reads: Collection[str]
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Run the side once, or up to the deepest layer wanted.

        Gives hidden states by layer, of which ``final`` is the last; and where the pass came to its end, the
        tower's own ``pooler`` and its ``joint`` projection, as far as there are any.
        """
        to_the_end = any(name in AT_END for name in reads)
        joint = None
        with blocks.kept(reads, stop=not to_the_end) as kept:
            joint = self.run(inputs)
        if not to_the_end:
            return kept, {}
        final, pooled = self._outcome.taken()
        whole = {"joint": joint, "pooler": pooled}
        return {**kept, "final": final}, {name: part for name, part in whole.items() if part is not None}

    def run(self, inputs: Inputs) -> torch.Tensor | None:
        """The joint vectors of a batch, if there are any."""
        return self.call(**{name: part for name, part in inputs.items() if name in self.takes})

    def lacks(self, missing: Collection[str]) -> tuple[list[str], bool, bool]:
        """What a checkpoint's missing weights mean to this side.

        Gives ``needed``: weights of the transformer itself: without them the side cannot be read at all;
        ``pooler, projection``: whether the pooler, or the way into the joint space, is random.
        """
        own = [name for name in missing if not self.prefixes or name.startswith(self.prefixes)]
        projection = [name for name in own if name.startswith(_dotted(_PROJECTION[self.side]))]
        pooler = [name for name in own if ".pooler." in f".{name}"]
        needed = [name for name in own if name not in projection and name not in pooler]
        return needed, bool(pooler), bool(projection or pooler)


def find_tower(model: Any, side: Side) -> Tower | None:
    """A side of a loaded model; None if it has no such side."""
    both = all(_part(model, _TRANSFORMER[each]) is not None for each in SIDES)
    transformer = _part(model, _TRANSFORMER[side])
    if both and transformer is not None:
        config = getattr(model.config, {"image": "vision_config", "text": "text_config"}[side])
        call, known = _features(model, side, transformer)
        prefixes = _dotted(_parts(side))
        features = f"get_{side}_features"
        names = {
            "transformer": _name(model, _TRANSFORMER[side]),
            "features": features if hasattr(model, features) else "",
        }
        return Tower(side, transformer, config, call, _names(known), prefixes, names)
    if both or not model.config.model_type.endswith(_ALONE[side]):
        return None

    def embeds(**inputs: torch.Tensor) -> torch.Tensor | None:
        return getattr(model(**inputs), f"{side}_embeds", None)

    whole = model if transformer is None else transformer
    names = {"transformer": _name(model, _TRANSFORMER[side]), "features": ""}
    return Tower(side, whole, model.config, embeds, _names(model.forward), names=names)


def unread_weights(read: Collection[Side]) -> tuple[str, ...]:
    """Prefixes of the weights that none of these sides reads, so that they may change without re-keying them."""
    others = (side for side in SIDES if side not in read)
    return (*(prefix for side in others for prefix in _dotted(_parts(side))), *_BETWEEN)


def unread_parts(read: Side) -> tuple[str, ...]:
    """What models call the modules that a side does not read."""
    return (*(part for side in SIDES if side != read for part in _parts(side)), *_JOINING)


def _parts(side: Side) -> tuple[str, ...]:
    return (*_TRANSFORMER[side], *_PROJECTION[side])


def _features(
    model: Any, side: Side, transformer: torch.nn.Module
) -> tuple[Callable[..., torch.Tensor | None], Callable[..., Any]]:
    """The library's own way into the joint space, and the function whose inputs it takes."""
    own = getattr(model, f"get_{side}_features", None)
    if own is not None:

        def features(**inputs: torch.Tensor) -> torch.Tensor | None:
            made = own(**inputs)
            # transformers 4 gives the vectors themselves; 5 gives an output that holds them as pooled.
            vectors: torch.Tensor | None = made if hasattr(made, "ndim") else made.pooler_output
            return vectors

        return features, own
    projection = _part(model, _PROJECTION[side])

    def first_position(**inputs: torch.Tensor) -> torch.Tensor | None:
        # BlipForImageTextRetrieval has no method for it: this is what its forward does, without the
        # scaling to length 1, which `joint.l2` gives.
        hidden = transformer(**inputs).last_hidden_state[:, 0]
        return None if projection is None else projection(hidden)

    return first_position, transformer.forward


def _part(model: Any, names: tuple[str, ...]) -> Any:
    return getattr(model, _name(model, names), None)


def _name(model: Any, names: tuple[str, ...]) -> str:
    """The first of these names by which the model has something; empty: none."""
    return next((name for name in names if getattr(model, name, None) is not None), "")


def _names(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)


def _dotted(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{name}." for name in names)


class ImageInputs(ImageProcessor):
    """Pictures for the image side."""

    max_length: int | None = None
    prompt: str | None = None
    pads_to_max = pads = has_cls = False
    _bytes: BytePixels | None = None

    def send_bytes(self) -> None:
        """From now on prepare pictures as bytes, of which `numbers` makes what the model takes on its device."""
        if set(self.trial()) == {PIXELS}:
            self._bytes = byte_pixels(self.own, self.pixels)

    def numbers(self, pixels: torch.Tensor) -> torch.Tensor:
        """Of a batch of bytes what the model takes."""
        assert self._bytes is not None
        return self._bytes.numbers(pixels)

    def trial(self) -> dict[str, torch.Tensor]:
        """One prepared picture."""
        return self(trial_images()[0])

    def prepare(
        self, payloads: Sequence[Any], changes: Sequence[Change | None] | None = None
    ) -> list[Any | SampleError]:
        """Decoded and transformed pictures, or the reason why one cannot be."""
        parts = self._bytes
        if parts is None:
            return prepare_images(payloads, changes, self)
        return prepare_images(payloads, changes, lambda image: {PIXELS: parts.prepare(image)})

    def plain(self, model: FrozenModel) -> PlainInputs | None:
        """What prepares a model's pictures without torch; None if nothing does it alike."""
        return plain_images(model, self.own)

    def length(self, prepared: Any) -> int:
        """All pictures cost the same."""
        return 1

    def batch(self, prepared: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """One batch, and as ``MASK`` which patches are no padding (SigLIP 2 alone pads them)."""
        import torch

        if self._bytes is not None:
            return {PIXELS: self._bytes.batch([part[PIXELS] for part in prepared])}
        inputs = {name: torch.stack([part[name] for part in prepared]) for name in prepared[0]}
        mask = inputs.get("pixel_attention_mask")
        return inputs if mask is None else {**inputs, MASK: mask.bool()}


class TextInputs:
    """Texts for the text side.

    ``config``: of the text side. Raises `ConfigError` if ``--max-length`` is out of range, or the prompt leaves
    no room for a text.
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
        self.pads = not self.pads_to_max  # to the longest of a batch
        if self.pads:
            self._tokenizer.padding_side = "right"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token or self._tokenizer.unk_token
        self._texts = TextInput(HubTokenizer(self._tokenizer), self.max_length, self.prompt or "")

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

    def plain(self, model: FrozenModel) -> PlainInputs | None:
        """What prepares a model's texts without torch; None if nothing does it alike."""
        tokenizer = self._tokenizer
        fill = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
        return plain_texts(
            model,
            self._texts,
            fill,
            CPU_TOKENS,
            width=self.max_length if self.pads_to_max else None,
            side=tokenizer.padding_side,
            masks={**({ATTENTION: "int64"} if self._shows_mask else {}), MASK: "bool"},
        )

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
