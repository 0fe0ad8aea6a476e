"""The augmented views that a command asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.augmentation import open_views
from headstart.data.splits import TRAIN
from headstart.errors import ConfigError
from headstart.extraction.labels import label_samples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headstart.augmentation import View
    from headstart.cache.sets import FeatureSet
    from headstart.config import ExtractConfig
    from headstart.contracts import Source
    from headstart.extraction.samples import Samples
    from headstart.types import BackboneInfo, Modality


def views_for(config: ExtractConfig, info: BackboneInfo, modality: Modality) -> tuple[View | None, ...]:
    """The sample as it is, which is None, and the views that are asked for.

    Raises
    ------
    ConfigError
        There are no such views of such samples, or this backbone cannot take them; or it is said how to
        change samples, and not how many views.
    """
    if not config.views and (config.augment != "default" or config.view_seed):
        name = "--augment" if config.augment != "default" else "--view-seed"
        raise ConfigError(f"{name} is of views, and none are asked for; say how many with --views")
    views = open_views(config.views, config.augment, config.view_seed, modality)
    for view in views:
        check_view(view, info)
    return (None, *views)


def samples_with_views(
    config: ExtractConfig, samples: Samples, source: Source, earlier: FeatureSet | None
) -> NDArray[np.bool_] | None:
    """The samples that views are computed of, shape (N,): those of train, as nothing else ever draws one.

    Parameters
    ----------
    config : ExtractConfig
    samples : Samples
        All of the set: the splits are made among them.
    source : Source
    earlier : FeatureSet, optional
        What the set was before: samples keep their splits.

    Returns
    -------
    ndarray of bool or None
        None: all, where no views are asked for, or there is nothing to train on.
    """
    if not config.views:
        return None
    train = label_samples(samples, source, earlier, config.split_seed).splits == TRAIN
    return train if train.any() else None


def check_view(view: View, info: BackboneInfo) -> None:
    """Refuse a view that a backbone would ignore: its features would be the plain ones under another name.

    Raises
    ------
    ConfigError
        It hides tokens, and the backbone is the user's own and turns texts into tensors by itself.
    """
    if view.hides_tokens and info.code is not None:
        raise ConfigError(
            f"--augment {view.augmentation} hides tokens of texts, and {info.spec} has no tokens that headstart "
            "could hide; choose --augment py:package.module:function, which changes the texts themselves"
        )
