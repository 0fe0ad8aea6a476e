"""Samples that somebody has looked at before: what was kept or left as a note comes last in the queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headstart.corrections.state import places_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.reporting.queues import Queue
    from headstart.reporting.samples import PageSamples

    Rows = NDArray[np.int64]

OF_LABELS = ("mistakes", "label_errors")
"""Queues whose question a kept label answers."""


def kept_rows(samples: PageSamples) -> Rows:
    """The samples whose label somebody kept, by the corrections of their set; sorted."""
    if samples.features is None or samples.label is None:
        return np.empty(0, dtype=np.int64)
    column = samples.label.column
    kept = [row for row in samples.features.corrections if row.action == "keep" and row.label == column]
    places = places_of(samples.table, kept)
    return np.array(sorted(place for some in places.values() for place in some), dtype=np.int64)


def with_kept_last(queue: Queue, kept: Rows) -> Queue:
    """The same queue; samples whose label was kept stand behind the others."""
    if queue.name not in OF_LABELS or not len(kept):
        return queue
    return queue.take(np.argsort(np.isin(queue.rows, kept), kind="stable"))
