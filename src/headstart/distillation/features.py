"""Features as lessons: what a teacher's backbone sees of the train samples, for a student's features to be like."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.backbones.pooling import display_tap
from headstart.cache.store import Cache
from headstart.distillation.asked import check_kind
from headstart.errors import ConfigError, MismatchError
from headstart.heads.rows import moments, standardise
from headstart.keys import first_by_key, search, words
from headstart.samples import SoftTargets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.config import TuneConfig
    from headstart.contracts import Progress
    from headstart.samples import LabelledSamples
    from headstart.types import FeatureRef, Json


def show_features(
    config: TuneConfig, features: FeatureSet, train: LabelledSamples, progress: Progress
) -> tuple[LabelledSamples, dict[str, Json]]:
    """Train samples with the standardised features of a teacher's backbone; and what a report says of them.

    Raises
    ------
    ConfigError
        There is no such set or tap, the features are the student's own, or nothing of the student trains.
    MismatchError
        The set lacks train samples.
    """
    assert config.teacher_features is not None
    check_kind(train.kind)
    if config.strategy == "frozen":
        raise ConfigError(
            "--teacher-features changes the student's features, and --strategy frozen leaves them as they are; "
            "choose another strategy"
        )
    name, _, tap = config.teacher_features.partition(":")
    ref, keys, values = _read(Cache(config.cache).open_set(name), tap or None, features, train)
    everything = train.trained_on
    wanted = keys_from_arrow(everything.table.column("key"))
    rows = first_by_key(keys)
    places, there = search(*words(keys[rows]), wanted)
    if not there.all():
        first = everything.table.column("id")[int(np.flatnonzero(~there)[0])].as_py()
        raise MismatchError(
            f"set {name!r} has no feature of {ref.backbone} at {display_tap(ref.tap)} for {int((~there).sum()):,} of "
            f"{len(there):,} train samples, e.g. {first!r}; extract the same data with --backbone {ref.backbone}"
        )
    found = values[rows[places]]
    shown = standardise(found, *moments(found)).astype(np.float32)
    progress.say(
        f"the student's features learn to be like {found.shape[1]} of {ref.backbone} at {display_tap(ref.tap)}"
    )
    report = {
        "set": name, "backbone": ref.backbone, "tap": display_tap(ref.tap), "space": ref.space,
        "weight": config.feature_weight,
    }  # fmt: skip
    return _with_features(train, shown, config.feature_weight), report


def _read(
    shown: FeatureSet, tap: str | None, features: FeatureSet, train: LabelledSamples
) -> tuple[FeatureRef, NDArray[np.uint8], NDArray[np.float32]]:
    """The teacher's features of all samples of a set: of a tap, or the latest that are not the student's own."""
    own = train.feature
    others = [ref for ref in shown.fitting(tap, None, None) if ref.space != own.space]
    if not others:
        raise ConfigError(
            f"set {shown.name!r} has no {f'feature at {tap}' if tap else 'feature'} besides the student's own; name "
            "another set, or add a teacher's features: headstart extract DATA --set … --backbone …"
        )
    held = shown.rows(None, display_tap(others[0].tap), None, others[0].backbone)
    return others[0], keys_from_arrow(held.table.column("key")), held.X


def _with_features(train: LabelledSamples, shown: NDArray[np.float32], weight: float) -> LabelledSamples:
    """The samples and those without a label, each with its features; without a teacher of logits labels count whole."""
    n, others = len(train), train.unlabelled
    nothing, none = np.zeros((n, max(len(train.names), 1)), dtype=np.float32), np.zeros(n, dtype=bool)
    soft = train.soft or SoftTargets(nothing, train.names, ~none, none)
    if others is not None and others.soft is not None:
        rest = replace(others.soft, features=shown[n:], feature_weight=weight)
        others = replace(others, soft=rest)
    return replace(train, soft=replace(soft, features=shown[:n], feature_weight=weight), unlabelled=others)
