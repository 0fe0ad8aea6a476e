"""What it takes to make a backbone again: its weights after training, or all of it where headstart is not installed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

from headstart.backbones.pooling import UNIT
from headstart.backbones.prompts import DeclaredPrompts, declared_prompts, declared_similarity
from headstart.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from headstart.backbones.options import BackboneOptions
    from headstart.contracts import Backbone, FrozenModel
    from headstart.types import BackboneInfo, Json, Payload, Precision


_LEFT_OUT = (
    "transformers_version", "_name_or_path", "architectures", "id2label", "label2id", "problem_type", "torch_dtype",
    "auto_map", "num_labels",
)  # fmt: skip
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Portable:
    """A backbone as a model of transformers, read at one tap."""

    module: torch.nn.Module  # the backbone as it was loaded
    modality: Literal["image", "text"]
    # The configuration of the model of transformers that it is; ``timm_wrapper`` for one of timm.
    config: Mapping[str, Json]
    # How the model is made and its outputs are read, as `HeadstartConfig` keeps it.
    reading: Mapping[str, Json]
    # Writes its tokenizer or its image processor into a folder, as transformers keeps them.
    save_inputs: Callable[[Path], None]
    max_length: int | None = None  # tokens a text is cut to
    # What timm makes the transform from, where the model is timm's.
    data_config: Mapping[str, Json] | None = None

    @property
    def is_timm(self) -> bool:
        """Whether the model is timm's, which transformers wraps."""
        return self.data_config is not None

    def description(self) -> dict[str, Json]:
        """The configuration without where it came from, what it was for and how it was kept: in float32."""
        kept = {name: value for name, value in self.config.items() if name not in _LEFT_OUT}
        return kept if self.is_timm else {**kept, "dtype": "float32"}

    def weights(self) -> dict[str, torch.Tensor]:
        """The weights by the names that transformers gives them."""
        prefix = "timm_model." if self.is_timm else ""
        return {f"{prefix}{name}": tensor for name, tensor in self.module.state_dict().items()}


@runtime_checkable
class PortableBackbone(Protocol):
    """A backbone that can be taken elsewhere."""

    def portable(self, tap: str) -> Portable:
        """All that is needed to make it again, and to read it at a canonical tap.

        Raises `ConfigError` if it, or what is read of it, cannot be taken elsewhere.
        """


def exportable(backbone: Backbone, tap: str) -> Portable:
    """A backbone that can be taken elsewhere, at a canonical tap."""
    if not isinstance(backbone, PortableBackbone):
        raise ConfigError(
            f"{backbone.spec} cannot be exported: that needs a text or an image model of transformers or timm; "
            "run.module() gives it as a torch module"
        )
    return backbone.portable(tap)


def refuse_prompt(prompt: str | None) -> None:
    """Refuse to take a backbone elsewhere whose texts stand behind something."""
    if prompt:
        raise ConfigError(
            f"the head was fitted on texts behind the prompt {prompt[:40]!r}, which no tokenizer of transformers puts "
            "there; extract with --prompt '' and fit the head anew"
        )


def reading_of(tap: str, **layout: Any) -> dict[str, Json]:
    """How a model is made and read, for `HeadstartConfig`; ``layout`` says what is not as usual.

    Examples
    --------
    >>> reading = reading_of("final.cls+mean.l2", n_prefix=1)
    >>> reading["read"], reading["poolings"], reading["unit"], reading["n_prefix"]
    ('final', ['cls', 'mean'], True, 1)
    """
    read, _, poolings = tap.removesuffix(UNIT).partition(".")
    usual: dict[str, Json] = {
        "n_prefix": 0,
        "has_cls": False,
        "channels_last": None,
        "is_encoder": False,
        "text_encoding": False,
        "arguments": {},
        "tower": None,
    }
    named = poolings.split("+") if poolings else []
    return {"read": read, "poolings": named, "unit": tap.endswith(UNIT), **usual, **layout}


