"""search: the samples of a set that are nearest to queries, by their cached features, exactly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import column_of, positions_in
from headstart.backbones.pooling import display_tap
from headstart.data.shown import SOON_READ
from headstart.errors import DataError, HeadstartError, first_line
from headstart.heads.neighbours import nearest
from headstart.retrieval.answers import make_matches
from headstart.retrieval.contents import SampleContents
from headstart.retrieval.filters import rows_where
from headstart.retrieval.queries import given_vectors, samples_like, vectors_in
from headstart.words import counted

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet, HeldSamples
    from headstart.contracts import Progress
    from headstart.heads.neighbours import Neighbours
    from headstart.heads.rows import Rows
    from headstart.matches import Matches
    from headstart.retrieval.options import Asked, SearchOptions
    from headstart.retrieval.queries import Queries


def search(features: FeatureSet, asked: Asked, options: SearchOptions, progress: Progress) -> Matches:
    """Find the samples of a set that are nearest to queries; of samples equally near the first by id comes first.

    Raises
    ------
    ConfigError
        A query cannot be compared with the feature, is empty, or there is no such feature, column or value.
    DataError
        There is no such sample, or none to search among, or a query cannot be read.
    """
    ref = features.pooled_feature(options.tap, options.backbone)
    with ThreadPoolExecutor(
        1
    ) as aside:  # of a million samples the ids take as long as half of what is done meanwhile
        ids = aside.submit(_ids, features) if asked.like else None
        everything = features.held(None, display_tap(ref.tap), ref.backbone)
    everything.space.save_index()
    among = everything.only(_chosen(everything, options))
    if ids is not None:
        queries = samples_like(everything, among, asked.like, ids.result())
    elif (vectors := vectors_in(asked.query)) is not None:
        queries = given_vectors(everything, vectors)
    else:
        from headstart.retrieval.raw_queries import read_raw_queries  # with much that the others do without

        queries = read_raw_queries(everything, asked, options, progress)
    _say(among, queries, options, progress)
    found = _nearest(queries, among, options)
    matches = make_matches(among, found, queries, SampleContents(features, options.data, progress))
    return _with_inputs(matches, features, options, progress)


def _ids(features: FeatureSet) -> pa.ChunkedArray:
    import h5py  # noqa: F401 - shards are read with it, and importing it takes a tenth of a second

    return features.columns(["id"]).column("id")


def _with_inputs(
    matches: Matches, features: FeatureSet, options: SearchOptions, progress: Progress
) -> Matches:
    """The same with a text of each, where that is asked for, or its id says nothing and it is soon read."""
    if options.with_inputs is not None:
        return matches.with_inputs() if options.with_inputs else matches
    if features.info["source"].get("modality") != "text" or len(features) > SOON_READ:
        return matches
    try:
        return matches.with_inputs()
    except (HeadstartError, OSError) as error:
        progress.say(f"texts are not shown: {first_line(error)}")
        return matches


def _chosen(held: HeldSamples, options: SearchOptions) -> NDArray[np.bool_]:
    """Which of the samples that have the feature are searched."""
    features = held.of
    chosen = np.ones(len(held), dtype=np.bool_)
    if options.split is not None:
        chosen &= rows_where(features, {"split": [options.split]})[held.chosen]
    if options.where:
        chosen &= rows_where(features, options.where)[held.chosen]
    if not chosen.any():
        conditions = [f"{column}={' or '.join(values)}" for column, values in options.where.items()]
        if options.split is not None:
            conditions.append(f"split={options.split}")
        raise DataError(f"no sample of set {features.name!r} has {' and '.join(conditions) or 'the feature'}")
    return chosen


def _say(among: HeldSamples, queries: Queries, options: SearchOptions, progress: Progress) -> None:
    ref = among.feature
    progress.say(
        f"{counted(len(queries.names), 'query')} among {counted(len(among), 'sample')} of set {among.of.name}, by "
        f"{'product' if options.score == 'dot' else 'cosine'} of {ref.backbone} at {display_tap(ref.tap)}"
    )
    n_others = len(among) - (1 if (queries.own >= 0).any() else 0)
    if options.score != "dot" and (zero := np.flatnonzero(~np.any(queries.X, axis=1))).size:
        progress.say(
            f"the vector of {queries.names[zero[0]]!r} is all zeros: no sample is nearer to it than another"
        )
    if options.k > n_others:
        progress.say(f"there are {n_others:,} samples to find, fewer than k ({options.k:,}): all are shown")


def _nearest(queries: Queries, among: HeldSamples, options: SearchOptions) -> Neighbours:
    """The nearest samples, by their numbers among those that are searched."""
    stored = among.open(is_ragged=False)
    rows: Rows = stored.in_order
    if queries.part is not None:
        rows = Columns(rows, queries.part)
    own = np.where(queries.own >= 0, stored.ranks[queries.own], -1)
    k = min(options.k, len(among))
    found = nearest(
        queries.X,
        rows,
        k,
        own=own,
        rank=IdOrder(among, stored.order),
        by="product" if options.score == "dot" else "cosine",
    )
    if options.score != "dot":
        np.clip(
            found.cosine, -1, 1, out=found.cosine, where=found.row >= 0
        )  # -inf where there are fewer than k
    found.row[...] = np.where(found.row >= 0, stored.order[found.row], -1)
    return found


@dataclass(frozen=True, slots=True)
class Columns:
    """Some consecutive columns of rows: of pairs those of the image, or of the text."""

    rows: Rows
    part: slice

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return self.rows.shape[0], len(range(self.rows.shape[1])[self.part])

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """Some of the rows."""
        found: NDArray[Any] = self.rows[rows][:, self.part]
        return found


class IdOrder:
    """Says which of some samples comes first by id; nothing is read before it is asked: seldom are two equally near.

    ``order`` are the numbers of the samples among ``held``.
    """

    def __init__(self, held: HeldSamples, order: NDArray[np.int64]) -> None:
        self._held, self._order = held, order
        self._ids: pa.ChunkedArray | None = None

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The place of each by id."""
        import pyarrow.compute as pc

        if len(rows) < 2:
            return np.zeros(len(rows), dtype=np.int64)
        if self._ids is None:
            self._ids = self._held.columns(["id"]).column("id")
        ids = self._ids.take(column_of(self._order[rows]))
        return positions_in(ids, ids.take(pc.sort_indices(ids)))
