"""How the features of a set come to a head: whole or from disk, one vector or several, with views or without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from headstart.backbones.pooling import is_ragged
from headstart.errors import ConfigError
from headstart.fitting.search import HEAD, TAP, heads_of
from headstart.fitting.views import TrainViews, gather_views, views_of
from headstart.heads import head_class, open_head
from headstart.memory import available_bytes

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import FitConfig
    from headstart.contracts import Progress
    from headstart.fitting.stage import Fit
    from headstart.types import LabelKind

MAPPED_FROM = 0.4
"""The share of the memory that is left from which features stay on disk, for heads that can read them there."""


def check_params(config: FitConfig, names: Sequence[str], kind: LabelKind) -> None:
    """Refuse parameters that no head has, or that are given twice.

    Raises
    ------
    ConfigError
    """
    heads = [open_head(name, config.params, config.seed, kind) for name in names]
    known = {name for head in heads for name in head.get_params()}
    for name in config.sweep:
        if name not in known | {TAP, HEAD}:
            if len(names) == 1:
                open_head(names[0], {name: ""}, config.seed, kind)  # says what it has
            raise ConfigError(f"none of the heads {', '.join(names)} has a parameter {name!r}")
        if name in config.params:
            raise ConfigError(f"{name!r} is in --param and in --sweep; give it once")
        if name == TAP and config.tap is not None:
            raise ConfigError("taps are in --tap and in --sweep; give them once")
    if config.callback and not any(getattr(head, "trains_by_epochs", False) for head in heads):
        raise ConfigError(f"--callback watches epochs, and a {' or '.join(names)} head has none")


def takes_sequences(heads: Sequence[str], kind: LabelKind) -> bool:
    """Whether heads take several vectors a sample: all of them, or none."""
    takes = {
        bool(cast(Any, open_head(name, {}, 0, kind)).takes_sequences)
        if name.startswith("py:")
        else bool(getattr(head_class(name, kind), "takes_sequences", False))
        for name in heads
    }
    if len(takes) > 1:
        raise ConfigError(
            "heads that attend and heads over one vector a sample are not compared in one sweep"
        )
    return takes.pop()


def is_mapped(
    config: FitConfig,
    features: FeatureSet,
    choices: Sequence[Any],
    attends: bool,
    kind: Any,
    progress: Progress,
) -> bool:
    """Whether features stay on disk: on request, or where they would fill the memory that is left."""
    can = not attends and len(choices) == 1 and not config.prepare
    by_epochs = all(getattr(head_class(head, kind), "trains_by_epochs", False) for head in heads_of(config))
    if config.mapped is not None:
        if config.mapped and not (can and by_epochs):
            raise ConfigError(
                "--mapped is for one pooled tap, without --prepare, and heads that train by epochs: linear, mlp, "
                "residual or py:…"
            )
        return config.mapped
    if attends:
        return False
    try:
        rows, width = features.mapped(None, *_mapped_choice(choices[0], config)).shape
    except ConfigError:
        return False  # reading it says what is wrong
    n_bytes = 4 * rows * width * len(choices)
    if n_bytes < MAPPED_FROM * available_bytes():
        return False
    if can and by_epochs:
        progress.say(f"{n_bytes / 1e9:,.1f} GB of features stay on disk, and are read batch by batch")
        return True
    progress.say(
        f"warning: {n_bytes / 1e9:,.1f} GB of features may not fit into memory; --head linear reads them from disk"
    )
    return False


def _mapped_choice(choice: tuple[Any, Any], config: FitConfig) -> tuple[Any, Any, Any]:
    tap, backbone = choice
    return tap, config.label, backbone


def choose_views(fit: Fit, progress: Progress) -> TrainViews | None:
    """The views to draw in training; None: there are none, or none are wanted, or the head has no epochs."""
    config, train = fit.config, fit.data.parts["train"]
    if not config.views or len(fit.data.refs) > 1 or is_ragged(fit.data.refs[0].tap):
        return None
    refs = views_of(fit.features, fit.data.refs[0])
    if not refs:
        return None
    heads = heads_of(config)
    if not any(getattr(head_class(head, fit.data.kind), "trains_by_epochs", False) for head in heads):
        progress.say(
            f"the set has {len(refs)} views of this feature; a {' or '.join(heads)} head is fitted on the plain one "
            "alone (--head linear draws views)"
        )
        return None
    if fit.preparation or not isinstance(train.X, np.ndarray):
        why = "--prepare" if fit.preparation else "features that stay on disk"
        progress.say(f"the set has {len(refs)} views of this feature; with {why} only the plain one is used")
        return None
    views = gather_views(fit.features, refs, fit.data.refs[0], train, progress)
    if views:
        progress.say(
            f"each epoch shows a train sample plain or in one of {len(views)} views, drawn at random"
        )
    return views or None


def load_libraries(config: FitConfig, kind: LabelKind) -> None:
    """What training imports, so that its time and memory are those of training."""
    if any(getattr(head_class(head, kind), "computes_in_torch", False) for head in heads_of(config)):
        import torch  # noqa: F401
