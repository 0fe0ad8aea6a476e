"""What a cluster is about: its typical members, the words that mark it, and how it agrees with labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import codes_by_name, column_of, mask_of
from headstart.cache.layout import LABEL
from headstart.clustering.groups import NONE
from headstart.data.shown import text_of
from headstart.errors import HeadstartError
from headstart.extraction.read_again import read_again
from headstart.progress import shown
from headstart.tasks import open_task

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.clustering.groups import Grouping
    from headstart.contracts import Progress

    Rows = NDArray[np.int64]

WITH_TEXTS = ("text", "text-pair", "image-text", "words")
"""Modalities whose samples hold words."""


def typical_members(grouping: Grouping, n: int) -> list[Rows]:
    """The rows of each cluster that are nearest to its middle, the nearest first."""
    order = np.lexsort((np.arange(len(grouping.codes)), -grouping.closeness, grouping.codes))
    codes = grouping.codes[order]
    starts = np.searchsorted(codes, np.arange(grouping.n))
    ends = np.searchsorted(codes, np.arange(grouping.n), side="right")
    return [order[start : min(start + n, end)] for start, end in zip(starts, ends, strict=True)]


def texts_of(
    features: FeatureSet, table: pa.Table, data: Any, progress: Progress
) -> tuple[list[str] | None, str | None]:
    """The texts of samples, read again, "" where there is none; or None with the reason."""
    if features.info["source"]["modality"] not in WITH_TEXTS:
        return None, None
    try:
        raw = read_again(features, data, progress)
        is_there = raw.holds(table)
        payload = raw.payloads(table.filter(mask_of(is_there)))
        texts = [""] * table.num_rows
        rows = np.flatnonzero(is_there).tolist()
        with shown(progress, "reading texts", len(rows)):
            for place, row in enumerate(rows):
                texts[row] = text_of(payload(place))
                progress.advance(1)
    except (HeadstartError, OSError) as error:
        return None, f"words are not told, for the data cannot be read again: {error}"
    n_gone = table.num_rows - len(rows)
    return texts, f"{n_gone:,} samples are not in the data any more, and told no words" if n_gone else None


def marking_words(texts: Sequence[str], codes: Rows, n_clusters: int, n_words: int) -> list[tuple[str, ...]]:
    """The words that mark each cluster, the most telling first.

    By how surely the odds of a word are higher in the cluster than in the others: the z-score of the log-odds ratio
    with an informative Dirichlet prior, the shares of all texts, here of one count a word on average (Monroe, Colaresi
    and Quinn 2008, "Fightin' Words"). Words that are common everywhere, such as "the", mark nothing, in any language.

    Examples
    --------
    >>> marking_words(["a red car", "a fast car", "a red apple", "a ripe apple"], np.array([0, 0, 1, 1]), 2, 1)
    [('car',), ('apple',)]
    """
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer()
    try:
        counts = csr_array(counter.fit_transform(texts))
    except ValueError:  # no text has a word of two letters
        return [()] * n_clusters
    known = np.flatnonzero(codes >= 0)
    members = csr_array((np.ones(len(known)), (codes[known], known)), shape=(n_clusters, len(texts)))
    by_cluster = (members @ counts).toarray()
    total = by_cluster.sum(axis=0)
    prior = total * (len(total) / max(total.sum(), 1)) + 1e-9
    inside, outside = by_cluster + prior, total - by_cluster + prior
    odds = [np.log(part / (part.sum(axis=1, keepdims=True) - part)) for part in (inside, outside)]
    weights = (odds[0] - odds[1]) / np.sqrt(1 / inside + 1 / outside)
    words = counter.get_feature_names_out()
    order = np.argsort(-weights, axis=1, kind="stable")[:, :n_words]
    return [
        tuple(str(words[at]) for at in row.tolist() if weights[number, at] > 0)
        for number, row in enumerate(order)
    ]


def labels_of(
    features: FeatureSet, table: pa.Table, label: str | None
) -> tuple[Rows, tuple[str, ...]] | None:
    """The class of each sample, `NONE` for none, and the names; None where labels are no classes, or there are none."""
    if not features.label_names:
        return None
    column = features.label_column(label)
    if open_task(features.label_kinds[column]).form != "classes":
        return None
    names = features.label_names[column]
    return codes_by_name(table.column(LABEL + column), names), names


def agreement(labels: Rows, codes: Rows) -> dict[str, float]:
    """How clusters agree with labels, on samples that have both; nothing where there is none.

    Normalised mutual information (by the arithmetic mean), the adjusted Rand index (Hubert and Arabie 1985), and
    purity: the share of samples that have the commonest label of their cluster.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    both = (labels >= 0) & (codes >= 0)
    if not both.any():
        return {}
    true, said = labels[both], codes[both]
    commonest = sum(count for _, count in commonest_labels(true, said))
    return {
        "n": float(both.sum()),
        "nmi": float(normalized_mutual_info_score(true, said)),
        "ari": float(adjusted_rand_score(true, said)),
        "purity": commonest / len(true),
    }


def commonest_labels(labels: Rows, codes: Rows) -> Iterator[tuple[int, int]]:
    """Of each cluster the commonest label and how many have it; `NONE` and 0 where no sample has a label."""
    for code in range(int(codes.max(initial=NONE)) + 1):
        own = labels[(codes == code) & (labels >= 0)]
        if len(own):
            counts = np.bincount(own)
            yield int(counts.argmax()), int(counts.max())
        else:
            yield NONE, 0


def ids_of(table: pa.Table, rows: Rows) -> tuple[str, ...]:
    """The ids of some rows."""
    return tuple(table.column("id").take(column_of(rows)).to_pylist())
