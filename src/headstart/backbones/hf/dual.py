"""Dual encoders of transformers, which put images and texts into one space: CLIP, SigLIP, BLIP …"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from headstart.backbones.blocks import BLOCK, read_blocks
from headstart.backbones.byte_images import sends_bytes
from headstart.backbones.freezing import freeze, grad_context, is_int8, n_parameters, weights_digest
from headstart.backbones.hf.frozen_texts import CPU_TOKENS, GPU_TOKENS, run_unpadded
from headstart.backbones.hf.images import refuse_text_options
from headstart.backbones.hf.models import (
    Depth,
    HubModel,
    HubPart,
    Layout,
    candidate_blocks,
    departures,
    depth_of,
    layout_of,
)
from headstart.backbones.hf.towers import (
    MASK,
    SIDES,
    ImageInputs,
    Side,
    TextInputs,
    Tower,
    find_tower,
    unread_parts,
    unread_weights,
)
from headstart.backbones.images import CPU_IMAGES, GPU_IMAGES
from headstart.backbones.portable import Portable, reading_of, refuse_prompt
from headstart.errors import BackboneError, ConfigError, SampleError
from headstart.token_rows import n_tokens_of
from headstart.types import AT_END, LOGITS, Activations, BackboneInfo, Positions

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from headstart.backbones.plain_inputs import PlainInputs
    from headstart.backbones.portable import BackboneSaver
    from headstart.contracts import Change
    from headstart.types import Json, Modality, Payload, Precision


PAIR_TAPS = ("joint", "pooler")
# Classes that AutoModel would not choose for their checkpoints, which hold what AutoModel's class lacks.
_OWN_CLASS = ("ForImageTextRetrieval", "ModelWithProjection")
TEXT_POOLINGS = ("mean", "max", "eos", "gem", "sqrt", "weighted")


class DualBackbone(HubPart):
    """A dual encoder of transformers, or one tower of it.

    The modality of the options chooses the side: ``image`` (the default), ``text``, or ``image-text`` for both.
    """

    def __init__(self, source: HubModel) -> None:
        super().__init__(source)
        self._asked = source.options.modality
        if self._asked == "text-pair":
            raise ConfigError(
                f"{self.spec} takes an image, a text, or an image with a text; it has no way to read two "
                "texts together: choose a text backbone for pairs"
            )
        if self._asked == "words":
            raise ConfigError(
                f"{self.spec} reads a text at one token, and not word by word; choose a text backbone for words"
            )
        if source.options.on_long:
            raise ConfigError(
                f"{self.spec} reads a text at one token, and each window of --on-long would have its own; leave it "
                "out, or choose a text backbone that pools over tokens"
            )

    def resolve(self) -> BackboneInfo:
        """Load the model and describe the side that was asked for."""
        model, missing = self._loaded
        sides = self._sides
        depth = sides[0].depth
        alone = len(sides) == 1
        return BackboneInfo(
            spec=self.spec,
            modality=self._modality,
            weights=weights_digest(model, (*missing, *unread_weights([side.tower.side for side in sides]))),
            architecture=self._architecture(),
            preprocessing=sides[0].inputs.description
            if alone
            else {side.tower.side: side.inputs.description for side in sides},
            taps=self._taps(),
            n_layers=depth.n_layers if alone else 0,
            first_layer=depth.first_layer if alone else 0,
            closing_norm=depth.closing_norm if alone else True,
            prompt=sides[-1].inputs.prompt,
            max_length=sides[-1].inputs.max_length,
            provenance={**self._source.provenance(n_parameters(model)), LOGITS: logits_of_cosines(model)},
        )

    def load(self, device: str, precision: Precision) -> FrozenDualModel:
        """The model, frozen, on a device."""
        sides = self._sides  # tried in the dtype of the checkpoint, before any cast
        return FrozenDualModel(freeze(self._loaded[0], device, precision), sides)

    def count_tokens(self, payloads: Sequence[Payload]) -> list[int]:
        """See `CountsTokens`; of an image and a text those of the text."""
        texts = [payload if isinstance(payload, str) else payload[-1] for payload in payloads]
        return [n_tokens_of(row) for row in self._sides[-1].inputs.prepare(texts)]

    def tunable(self, tap: str) -> BackboneSaver:
        """A folder as transformers keeps it: of both sides where both are read, else of the one that is read alone."""
        sides = self._sides
        if len(sides) == 1:
            self._drop_other_side(sides[0])

        def save_inputs(folder: Path) -> None:
            for side in sides:
                side.inputs.save(folder)

        return self.saver(self._loaded[0], save_inputs, self._options)

    def portable(self, tap: str) -> Portable:
        """The side that is read as transformers makes it, with its image processor or its tokenizer.

        Raises `ConfigError` if both sides are read, or transformers would make it of another class, or the side
        needs texts of one length.
        """
        from transformers import MODEL_MAPPING

        model = self._loaded[0]
        known = MODEL_MAPPING.get(type(model.config), None)
        if len(self._sides) > 1 or type(model) not in (known if isinstance(known, tuple | list) else [known]):
            raise ConfigError(
                f"{self.spec} cannot be exported as a {type(model).__name__}, read at its {self._modality} side; "
                "run.module() gives it as a torch module"
            )
        [side] = self._sides
        if side.inputs.pads_to_max:
            raise ConfigError(
                f"{self.spec} reads texts that are padded to {side.inputs.max_length} tokens, which no pipeline "
                "does by itself; run.module() gives it as a torch module"
            )
        if "spatial_shapes" in side.tower.takes:
            raise ConfigError(
                f"{self.spec} sees pictures in their own shapes, which no pipeline carries along; run.module() "
                "gives it as a torch module"
            )
        refuse_prompt(side.inputs.prompt)
        self._drop_other_side(side)
        tower, n_prefix = side.tower, side.layout.n_prefix if side.layout else 0
        described = {**tower.names, "dropped": list(unread_parts(tower.side))}
        reading = reading_of(tap, n_prefix=n_prefix, has_cls=bool(n_prefix), tower=described)
        config = model.config.to_dict()
        return Portable(model, tower.side, config, reading, side.inputs.save, side.inputs.max_length)

    def _drop_other_side(self, side: DualSide) -> None:
        """Take what a side that is read alone does not need out of the model, for good."""
        model = self._loaded[0]
        for name in unread_parts(side.tower.side):
            if getattr(model, name, None) is not None:
                setattr(model, name, None)

    @cached_property
    def _loaded(self) -> tuple[Any, tuple[str, ...]]:
        import transformers

        own = (getattr(self._source.config, "architectures", None) or [""])[0]
        chosen = getattr(transformers, own, None) if own.endswith(_OWN_CLASS) else None
        return self._source.load(chosen or transformers.AutoModel)

    @cached_property
    def _towers(self) -> dict[Side, Tower]:
        found = {side: find_tower(self._loaded[0], side) for side in SIDES}
        towers = {side: tower for side, tower in found.items() if tower is not None}
        if not towers:
            raise BackboneError(
                f"{self.spec} is a {type(self._loaded[0]).__name__}, whose towers are not known; choose a "
                "CLIP, SigLIP or BLIP, or write a py: backbone"
            )
        return towers

    @property
    def _modality(self) -> Modality:
        first = next(iter(self._towers))
        asked: Modality = first if self._asked is None else self._asked
        absent = [side for side in SIDES if side in asked.split("-") and side not in self._towers]
        if absent:
            raise ConfigError(
                f"{self.spec} holds the {first} side alone, and has no {absent[0]} side; "
                "choose a checkpoint that holds both"
            )
        if asked == "image":
            refuse_text_options(self._source.options, f"the image side of {self.spec}")
        return asked

    @cached_property
    def _sides(self) -> tuple[DualSide, ...]:
        chosen = [self._towers[side] for side in SIDES if side in self._modality.split("-")]
        return tuple(open_side(self._source, tower, self._loaded[1]) for tower in chosen)

    def _architecture(self) -> dict[str, Json]:
        """The sides that are read, and what the model says of itself besides its sides."""
        model = self._loaded[0]
        whole = departures(model.config)
        parts = {f"{side.tower.side}_config": departures(side.tower.config) for side in self._sides}
        shared = {
            name: value for name, value in whole.items() if not name.endswith(("_config", "_config_dict"))
        }
        shared.pop("logit_scale_init_value", None)
        return {"library": "transformers", "model": type(model).__name__, "config": shared, **parts}

    def _taps(self) -> tuple[str, ...]:
        if len(self._sides) == 1:
            return self._sides[0].taps
        shared = tuple(tap for tap in PAIR_TAPS if all(tap in side.taps for side in self._sides))
        if not shared:
            raise BackboneError(f"{self.spec} gives nothing that can be read of an image and a text together")
        return shared


def logits_of_cosines(model: Any) -> dict[str, float] | None:
    """How a model's authors make logits of cosines: times ``scale``, plus ``bias`` where it was trained by sigmoid."""
    names = ("logit_scale", "logit_bias", "temperature")
    scale, bias, temperature = (
        None if (found := getattr(model, name, None)) is None else found.detach().float() for name in names
    )
    if scale is None:
        return None if temperature is None else {"scale": 1 / float(temperature)}  # as ALIGN has it
    return {"scale": float(scale.exp()), **({} if bias is None else {"bias": float(bias)})}


