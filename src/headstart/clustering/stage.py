"""cluster: groups among the features of a set, described, and kept as a column of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import keys_from_arrow, names_by_code
from headstart.backbones.pooling import display_tap
from headstart.cache.layout import META
from headstart.cache.store import Cache
from headstart.clustering.column import check_name, keep_column
from headstart.clustering.described import (
    agreement,
    commonest_labels,
    ids_of,
    labels_of,
    marking_words,
    texts_of,
    typical_members,
)
from headstart.clustering.groups import group
from headstart.clusters import Cluster, Clusters
from headstart.heads.units import UnitRows
from headstart.words import counted

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.clustering.config import ClusterConfig
    from headstart.clustering.groups import Grouping
    from headstart.contracts import Progress
    from headstart.types import FeatureRef


def cluster(config: ClusterConfig, progress: Progress) -> Clusters:
    """Group all samples of a set by a feature, whatever their split, and keep the groups as a column.

    Raises
    ------
    ConfigError
        Options do not go together, the feature has several vectors a sample, or the data has such a column.
    DataError
        There are too few samples, or no cluster is found.
    """
    features = Cache(config.cache).open_set(config.set, config.digest)
    check_name(features, config.name)
    feature = features.pooled_feature(config.tap, config.backbone)
    X = features.mapped(None, display_tap(feature.tap), None, feature.backbone)
    grouping = group(UnitRows(X), config.method, config.n_clusters, config.min_size, config.seed, progress)
    names = names_of(grouping.n)
    column = names_by_code(grouping.codes, names)
    notes = list[str]()
    rows = tuple(_described(features, X.table, grouping, names, config, notes, progress))
    labels = labels_of(features, X.table, config.label)
    about = {"method": config.method, "k": grouping.n, "seed": config.seed, "space": feature.space}
    done = keep_column(features, config.name, keys_from_arrow(X.table.column("key")), column, about)
    table = pa.table({**{name: X.table.column(name) for name in ("id", "key", "split")}, "cluster": column})
    n_outside = int((grouping.codes < 0).sum())
    return Clusters(
        done, META + config.name, config.method, _said(features, feature, grouping, config, n_outside), rows, table,
        n_outside, agreement(labels[0], grouping.codes) if labels else {}, grouping.tried, tuple(notes),
    )  # fmt: skip


def names_of(n: int) -> list[str]:
    """Names that sort as the clusters do, and are no numbers, which would be drawn by a colour bar.

    Examples
    --------
    >>> names_of(2), names_of(10)[:2]
    (['c1', 'c2'], ['c01', 'c02'])
    """
    return [f"c{number:0{len(str(n))}d}" for number in range(1, n + 1)]


def _described(
    features: FeatureSet,
    table: pa.Table,
    grouping: Grouping,
    names: Sequence[str],
    config: ClusterConfig,
    notes: list[str],
    progress: Progress,
) -> Iterator[Cluster]:
    members = typical_members(grouping, config.members)
    words = _words(features, table, grouping, config, notes, progress)
    sizes = np.bincount(grouping.codes[grouping.codes >= 0], minlength=grouping.n)
    labels = labels_of(features, table, config.label)
    commonest: list[tuple[Any, Any]] = [(None, None)] * grouping.n
    if labels is not None:
        codes, known = labels
        has_label = np.bincount(grouping.codes[(grouping.codes >= 0) & (codes >= 0)], minlength=grouping.n)
        commonest = [
            (None, None) if code < 0 else (known[code], n / int(n_labelled))
            for (code, n), n_labelled in zip(commonest_labels(codes, grouping.codes), has_label, strict=True)
        ]
    for number, name in enumerate(names):
        label, share = commonest[number]
        yield Cluster(name, int(sizes[number]), ids_of(table, members[number]), words[number], label, share)


def _words(
    features: FeatureSet,
    table: pa.Table,
    grouping: Grouping,
    config: ClusterConfig,
    notes: list[str],
    progress: Progress,
) -> list[tuple[str, ...]]:
    texts, why = texts_of(features, table, config.data, progress) if config.words else (None, None)
    if why:
        notes.append(why)
    if texts is None:
        return [()] * grouping.n
    return marking_words(texts, grouping.codes, grouping.n, config.words)


def _said(
    features: FeatureSet, feature: FeatureRef, grouping: Grouping, config: ClusterConfig, n_outside: int
) -> str:
    n = len(grouping.codes)
    how = "as many as silhouettes say, " if grouping.tried else ""
    outside = f"; {n_outside:,} are in none" if n_outside else ""
    return (
        f"{counted(grouping.n, 'cluster')} ({how}{config.method}) of {counted(n, 'sample')} of set {features.name} by "
        f"{feature.backbone} {display_tap(feature.tap)}{outside}"
    )
