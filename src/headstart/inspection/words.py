"""The words of a set of sentences as samples of their own, to look at their tags one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import column_of, names_by_code
from headstart.cache.layout import LABEL
from headstart.heads.sequences import held_sequences
from headstart.types import FeatureRef

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.mapped import TokenFeatures
    from headstart.cache.sets import FeatureSet
    from headstart.types import LabelKind

WORD = "word"
"""The column with the place of a word in its sentence, from 0."""


@dataclass(frozen=True)
class WordSamples:
    """T words with a tag each, in the order of the sentences: ``X`` (T, D), and ``y`` (T,), places in the names.

    The ``table`` has ``id``, ``key`` and ``split`` of the sentence of each, its `WORD`, and its tag.
    """

    feature: FeatureRef
    table: pa.Table
    X: NDArray[np.float32]
    y: NDArray[np.int64]
    names: tuple[str, ...]
    kind: LabelKind = "single"

    def __len__(self) -> int:
        return len(self.y)

    @property
    def shape(self) -> tuple[int, int]:
        """(T, D)."""
        return self.X.shape[0], self.X.shape[1]

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self.X[rows]
        return found


def words_of(features: FeatureSet, tap: str | None, column: str, backbone: str | None) -> WordSamples:
    """The words of all sentences that have tags, but for those without tokens, which have no feature.

    Raises
    ------
    ConfigError
        The feature has one vector a sample.
    """
    stored: TokenFeatures = features.tokens(None, tap, column, backbone)
    known = np.array([tags is not None for tags in stored.y], dtype=bool)
    sentences = held_sequences(stored)
    owners = np.repeat(np.arange(len(sentences)), sentences.lengths)
    places = np.arange(len(owners)) - sentences.offsets[owners]
    kept = np.flatnonzero(known[owners] & sentences.values.any(axis=1))
    tags = [
        tags if tags is not None else np.full(n, -1)
        for tags, n in zip(stored.y, sentences.lengths, strict=True)
    ]
    y = np.concatenate([np.empty(0, dtype=np.int64), *tags]).astype(np.int64)[kept]
    table = stored.table.select(["id", "key", "split"]).take(column_of(owners[kept]))
    table = table.append_column(WORD, column_of(places[kept]))
    table = table.append_column(LABEL + column, names_by_code(y, stored.names))
    return WordSamples(stored.feature, table, sentences.values[kept], y, tuple(stored.names))