class FrozenDualModel:
    """A dual encoder, or one side of it, in memory and frozen.

    ``module``: in eval mode, on its device; ``sides``: one, or image and text.
    """

    def __init__(self, module: torch.nn.Module, sides: Sequence[DualSide]) -> None:
        self.module = module
        self._sides = sides
        parameter = next(module.parameters())
        self.device, self._dtype = parameter.device, parameter.dtype
        self.is_reentrant = True
        self._pictures = next((side.inputs for side in sides if isinstance(side.inputs, ImageInputs)), None)
        if self._pictures is not None and sends_bytes(module):
            self._pictures.send_bytes()
        on_cpu = self.device.type == "cpu"
        if sides[0].tower.side == "image":
            self.budget = CPU_IMAGES if on_cpu else GPU_IMAGES
        else:
            self.budget = CPU_TOKENS if on_cpu else GPU_TOKENS

    @property
    def blocks(self) -> Sequence[torch.nn.Module]:
        """Of the side that is read alone, first to last; none where they cannot be told apart."""
        return self._sides[0].depth.blocks.modules if len(self._sides) == 1 else ()

    def prepare(
        self, payloads: Sequence[Payload], changes: Sequence[Change | None] | None = None
    ) -> list[Any | SampleError]:
        """Each payload as what its side takes, or as what both take; the reason where it cannot be."""
        if len(self._sides) == 1:
            return self._sides[0].inputs.prepare(payloads, changes)
        parts = [
            side.inputs.prepare([payload[place] for payload in payloads], changes)
            for place, side in enumerate(self._sides)
        ]
        return [_pair(image, text) for image, text in zip(*parts, strict=True)]

    def length(self, prepared: Any) -> int:
        """The tokens of a text; 1 where there is an image, beside which a text costs little."""
        return self._sides[0].inputs.length(prepared)

    def collate(self, prepared: Sequence[Any]) -> dict[str, torch.Tensor]:
        """One batch; of pairs the inputs of both sides, by the side's name and the input's."""
        if len(self._sides) == 1:
            return self._sides[0].inputs.batch(prepared)
        return {
            f"{side.tower.side}.{name}": part
            for place, side in enumerate(self._sides)
            for name, part in side.inputs.batch([pair[place] for pair in prepared]).items()
        }

    def plain(self) -> PlainInputs | None:
        """What prepares its batches without torch; None if both sides are read, or nothing does it alike."""
        return self._sides[0].inputs.plain(self) if len(self._sides) == 1 else None

    def forward(self, batch: Mapping[str, torch.Tensor], reads: Collection[str] = AT_END) -> Activations:
        """Run the sides over a batch; of pairs, what both give stands side by side."""
        import torch

        pictures = self._pictures
        numbers = {
            name: pictures.numbers(part) if pictures and part.dtype == torch.uint8 else part
            for name, part in batch.items()
        }
        cast = {
            name: part.to(self._dtype) if part.is_floating_point() else part for name, part in numbers.items()
        }
        with grad_context(self.module):
            if len(self._sides) == 1:
                return self._read(self._sides[0], cast, reads)
            image, text = (self._read(side, _inputs_of(side, cast), AT_END).whole for side in self._sides)
            names = [name for name in image if name in text]
            return Activations({}, {name: torch.cat([image[name], text[name]], dim=1) for name in names})

    def _read(
        self, side: DualSide, inputs: Mapping[str, torch.Tensor], reads: Collection[str]
    ) -> Activations:
        if layers := [name for name in reads if name.startswith(BLOCK)]:
            return read_blocks(side.depth.blocks, lambda: side.tower.run(inputs), layers)
        if side.inputs.pads and is_int8(self.module):
            return run_unpadded(lambda part: side.read(part, reads), inputs, MASK)
        return side.read(inputs, reads)


