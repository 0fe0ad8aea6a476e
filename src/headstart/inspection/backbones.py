"""Everything that there is to know of one backbone before it is used."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_args

from headstart.backbones import declared_prompts, open_backbone
from headstart.backbones.pooling import display_tap, pool
from headstart.config import ExtractConfig
from headstart.errors import ConfigError, SampleError
from headstart.network import forbid_network
from headstart.types import AT_END, Modality

if TYPE_CHECKING:
    from headstart.backbones import BackboneOptions
    from headstart.contracts import Backbone
    from headstart.types import Activations, BackboneInfo, Json, Payload


@dataclass(frozen=True, slots=True)
class TapDescription:
    """A tap as users write it, and how many numbers it gives; None: they are not known here."""

    tap: str
    n_features: int | None


@dataclass(frozen=True, slots=True)
class Description:
    """What ``headstart backbones show`` says."""

    spec: str
    modality: Modality
    taps: list[TapDescription]
    """The first is the default."""
    layers: list[TapDescription]
    """The layers that can be read by number, by their numbers."""
    closing_norm: bool
    """Whether ``last`` is another tap than the last number."""
    parameters: int | None
    max_length: int | None
    """Tokens a text is cut to."""
    prompt: str | None
    """What is put before every text."""
    query_prompt: str | None
    """What its authors put before a query, and before a document that is searched."""
    document_prompt: str | None
    architecture: Mapping[str, Json]
    preprocessing: Mapping[str, Json]
    weights: str
    """The digest of the weights that features depend on."""
    provenance: Mapping[str, Json]
    """Library versions and files."""


def backbone_options(modality: str | None = None, **given: Any) -> BackboneOptions:
    """Options as a shell gives them, checked as those of every command are.

    Raises
    ------
    ConfigError
        One is out of range, or there is no such modality.
    """
    if modality is not None and modality not in get_args(Modality):
        raise ConfigError(f"there is no modality {modality!r}; choose one of {', '.join(get_args(Modality))}")
    config = ExtractConfig(data="", backbone="", **given)
    return config.backbone_options(cast("Modality | None", modality))


def describe(spec: str, options: BackboneOptions) -> Description:
    """Load a backbone on the CPU, and run it once over a tiny sample.

    Raises
    ------
    BackboneError
        Its weights cannot be had here, or do not fit.
    """
    if options.offline:
        forbid_network()
    backbone = open_backbone(spec, options)
    info = backbone.resolve()
    numbers = [str(n) for n in range(info.first_layer, info.n_layers + 1)] if info.n_layers else []
    activations = _one_pass(backbone, info, numbers)
    provenance, declared = dict(info.provenance), declared_prompts(backbone)
    return Description(
        spec=info.spec,
        modality=info.modality,
        taps=[TapDescription(display_tap(tap), _width(activations, tap)) for tap in info.taps],
        layers=[TapDescription(number, _width(activations, f"{number}.mean")) for number in numbers],
        closing_norm=info.closing_norm,
        parameters=provenance.pop("parameters", None),
        max_length=info.max_length,
        prompt=info.prompt,
        query_prompt=declared.query,
        document_prompt=declared.document,
        architecture=info.architecture,
        preprocessing=info.preprocessing,
        weights=info.weights,
        provenance={name: value for name, value in provenance.items() if value},
    )


def _one_pass(backbone: Backbone, info: BackboneInfo, numbers: list[str]) -> Activations | None:
    """What a tiny sample gives; None where the model cannot use it (``py:`` ones want their own)."""
    samples: dict[Modality, Payload] = {
        "text": "a", "text-pair": ("a", "b"), "words": ("a", "b"), "image": _picture(), "image-text": (_picture(), "a")
    }  # fmt: skip
    model = backbone.load("cpu", "fp32")
    [prepared] = model.prepare([samples[info.modality]])
    if isinstance(prepared, SampleError):
        return None
    return model.forward(model.collate([prepared]), (*numbers, *AT_END))


def _picture() -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "grey").save(buffer, "PNG")
    return buffer.getvalue()


def _width(activations: Activations | None, tap: str) -> int | None:
    return None if activations is None else int(pool(activations, tap).shape[1])
