"""suggest: which samples of train to label next; test and validation are never looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from headstart.arrow import column_of, keys_from_arrow, positions_in
from headstart.cache.store import Cache
from headstart.data.shown import SOON_READ, text_of
from headstart.errors import ConfigError
from headstart.extraction.inputs import inputs_of_set
from headstart.labelling.config import BY_A_HEAD
from headstart.labelling.pool import open_pool
from headstart.labelling.strategies import STRATEGIES
from headstart.labelling.uncertain import Opinions, opinions_of_a_new_head, pool_of_run, spread
from headstart.suggestions import Suggestion, Suggestions
from headstart.words import counted

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress
    from headstart.labelling.config import SuggestConfig
    from headstart.labelling.pool import Pool
    from headstart.labelling.strategies import Ranked
    from headstart.registry.run import Run

    Rows = NDArray[np.int64]


def suggest(config: SuggestConfig, run: Run | None, progress: Progress) -> Suggestions:
    """Choose samples of train without a label that would be worth one.

    Raises
    ------
    ConfigError
        Options do not go together, or labels are of words, answers or texts.
    DataError
        Nothing is unlabelled, or too little is labelled for a head.
    MismatchError
        The run is of another set, or of other features.
    """
    _check(config, run)
    features = Cache(config.cache).open_set(config.set, config.digest)
    opinions: Opinions | None = None
    if run is not None:
        pool, opinions = pool_of_run(features, run, config)
    else:
        pool = open_pool(features, config.label, features.pooled_feature(config.tap, config.backbone))
        opinions = opinions_of_a_new_head(pool, config.seed) if config.needs_head else None
    if opinions is None:
        rows, scores = STRATEGIES[config.strategy](pool, config.most, config.seed)
    else:
        rows, scores = most_doubtful(pool, opinions, config)
    notes = [*pool.left_out(), *_too_few(pool, config, len(rows))]
    for note in notes:
        progress.say(note)
    return _suggestions(pool, config, (rows, scores), opinions, notes)


def _check(config: SuggestConfig, run: Run | None) -> None:
    """Refuse options that do not go together."""
    if run is not None and not config.needs_head:
        raise ConfigError(
            f"--run is for --strategy {' and '.join(BY_A_HEAD)}; {config.strategy} asks no head: leave it out"
        )
    if config.per_class is not None and not config.needs_head:
        raise ConfigError(
            f"--per-class takes so many of each class that a head predicts, and --strategy {config.strategy} asks "
            f"none; choose {' or '.join(BY_A_HEAD)}"
        )
    if run is not None and (config.tap or config.backbone):
        raise ConfigError("--run says which features are read; leave out --tap and --backbone")


def most_doubtful(pool: Pool, opinions: Opinions, config: SuggestConfig) -> Ranked:
    """What a head is least sure of, no two that say the same; of each class that it predicts, where that is asked."""
    doubts = opinions.doubts(config.strategy)
    order = np.argsort(-doubts, kind="stable")
    if config.per_class is None:
        places = spread(pool, order, min(config.most, len(order)))
    else:
        groups = [order[opinions.codes[order] == code] for code in range(len(opinions.classes))]
        chosen = [spread(pool, group, min(config.per_class, len(group))) for group in groups if len(group)]
        places = np.concatenate(chosen)
        places = places[np.argsort(-doubts[places], kind="stable")][: config.most]
    return pool.open[places], doubts[places]


def _too_few(pool: Pool, config: SuggestConfig, n: int) -> Iterator[str]:
    if config.per_class is None and n < config.most:
        yield f"{counted(config.most, 'suggestion')} asked for, and these are all {n:,} that are unlabelled"


def _suggestions(
    pool: Pool, config: SuggestConfig, ranked: Ranked, opinions: Opinions | None, notes: list[str]
) -> Suggestions:
    rows, scores = ranked
    keys = keys_from_arrow(pool.table.column("key"))[rows]
    ids = pool.table.column("id").take(column_of(rows)).to_pylist()
    predicted = [""] * len(rows)
    if opinions is not None:
        by_row = dict(zip(pool.open.tolist(), opinions.predicted, strict=True))
        predicted = [by_row[row] for row in rows.tolist()]
    seen = _seen(pool.features, pool.table.column("id").take(column_of(rows)))
    found = tuple(
        Suggestion(
            id,
            key.tobytes().hex(),
            None if scores is None else float(scores[place]),
            predicted[place],
            seen[place],
        )
        for place, (id, key) in enumerate(zip(ids, keys, strict=True))
    )
    by = f", by {opinions.head}" if opinions is not None else "" if scores is None else f", by {pool.said}"
    said = (
        f"{counted(len(found), 'suggestion')} by {config.strategy} of {len(pool.open):,} unlabelled train samples of "
        f"set {pool.features.name}{by}"
    )
    return Suggestions(
        pool.features.name, pool.features.digest, pool.column, config.strategy, said, found, len(pool.open),
        len(pool.labelled), tuple(notes),
    )  # fmt: skip


def _seen(features: FeatureSet, ids: pa.ChunkedArray) -> list[str]:
    """What people decide by: each text; of a picture, or of what cannot soon be read again, where it comes from."""
    rows = positions_in(ids, features.columns(["id"]).column("id"))
    table = features.take(rows, ["id", "key", "origin"])
    seen = ["" if origin is None else str(origin) for origin in table.column("origin").to_pylist()]
    is_read = features.info["source"].get("modality") != "image" and len(features) <= SOON_READ
    inputs = inputs_of_set(features) if is_read else None  # None: the data has moved, or was in memory
    if inputs is None:
        return seen
    found = inputs.rows_of(table)
    payloads = [None if row < 0 else inputs.payload(row) for row in found.tolist()]
    return [text_of(payload) or origin for payload, origin in zip(payloads, seen, strict=True)]