def _inputs_of(side: DualSide, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The inputs of one side in a batch of pairs."""
    prefix = f"{side.tower.side}."
    return {name.removeprefix(prefix): part for name, part in batch.items() if name.startswith(prefix)}


def _pair(image: Any | SampleError, text: Any | SampleError) -> Any | SampleError:
    return next((part for part in (image, text) if isinstance(part, SampleError)), (image, text))


@dataclass(frozen=True, slots=True)
class DualSide:
    """One side, as a trial found it."""

    tower: Tower
    inputs: ImageInputs | TextInputs
    depth: Depth
    layout: Layout | None  # None: the positions are tokens of a text
    offered: tuple[str, ...]  # which of ``joint`` and ``pooler`` the checkpoint has the weights for

    @property
    def taps(self) -> tuple[str, ...]:
        """The joint space first, then the tower's own pooling, then its last positions."""
        if self.layout is not None:
            poolings: tuple[str, ...] = self.layout.poolings
        else:
            poolings = (*TEXT_POOLINGS, *(("cls",) if self.inputs.has_cls else ()))
        return (*self.offered, *(f"final.{name}" for name in poolings))

    def read(self, inputs: Mapping[str, torch.Tensor], reads: Collection[str]) -> Activations:
        """Run the side over a batch that is on its device."""
        mask = inputs.get(MASK)
        hidden, whole = self.tower.read(inputs, self.depth.blocks, reads)
        return Activations(
            {layer: self._positions(states, mask) for layer, states in hidden.items()},
            {name: whole[name] for name in self.offered if name in whole},
        )

    def _positions(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> Positions:
        if self.layout is not None:
            return self.layout.positions(hidden, mask)
        return Positions(hidden, mask, hidden[:, 0] if self.inputs.has_cls else None)


def open_side(source: HubModel, tower: Tower, missing: Collection[str]) -> DualSide:
    """A side of a loaded model, after a trial.

    ``missing``: the weights that the checkpoint does not have. Raises `BackboneError` if the checkpoint lacks
    weights without which the side cannot be read.
    """
    import torch

    needed, random_pooler, random_joint = tower.lacks(missing)
    if needed:
        raise BackboneError(f"{source.spec} lacks weights of its {tower.side} side: {needed[0]}")
    is_image = tower.side == "image"
    inputs: ImageInputs | TextInputs = ImageInputs(source) if is_image else TextInputs(source, tower.config)
    blocks = candidate_blocks(tower.transformer, tower.config)
    dtype = next(tower.transformer.parameters()).dtype
    batch = inputs.batch([inputs.trial()])
    batch = {name: part.to(dtype) if part.is_floating_point() else part for name, part in batch.items()}
    with source.failures(), torch.inference_mode():
        hidden, whole = tower.read(batch, blocks, (*blocks.layers, *AT_END))
    has = {
        "joint": "joint" in whole and whole["joint"].ndim == 2 and not random_joint,
        "pooler": "pooler" in whole and not random_pooler,
    }
    pixels, final = batch.get("pixel_values"), hidden["final"]
    return DualSide(
        tower,
        inputs,
        depth_of(blocks, tower.config, hidden, final),
        None if pixels is None else layout_of(tower.transformer, tower.config, pixels, final),
        tuple(name for name, there in has.items() if there),
    )
