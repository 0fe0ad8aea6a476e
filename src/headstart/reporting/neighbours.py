"""The training samples that are nearest to those of a page: what a prediction was most likely learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.heads.neighbours import nearest
from headstart.heads.rows import mean_of
from headstart.keys import ranks
from headstart.reporting.arrays import encoded_numbers, encoded_rows
from headstart.reporting.budget import MOST_PAIRS, first_seen
from headstart.samples import ChosenRows
from headstart.types import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Progress
    from headstart.heads.neighbours import Neighbours
    from headstart.reporting.samples import PageSamples
    from headstart.reporting.vectors import Vectors
    from headstart.types import Json

    Rows = NDArray[np.int64]

N_NEIGHBOURS = 5


@dataclass(frozen=True)
class NearTrain:
    """Of m samples of a page the k nearest of train, by their places on it: (m,), (m, k) and (m, k)."""

    rows: Rows
    near: Rows
    cosine: NDArray[np.float64]

    def of(self, places: Rows) -> Rows:
        """The nearest of those of some samples (p,) of which they are known, one after the other."""
        order = np.argsort(self.rows)
        at = np.searchsorted(self.rows[order], places).clip(max=len(self.rows) - 1)
        found: Rows = self.near[order[at]][self.rows[order[at]] == places]
        return found

    def to_json(self) -> dict[str, Json]:
        """As the page has it."""
        return {
            "rows": encoded_rows(self.rows),
            "near": encoded_rows(self.near),
            "cosine": encoded_numbers(self.cosine),
        }


def known(samples: PageSamples, vectors: Vectors, near: Neighbours) -> NearTrain:
    """What an audit of all vectors says of those samples that are on a page; of those that are near, too."""
    places, held = vectors.of(samples)
    on_page = np.full(len(vectors.rows), -1, dtype=np.int64)
    on_page[held.rows] = places
    row, cosine = (part[held.rows, :N_NEIGHBOURS] for part in (near.row, near.cosine))
    found = np.where(row < 0, -1, on_page[row])
    return NearTrain(places, found, np.where(found < 0, np.nan, cosine))


def searched(
    samples: PageSamples, vectors: Vectors, first: Rows, notes: list[str], progress: Progress
) -> NearTrain | None:
    """The nearest training samples of the ``first`` samples, and of all others as far as there is time for them."""
    places, held = vectors.of(samples)
    is_train = samples.splits[places] == SPLITS.index("train")
    train = np.flatnonzero(is_train)
    k = min(N_NEIGHBOURS, len(train) - 1)
    if k < 1:
        return None
    has = np.full(len(samples), -1, dtype=np.int64)
    has[places] = np.arange(len(places))
    most = max(MOST_PAIRS // len(train), 1)
    asked = first_seen([has[first], np.arange(len(places))])[:most]
    if len(asked) < len(places):
        notes.append(
            f"nearest training samples are known of {len(asked):,} of {len(places):,} samples, first of those to look "
            "at"
        )
    progress.say(f"looking for the nearest training samples of {len(asked):,} samples …")
    own = np.full(len(places), -1, dtype=np.int64)
    own[train] = np.arange(len(train))
    among = ChosenRows(held, train)
    rank = ranks(samples.keys[places[train]])
    found = nearest(ChosenRows(held, asked), among, k, mean_of(among), own[asked], rank)
    near = np.where(found.row < 0, -1, places[train[found.row]])
    return NearTrain(places[asked], near, np.where(found.row < 0, np.nan, found.cosine))
