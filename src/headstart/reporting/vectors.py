"""The features of a page's samples: which of a set's they are, and where each sample stands among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.backbones.pooling import display_tap, is_ragged
from headstart.errors import HeadstartError
from headstart.samples import ChosenRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from headstart.cache.mapped import MappedFeatures
    from headstart.cache.sets import FeatureSet
    from headstart.reporting.config import ReportConfig
    from headstart.reporting.samples import PageSamples
    from headstart.types import FeatureRef, Json

    Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Vectors:
    """Features of some samples of a set, left on disk.

    ``rows`` are the samples of the set that have one, in its order; ``place`` says which of ``mapped`` is that of each
    sample of the set, -1: it has none.
    """

    feature: FeatureRef
    mapped: MappedFeatures
    rows: Rows
    place: Rows

    @property
    def said(self) -> str:
        """Which features they are, for people."""
        return f"{page_spec(self.feature.backbone)} at {display_tap(self.feature.tap)}"

    def of(self, samples: PageSamples) -> tuple[Rows, ChosenRows]:
        """The places on a page that have a vector, and these vectors."""
        held = self.place[samples.rows]
        places = np.flatnonzero(held >= 0)
        return places, ChosenRows(self.mapped, held[places])


def vectors_of(
    features: FeatureSet, config: ReportConfig, wanted: Mapping[str, Json] | None, notes: list[str]
) -> Vectors | None:
    """The features that a page shows: those asked for, those that a run reads, or the latest.

    ``wanted`` is what ``features.json`` of a run says. None if there are none with one vector a sample, or they cannot
    be read; then the notes say so. Mistyped options are errors.
    """
    feature = _choose(features, config, wanted, notes)
    if feature is None:
        notes.append(
            "the set has no feature with one vector a sample: no map, no neighbours, no audit of samples"
        )
        return None
    tap = display_tap(feature.tap)
    try:
        held = features.held(None, tap, feature.backbone)
        mapped = features.mapped(None, tap, None, feature.backbone)
    except (HeadstartError, OSError) as error:
        notes.append(
            f"the features {page_spec(feature.backbone)} at {tap} cannot be read "
            f"({type(error).__name__}): no map, no neighbours; headstart cache verify says more"
        )
        return None
    rows = np.flatnonzero(held.chosen)
    place = np.full(len(held.chosen), -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    if len(rows) < len(place):
        notes.append(
            f"{len(place) - len(rows):,} of {len(place):,} samples have no feature, and are not on the map"
        )
    return Vectors(feature, mapped, rows, place)


def _choose(
    features: FeatureSet, config: ReportConfig, wanted: Mapping[str, Json] | None, notes: list[str]
) -> FeatureRef | None:
    if config.tap is not None:
        asked = features.feature(config.tap, config.backbone)
        return None if is_ragged(asked.tap) else asked
    pooled = [ref for ref in features.fitting(None, config.backbone, None) if not is_ragged(ref.tap)]
    if config.backbone is not None or wanted is None:
        features.feature(None, config.backbone)  # which says what there is where that is none
        return next(iter(pooled), None)
    parts = wanted.get("parts") or [wanted]
    found = next((ref for ref in pooled if ref.space == parts[0].get("space")), None)
    if found is not None and len(parts) > 1:
        notes.append(
            f"the run reads {len(parts)} features side by side; map and neighbours are by the first, "
            f"{page_spec(found.backbone)} at {display_tap(found.tap)}"
        )
    if found is None and pooled:
        found = pooled[0]
        notes.append(
            "the run's own features are not in the set, such as those of a backbone that was fine-tuned: map and "
            f"neighbours are by the set's {page_spec(found.backbone)} at {display_tap(found.tap)}"
        )
    return found


def page_spec(spec: str) -> str:
    """A backbone as a page names it: of a folder on this machine its last part.

    Examples
    --------
    >>> page_spec("hf:/home/me/models/mine"), page_spec("hf:intfloat/e5-small-v2"), page_spec("timm:resnet50.a1_in1k")
    ('hf:mine', 'hf:intfloat/e5-small-v2', 'timm:resnet50.a1_in1k')
    """
    kind, colon, name = spec.partition(":")
    is_place = name.startswith(("/", "~", ".", "\\")) or name[1:3] in (":\\", ":/")
    if not is_place:
        return spec
    return kind + colon + name.replace("\\", "/").rstrip("/").rpartition("/")[2]
