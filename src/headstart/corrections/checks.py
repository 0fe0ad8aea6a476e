"""Whether a new label can be one of its sample."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from headstart.cache.layout import CONTEXT, LABEL
from headstart.data.answers import misplaced
from headstart.errors import DataError
from headstart.tasks import USUAL, open_task
from headstart.tasks.schemes import scheme_of
from headstart.types import Answer

if TYPE_CHECKING:
    from headstart.cache.corrections import Correction, Sample
    from headstart.cache.sets import FeatureSet


def check_label(
    row: Correction, features: FeatureSet, places: Mapping[Sample, list[int]], place: str
) -> None:
    """Refuse a label that its sample cannot have: as many tags as words, answers where they stand, a text to write.

    Raises
    ------
    DataError
    """
    if row.action != "relabel":
        return
    problem = _CHECKS.get(open_task(features.label_kinds.get(row.label, USUAL)).form, _nothing)(
        row, features, places
    )
    if problem:
        raise DataError(f"{place}: the new label of {row.id!r} {problem}")


def _nothing(row: Correction, features: FeatureSet, places: Mapping[Sample, list[int]]) -> str | None:
    return None


def _tags(row: Correction, features: FeatureSet, places: Mapping[Sample, list[int]]) -> str | None:
    tags, names = json.loads(row.new), features.label_names[row.label]
    n_words = _n_tags(row, features, places)
    if n_words is not None and len(tags) != n_words:
        return f"has {len(tags):,} tags, and the sample {n_words:,} words; give one for each"
    before, after = scheme_of(names), scheme_of([*names, *tags])
    if before is not None and (after is None or after.name != before.name):
        strange = next(tag for tag in tags if scheme_of([*names, tag]) is None or tag not in names)
        return (
            f"has the tag {strange!r}, which is not {before.name.upper()} as the others of {row.label!r} are"
        )
    return None


def _n_tags(row: Correction, features: FeatureSet, places: Mapping[Sample, list[int]]) -> int | None:
    """How many words a sample has, as its tags say; None if it has none."""
    at = places.get(row.sample)
    tags = features.samples.column(LABEL + row.label)[at[0]].as_py() if at else None
    return None if tags is None else len(tags)


def _spans(row: Correction, features: FeatureSet, places: Mapping[Sample, list[int]]) -> str | None:
    at = places.get(row.sample)
    if not at or CONTEXT not in features.samples.column_names:
        return None
    context = features.samples.column(CONTEXT)[at[0]].as_py() or ""
    problem = misplaced([Answer(**answer) for answer in json.loads(row.new)], context)
    return f"does not fit: {problem}" if problem else None


def _texts(row: Correction, features: FeatureSet, places: Mapping[Sample, list[int]]) -> str | None:
    return None if json.loads(row.new) else "holds no text; write one at least"


_CHECKS = {"tags": _tags, "spans": _spans, "texts": _texts}
"""By the form of the targets."""
