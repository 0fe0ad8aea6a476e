"""A backbone as extraction uses it: named before its weights are loaded, opened again for a run, loaded to compute."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.backbones import located_spec, open_backbone, side_of
from headstart.backbones.options import BackboneOptions
from headstart.backbones.pooling import display_tap
from headstart.cache.borrowed import BorrowingSpace, ReadOnlySpace
from headstart.cache.memos import IDENTITY, find_known, record_known
from headstart.cache.recipe import Recipe, make_recipe
from headstart.cache.store import Cache
from headstart.errors import ConfigError, MismatchError, WeightsUnavailableError
from headstart.remote.addresses import is_remote

if TYPE_CHECKING:
    from headstart.cache.set_state import SetState
    from headstart.cache.space import Space
    from headstart.contracts import Backbone, FrozenModel, Progress, Source
    from headstart.types import BackboneInfo, FeatureRef, Json, Modality, Precision


@dataclass(frozen=True, slots=True)
class ModelRecipe:
    """What a worker loads."""

    spec: str
    options: BackboneOptions
    precision: Precision
    weights: str  # the digest that they must have


class OpenedBackbone:
    """A backbone, and what is known of it before its weights are loaded.

    ``cache``: its memo, and what lies beside its spaces, may know the backbone already.
    """

    def __init__(self, spec: str, options: BackboneOptions, cache: Cache, progress: Progress) -> None:
        self.spec = spec
        self._options = options
        self.cache = cache
        self._progress = progress
        self._backbone: Backbone | None = None
        self.was_loaded = False
        self.info = self._resolve()

    @property
    def portable_spec(self) -> dict[str, Json]:
        """Spec and options, without anything of this machine."""
        options = {**self._options.given(), **side_of(self.spec, self._options)}
        return {"spec": located_spec(self.spec), "options": options}

    @property
    def source(self) -> tuple[str, BackboneOptions]:
        """What another process needs to open it."""
        return self.spec, self._options

    def backbone(self) -> Backbone:
        """The backbone, to be loaded."""
        if self._backbone is None:
            self._backbone = open_backbone(self.spec, self._options)
        return self._backbone

    def release(self) -> None:
        """Let go of the model; it is loaded anew if it is needed again."""
        self._backbone, self.was_loaded = None, False

    def renew(self) -> None:
        """Resolve it anew, for what an earlier version of headstart did not remember of it."""
        if (key := self.backbone().cache_key()) is not None:
            self.cache.resolutions.forget(key)
        self.info = self._resolve()

    def model_recipe(self, precision: Precision) -> ModelRecipe:
        """What another process needs to load it."""
        return ModelRecipe(self.spec, self._options, precision, self.info.weights)

    def prepare(self, spaces: Sequence[Space]) -> None:
        """Make the folders of spaces that it is about to fill, and note beside each what is known of it."""
        self.cache.prepare()
        for space in spaces:
            space.prepare()
            record_known(space.path, self.portable_spec, self.info)
            space.home.publish_hint(space.path / "known")

    def _resolve(self) -> BackboneInfo:
        """From this machine's memo, from the model, or from what the cache knows of it."""
        try:
            key = self.backbone().cache_key()
            if key is not None and (info := self.cache.resolutions.get(key)):
                return info
            began = time.time_ns()
            info = self.backbone().resolve()
        except WeightsUnavailableError as error:
            known = find_known(self.cache.space_paths(), self.portable_spec)
            if len(known) != 1:
                raise
            self._progress.say(f"{error}; going on with what the cache holds of it")
            return known[0]
        self.was_loaded = True
        if key is not None:
            self.cache.resolutions.put(key, info, self.backbone().source_files(), began)
        return info


def check_modality(source: Source, info: BackboneInfo) -> None:
    """Refuse images for a text backbone, and the other way round."""
    takes = {"text": ("text", "text-pair")}  # of words a backbone says that it takes them
    if source.modality not in takes.get(info.modality, (info.modality,)):
        pairs = "give --image-column and --text-column for pairs of both, or "
        raise ConfigError(
            f"{info.spec} takes {_several(info.modality)}, and the data holds {_several(source.modality)} "
            f"({source.description}); {pairs if info.modality == 'image-text' else ''}choose another backbone"
        )