def without_pooler(module: Any, tap: str) -> dict[str, Json]:
    """Arguments that make a model of transformers without the pooler that the tap does not read."""
    takes = "add_pooling_layer" in inspect.signature(type(module).__init__).parameters
    return {"add_pooling_layer": False} if takes and not tap.startswith("pooler") else {}


BackboneSaver: TypeAlias = "Callable[[Path], tuple[str, BackboneOptions]]"
"""Writes a backbone into an empty folder with the weights that it has by then; what opens it again."""


@runtime_checkable
class TunableBackbone(Protocol):
    """A backbone that can be trained as a whole."""

    def tunable(self, tap: str) -> BackboneSaver:
        """How it is kept once its weights have changed.

        To be asked before it is loaded: what the tap cannot read may be dropped for good.

        ``tap``: canonical: what a head reads. Raises `ConfigError` if what the tap reads cannot be trained, or
        not be kept.
        """


def backbone_saver(backbone: Backbone, tap: str) -> BackboneSaver:
    """How a backbone is kept once its weights have changed; see `TunableBackbone`."""
    if not isinstance(backbone, TunableBackbone):
        raise ConfigError(
            f"{backbone.spec} cannot be fine-tuned: that needs a model of transformers, timm or torchvision; of "
            "another kind fit a head, and train run.module(trainable=True) in a loop of your own"
        )
    return backbone.tunable(tap)


@runtime_checkable
class WritingBackbone(Protocol):
    """A backbone that may be the encoder of an encoder-decoder."""

    def writer(self) -> Any:
        """The whole of it, a `headstart.backbones.hf.writers.Writer`, as it lies there.

        Raises `ConfigError` if it has no decoder.
        """

    def writer_saver(self, writer: Any) -> BackboneSaver:
        """How the whole of it is kept once its weights have changed."""


def open_writer(backbone: Backbone) -> Any:
    """The encoder-decoder of which a backbone is the encoder; see `WritingBackbone`."""
    if not isinstance(backbone, WritingBackbone):
        raise ConfigError(
            f"{backbone.spec} writes no texts: that needs an encoder-decoder of transformers (hf:), such as T5, BART, "
            "mBART or Marian"
        )
    return backbone.writer()


@runtime_checkable
class CountsTokens(Protocol):
    """A backbone that cuts texts which are too long for it."""

    def count_tokens(self, payloads: Sequence[Payload]) -> list[int]:
        """How many tokens each has before it is cut, as `TokenRow` says it; 0: it has none."""


class LateBackbone:
    """A backbone that is another one, of which nothing is read before it is resolved or loaded."""

    @property
    def _model(self) -> Backbone:
        raise NotImplementedError

    def resolve(self) -> BackboneInfo:
        """Load the model and describe it."""
        return self._model.resolve()

    def load(self, device: str, precision: Precision) -> FrozenModel:
        """The model, frozen, on a device."""
        return self._model.load(device, precision)

    def portable(self, tap: str) -> Portable:
        """See `PortableBackbone`."""
        return exportable(self._model, tap)

    def tunable(self, tap: str) -> BackboneSaver:
        """See `TunableBackbone`."""
        return backbone_saver(self._model, tap)

    def writer(self) -> Any:
        """See `WritingBackbone`."""
        return open_writer(self._model)

    def writer_saver(self, writer: Any) -> BackboneSaver:
        """See `WritingBackbone`."""
        model: Any = self._model
        saver: BackboneSaver = model.writer_saver(writer)
        return saver

    def count_tokens(self, payloads: Sequence[Payload]) -> list[int]:
        """See `CountsTokens`."""
        model = self._model
        return model.count_tokens(payloads) if isinstance(model, CountsTokens) else [0] * len(payloads)

    def declared_prompts(self) -> DeclaredPrompts:
        """See `DeclaresPrompts`."""
        return declared_prompts(self._model)

    def declared_similarity(self) -> str | None:
        """See `DeclaresSimilarity`."""
        return declared_similarity(self._model)

    @property
    def width(self) -> int:
        """Of the vector of a token; 0 of a model that has none."""
        return int(getattr(self._model, "width", 0))
