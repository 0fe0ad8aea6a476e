"""The backbone of a run, opened again: the very one that its head was fitted on, or an error."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.backbones.options import BackboneOptions
from headstart.cache.recipe import Recipe, make_recipe
from headstart.cache.store import Cache
from headstart.errors import MismatchError
from headstart.extraction.fill import OpenedBackbone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headstart.contracts import Progress
    from headstart.types import Json


def cache_of(features: Mapping[str, Json], given: str | None = None) -> Cache:
    """The cache that was given, or that of the run if it is still there, or else the user's own."""
    return Cache(given or (features["cache"] if os.path.isdir(features["cache"]) else None))


def reopen(
    features: Mapping[str, Json], cache: Cache, progress: Progress, offline: bool = False
) -> OpenedBackbone:
    """Open the backbone that a run names.

    Parameters
    ----------
    features : mapping
        The content of a run's ``features.json``, of one feature.
    cache, progress
        See `OpenedBackbone`.
    offline : bool
        Open no socket.

    Raises
    ------
    BackboneError
        It cannot be had here.
    MismatchError
        It is not the one that the head was fitted on.
    """
    recipe = Recipe(features["recipe"])
    given = dict(features["options"])
    weights = given.pop("weights", None)
    options = BackboneOptions(
        weights=Path(weights) if weights else None, modality=features["modality"], offline=offline, **given
    )
    opened = OpenedBackbone(features.get("located", features["backbone"]), options, cache, progress)
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