def _several(modality: str) -> str:
    return "lists of words" if modality == "words" else f"{modality}s"


def cache_of_run(features: Mapping[str, Json], own: Cache, is_offline: bool = False) -> Cache | None:
    """The cache that a run says its features lie in, to be read; None if it is not there, or the user's own."""
    said = features.get("cache")
    if isinstance(said, str) and is_remote(said):
        return None if is_offline or said == own.location else Cache(said)
    if not isinstance(said, str) or not os.path.isdir(said):
        return None
    is_own = own.root.is_dir() and os.path.samefile(said, own.root)
    return None if is_own else Cache(said)


def space_of(recipe: Recipe, own: Cache, lender: Cache | None) -> Space:
    """Where features of a recipe are written, and read; what lies in the cache of a lender is read from there."""
    space = own.space(recipe)
    if lender is None:
        return space
    return BorrowingSpace(space.path, recipe, ReadOnlySpace(lender.space(recipe).path, recipe))


def describe_feature(cache: Cache, features: SetState, ref: FeatureRef) -> dict[str, Json]:
    """A feature of a set as a run's ``features.json`` has it: `reopen` opens its backbone by it."""
    entry = next(e for e in features.info["features"] if e["space"] == ref.space)
    return {
        "backbone": ref.backbone,
        "tap": display_tap(ref.tap),
        "space": ref.space,
        "located": entry.get("located", ref.backbone),
        "options": entry.get("options", {}),
        "recipe": dict(cache.open_space(ref.space).recipe.entries),
    }


def reopen(
    features: Mapping[str, Json], cache: Cache, progress: Progress, offline: bool = False
) -> OpenedBackbone:
    """Open the backbone that a run names.

    ``features``: the content of a run's ``features.json``, of one feature; ``offline``: open no socket.
    Raises `BackboneError` if it cannot be had here; `MismatchError` if it is not the one that the head was fitted
    on.
    """
    recipe = Recipe(features["recipe"])
    opened = open_as_described(features, features["modality"], cache, progress, offline)
    now = make_recipe(opened.info, recipe.entries["tap"], recipe.entries["compute"], recipe.entries["stored"])
    if now.id != recipe.id:
        changes = ", ".join(
            f"{name} was {then!r} and is {is_now!r}"
            for name, (then, is_now) in recipe.differences(now).items()
        )
        raise MismatchError(
            f"{features['backbone']} is not the backbone that this head was fitted on: {changes}; "
            "bring back what it was, or fit the head anew"
        )
    return opened


def open_as_described(
    features: Mapping[str, Json],
    modality: Modality,
    cache: Cache,
    progress: Progress,
    offline: bool = False,
    prompt: str | None = None,
) -> OpenedBackbone:
    """Open the backbone that a run or a set names, whatever it is now, at the side for a modality.

    ``prompt``: in the place of the one that it was given.
    """
    options = options_as_described(features, modality, offline, prompt)
    return OpenedBackbone(features.get("located", features["backbone"]), options, cache, progress)


def options_as_described(
    features: Mapping[str, Json], modality: Modality, offline: bool = False, prompt: str | None = None
) -> BackboneOptions:
    """The options that a run or a set names, for the side of a modality; see `open_as_described`."""
    given = dict(features.get("options", {}))
    weights = given.pop("weights", None)
    if prompt is not None:
        given["prompt"] = prompt
    return BackboneOptions(
        weights=Path(weights) if weights else None, modality=modality, offline=offline, **given
    )


def load_model(opened: OpenedBackbone, device: str, precision: Precision) -> FrozenModel:
    """The model on a device, after a look that it is the one that its features are named after."""
    from headstart.devices import pick_device

    backbone = opened.backbone()
    if not opened.was_loaded:
        # The memo named the space; the weights that fill it must be the ones that it was named after.
        now = backbone.resolve()
        if changed := [name for name in IDENTITY if getattr(now, name) != getattr(opened.info, name)]:
            if (key := backbone.cache_key()) is not None:
                opened.cache.resolutions.forget(key)
            raise MismatchError(
                f"{opened.spec} is not what it was when its features were named "
                f"({', '.join(changed)} changed); run the command again"
            )
    return backbone.load(str(pick_device(device)), precision)
