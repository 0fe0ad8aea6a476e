"""Views of training samples: which a set has of a feature, and their features when an epoch draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.backbones.pooling import is_ragged
from headstart.cache.store import Cache
from headstart.fitting.grids import heads_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.cache.space import Space
    from headstart.config import FitConfig
    from headstart.contracts import Head, Progress
    from headstart.samples import LabelledSamples
    from headstart.types import FeatureRef, Json


class TrainViews(Sequence["NDArray[np.float32]"]):
    """Features of the views of some samples, (N, D) each, gathered when they are asked for.

    A sample that lacks a view, because it failed or came later, has its plain feature of ``rows`` there.
    """

    def __init__(self, refs: Sequence[FeatureRef], spaces: Sequence[Space], rows: LabelledSamples) -> None:
        self.names = [str(ref.view) for ref in refs]
        self._spaces = spaces
        self._rows = rows
        self._keys = keys_from_arrow(rows.table.column("key"))
        self.n_lacking = sum(int((~space.held(self._keys)).sum()) for space in spaces)

    @property
    def report(self) -> dict[str, Json]:
        """Which views they are, and for how many rows of them the plain feature stands in."""
        return {"names": self.names, "n_plain_instead": self.n_lacking}

    def __len__(self) -> int:
        return len(self._spaces)

    def __getitem__(self, index: Any) -> Any:
        space = self._spaces[index]
        held = space.held(self._keys)
        features: NDArray[np.float32] = self._rows.X.copy()
        features[held] = space.gather(self._keys[held]).values
        return features


def choose_views(
    config: FitConfig,
    features: FeatureSet,
    train: LabelledSamples,
    heads: Sequence[Head],
    progress: Progress,
) -> Sequence[NDArray[np.float32]]:
    """The views to draw in training; none if there are none, or none are wanted, or no head draws them."""
    if not config.views or len(train.features) > 1 or is_ragged(train.feature.tap):
        return ()
    refs = views_of(features, train.feature)
    if not refs:
        return ()
    if not any(head.takes_views for head in heads):
        names = " or ".join(heads_of(config))
        progress.say(
            f"the set has {len(refs)} views of this feature; a {names} head is fitted on the plain one "
            "alone (--head linear draws views)"
        )
        return ()
    if config.prepare or not isinstance(train.X, np.ndarray):
        why = "--prepare" if config.prepare else "features that stay on disk"
        progress.say(f"the set has {len(refs)} views of this feature; with {why} only the plain one is used")
        return ()
    views = gather_views(features, refs, train, progress)
    if views:
        progress.say(
            f"each epoch shows a train sample plain or in one of {len(views)} views, drawn at random"
        )
    return views


def views_of(features: FeatureSet, plain: FeatureRef) -> list[FeatureRef]:
    """What the set calls views of a feature."""
    names = features.views(plain.tap, plain.backbone)
    return [features.feature(plain.tap, plain.backbone, name) for name in names]


def gather_views(
    features: FeatureSet, refs: Sequence[FeatureRef], train: LabelledSamples, progress: Progress
) -> TrainViews:
    """The views of train samples, but for those whose recipe differs in more than the view.

    Such a view is left from an earlier extraction, with another prompt or image size.
    """
    cache = Cache(str(features.cache))
    plain = cache.open_space(train.feature.space).recipe
    spaces = {ref: cache.open_space(ref.space) for ref in refs}
    differing = {ref: spaces[ref].recipe.differences(plain) for ref in refs}
    fitting = [ref for ref in refs if all(name.partition(".")[0] == "view" for name in differing[ref])]
    if len(fitting) < len(refs):
        left_out = ", ".join(str(ref.view) for ref in refs if ref not in fitting)
        progress.say(f"views that were extracted otherwise than the plain feature are left out: {left_out}")
    views = TrainViews(fitting, [spaces[ref] for ref in fitting], train)
    if views.n_lacking:
        progress.say(
            f"{views.n_lacking:,} times a train sample lacks a view, and its plain feature stands in for it"
        )
    return views
