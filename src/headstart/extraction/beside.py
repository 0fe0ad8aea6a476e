"""Vectors of inputs that are no samples of a set, comparable with one of its features: queries, names of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.backbones import DeclaredPrompts, declared_prompts, open_backbone
from headstart.backbones.pooling import JOINT, UNIT, display_tap, is_ragged
from headstart.cache.imported import SCHEME
from headstart.cache.recipe import make_recipe
from headstart.cache.store import Cache
from headstart.data import SourceOptions, open_source
from headstart.errors import ConfigError
from headstart.extraction.backbone import describe_feature, open_as_described, options_as_described, reopen
from headstart.extraction.fill import fill
from headstart.extraction.plan import plan_for_spaces
from headstart.extraction.samples import register
from headstart.network import forbid_network
from headstart.trust import trust_named
from headstart.types import LOGITS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from headstart.cache.set_state import SetState
    from headstart.config import ComputeConfig
    from headstart.contracts import Progress, Source
    from headstart.extraction.backbone import OpenedBackbone
    from headstart.extraction.samples import Samples
    from headstart.types import BackboneInfo, Failure, FeatureRef, Modality

TRANSFORMERS = "transformers"
SIDES: dict[str, tuple[Modality, ...]] = {
    "text": ("text", "image"),
    "image": ("image", "text"),
    "image-text": ("image", "text"),
}
"""What may be compared with features of samples of a modality, through a dual encoder."""


@dataclass(frozen=True, slots=True)
class VectorsBeside:
    """Vectors of N inputs in the space of a feature, or in that of its backbone's other tower.

    Attributes
    ----------
    X : ndarray of float32, shape (n, D)
        Of the inputs that could be used, in their order; as they are stored, neither centred nor scaled.
    held : ndarray of bool, shape (N,)
        Which those are.
    failures : sequence of Failure
        Why the others could not be used.
    n_computed : int
        How many the cache lacked.
    info : BackboneInfo
        The backbone, at the side that read them.
    samples : Samples
        The inputs themselves, N rows.
    """

    X: NDArray[np.float32]
    held: NDArray[np.bool_]
    failures: Sequence[Failure]
    n_computed: int
    info: BackboneInfo
    samples: Samples


def vectors_beside(
    features: SetState,
    ref: FeatureRef,
    items: Sequence[Any],
    modality: Modality,
    config: ComputeConfig,
    progress: Progress,
    prompt: str | None = None,
) -> VectorsBeside:
    """Vectors of inputs by the backbone of a set's feature, kept in the cache as all features are.

    The weights are loaded for those alone that the cache lacks. Of a dual encoder, inputs of the other modality go
    through its other tower, in the precision of the feature.

    Parameters
    ----------
    features : FeatureSet
    ref : FeatureRef
        One of its features.
    items : sequence
        Texts, or images by path or in memory, as `headstart.extract` takes them.
    modality : {"text", "image"}
        What they are.
    config : ComputeConfig
    progress : Progress
    prompt : str, optional
        In the place of the feature's own: words, or the name of one of the model's; such vectors have a space of their
        own.

    Raises
    ------
    ConfigError
        The feature cannot be compared with such inputs.
    MismatchError
        The backbone is not the one that computed the feature.
    """
    check_comparable(features, ref, modality)
    source = open_source(items, SourceOptions(labels=False), modality)
    return vectors_of_source(features, ref, source, config, progress, prompt)


def vectors_of_source(
    features: SetState,
    ref: FeatureRef,
    source: Source,
    config: ComputeConfig,
    progress: Progress,
    prompt: str | None = None,
) -> VectorsBeside:
    """The same of inputs in files, or wherever they come from; see `vectors_beside`."""
    modality = source.modality
    check_comparable(features, ref, modality)
    if source.streams:
        raise ConfigError(f"{source.description} can be read only as a stream; unpack it")
    trust_named(ref.backbone)
    if config.offline:
        forbid_network()
    cache = Cache(str(features.cache))
    opened = _open_side(features, ref, modality, cache, progress, config.offline, prompt)
    recipe = cache.open_space(ref.space).recipe.entries
    space = cache.space(make_recipe(opened.info, recipe["tap"], recipe["compute"], recipe["stored"]))
    samples = register(source, cache.keys, progress)
    plan = plan_for_spaces(source, samples, [space], config.format)
    filled = fill(plan, opened, config, progress)
    held = space.held(samples.keys)
    X = space.gather(samples.keys[held]).values.astype(np.float32, copy=False)
    failures = [*samples.failures, *filled.failures]
    return VectorsBeside(X, held, failures, filled.n_computed, opened.info, samples)


def check_comparable(features: SetState, ref: FeatureRef, modality: Modality) -> None:
    """Refuse inputs that no vector of a feature can be compared with."""
    own = str(features.info["source"].get("modality"))
    said = f"{ref.backbone} at {display_tap(ref.tap)} of set {features.name!r}"
    if ref.backbone.startswith(SCHEME):
        raise ConfigError(f"{said} was imported, and no backbone is known that reads more")
    if is_ragged(ref.tap):
        raise ConfigError(
            f"{said} has several vectors a sample, and one vector is compared; choose a pooled tap with --tap"
        )
    if modality not in SIDES.get(own, ()):
        raise ConfigError(
            f"{said} holds samples of {own}, and a single {modality} cannot be compared with them"
        )
    if modality != own and ref.tap.removesuffix(UNIT) != JOINT:
        raise ConfigError(
            f"{said} cannot be compared with {modality}s: only a dual encoder, such as CLIP, puts images and texts "
            "into one space, at the tap joint"
        )


def _open_side(
    features: SetState,
    ref: FeatureRef,
    modality: Modality,
    cache: Cache,
    progress: Progress,
    offline: bool,
    prompt: str | None,
) -> OpenedBackbone:
    """The backbone, at the side that reads a modality, after a look that it is the one of the feature."""
    own: Modality = features.info["source"]["modality"]
    described = {**describe_feature(cache, features, ref), "modality": own}
    opened = reopen(described, cache, progress, offline)
    if own != modality or prompt is not None:
        opened = open_as_described(described, modality, cache, progress, offline, prompt)
    info = opened.info
    if (
        ref.tap == JOINT
        and LOGITS not in info.provenance
        and info.architecture.get("library") == TRANSFORMERS
    ):
        opened.renew()
    return opened


def prompts_behind(features: SetState, ref: FeatureRef, modality: Modality, offline: bool) -> DeclaredPrompts:
    """The words that the authors of a feature's backbone put before texts; none before images.

    No weights are loaded. Raises `WeightsUnavailableError` if the model is not on this machine.
    """
    if modality != "text":
        return DeclaredPrompts()
    cache = Cache(str(features.cache))
    trust_named(ref.backbone)
    if offline:
        forbid_network()
    described = describe_feature(cache, features, ref)
    options = options_as_described(described, modality, offline)
    return declared_prompts(open_backbone(described["located"], options))


def prompt_within(features: SetState, ref: FeatureRef) -> str | None:
    """The words that stand before each text of a feature."""
    prompt = Cache(str(features.cache)).open_space(ref.space).recipe.entries.get("prompt")
    return str(prompt) if prompt else None
