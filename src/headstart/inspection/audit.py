"""audit: what the features alone say against a data set: wrong labels, duplicates, leaks, outliers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.backbones.pooling import display_tap
from headstart.cache.layout import GROUP
from headstart.cache.store import Cache
from headstart.corrections.apply import correct
from headstart.errors import ConfigError, DataError
from headstart.groups import group_codes
from headstart.heads.approximate import Index, Recall, asks_for_an_index, is_worth_an_index, recall_of
from headstart.heads.neighbours import Neighbours, nearest_among, nearest_of, nearest_within
from headstart.heads.ridge_path import Design, ridge_path
from headstart.heads.rows import mean_of
from headstart.inspection.audit_result import CHECKS, Audit, AuditConfig, Leaks, splits_of
from headstart.inspection.distances import (
    Pairs,
    crossing,
    groups_of,
    neighbour_distance,
    pairs_above,
    robust_z,
)
from headstart.inspection.label_errors import LabelErrors, find_label_errors
from headstart.inspection.words import WordSamples, words_of
from headstart.keys import ranks
from headstart.samples import ChosenRows
from headstart.tasks import open_task
from headstart.types import SPLITS
from headstart.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.mapped import MappedFeatures
    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress

    Rows = NDArray[np.int64]

N_NEIGHBOURS = 10


def audit(config: AuditConfig, progress: Progress, judges_leaks: bool = True) -> Audit:
    """Look for wrong labels, near-duplicates, leaks and outliers; no backbone is loaded.

    Nothing is written but the state of the set that corrections lead to, which is examined then. Without
    ``judges_leaks`` leaks are found, and it is not measured what they are worth, which takes as long as all else.

    Raises
    ------
    DataError
        The set has fewer than two samples with this feature.
    """
    features = Cache(config.cache).open_set(config.set, config.digest)
    if config.corrections:
        features = correct(features, config.corrections, progress).after
    checks: Sequence[str] = config.checks or CHECKS
    column = _label_column(features, config, progress)
    samples: MappedFeatures | WordSamples
    if column and open_task(features.label_kinds[column]).form == "tags":
        checks = _of_words(config)
        samples = words_of(features, config.tap, column, config.backbone)
    else:
        feature = features.pooled_feature(config.tap, config.backbone)
        samples = features.mapped(None, display_tap(feature.tap), column, feature.backbone)
    if len(samples) < 2:
        raise DataError(
            f"set {features.name!r} has {len(samples)} samples with this feature; an audit needs two"
        )
    feature = samples.feature
    progress.say(f"{counted(len(samples), 'sample')} at {feature.backbone} {display_tap(feature.tap)}")
    found = Audit(config, samples, column)
    is_approximate = not isinstance(samples, WordSamples) and asks_for_an_index(
        config.neighbours, len(samples), progress
    )
    rank = ranks(keys_from_arrow(samples.table.column("key")))
    if "labels" in checks and column:
        with _timed(found, "labels", "looking for wrong labels", progress):
            found.labels = _wrong_labels(samples, rank)
    if isinstance(samples, WordSamples):
        return found
    compared = _Compared(samples, rank, is_approximate)
    if {"duplicates", "outliers"} & {*checks}:
        with _timed(found, "neighbours", "comparing all samples", progress):
            near = compared.with_each_other()
            if is_approximate:
                found.recall = compared.recall(near)
        found.near_train = compared.near_train
        if "duplicates" in checks:
            found.duplicates = pairs_above(near, config.threshold)
            found.groups = groups_of(found.duplicates, len(samples))
        if "outliers" in checks:
            found.distance = neighbour_distance(near)
            found.z = robust_z(found.distance)
            n_outliers = int((found.z > config.outlier_z).sum())
            found.outliers = np.lexsort((rank, -found.z))[:n_outliers]
    if "leaks" in checks:
        with _timed(found, "leaks", "comparing test with train", progress):
            found.leaks = _leaks(compared, config.threshold, judges_leaks)
            if is_approximate and found.recall is None:
                found.recall = compared.recall_of_leaks()
            if "group" in features.info["split"]:
                found.grouped_by = features.info["split"]["group"]
                found.shared_groups = _shared_groups(samples)
    if found.recall is not None:
        progress.say(f"neighbours are approximate: {found.recall}")
    return found


def _of_words(config: AuditConfig) -> tuple[str, ...]:
    """What of words is examined: their tags."""
    others = [name for name in config.checks or () if name != "labels"]
    if others:
        raise ConfigError(
            f"--checks {others[0]} compares samples with one vector each, and words have one by one; of words the tags "
            "are examined: --checks labels"
        )
    return ("labels",)


def _shared_groups(samples: MappedFeatures) -> dict[str, Rows]:
    """The rows outside train whose group has rows in train."""
    groups, splits = group_codes(samples.table.column(GROUP)), splits_of(samples)
    in_train = np.unique(groups[splits == SPLITS.index("train")])
    shared = np.isin(groups, in_train) & (groups >= 0)
    return {
        split: np.flatnonzero(shared & (splits == SPLITS.index(split))) for split in ("test", "validation")
    }


@contextmanager
def _timed(found: Audit, name: str, deed: str, progress: Progress) -> Iterator[None]:
    """Say what is being done, and keep how long it took."""
    progress.say(f"{deed} …")
    start = perf_counter()
    yield
    found.seconds[name] = perf_counter() - start


class _Compared:
    """Samples that are compared without their mean; ``rank`` (N,) orders those that are equally near.

    ``near_train`` are of each sample the ten nearest in train, (N, 10), once all were compared.
    """

    def __init__(self, samples: MappedFeatures, rank: Rows, is_approximate: bool) -> None:
        self.samples, self._rank, self._is_approximate = samples, rank, is_approximate
        self._centre = mean_of(samples)
        splits = splits_of(samples)
        self.rows = {split: np.flatnonzero(splits == code) for code, split in enumerate(SPLITS)}
        self.near_train: Neighbours | None = None

    def with_each_other(self) -> Neighbours:
        """Of each sample the ten nearest."""
        k, everyone = min(N_NEIGHBOURS, len(self.samples) - 1), np.arange(len(self.samples))
        train = self.rows["train"]
        others = np.setdiff1d(everyone, train, assume_unique=True)
        parts = [some for some in (train, others) if len(some)]
        if self._is_approximate:
            found = [self._search(everyone, part, k) for part in parts]
        else:
            found = self._each_other(parts, k)
        self.near_train = found[0] if len(train) else None
        return nearest_of(found, k, self._rank) if len(found) > 1 else found[0]

    def _each_other(self, parts: Sequence[Rows], k: int) -> list[Neighbours]:
        """Of each sample the nearest in each part of the rows."""
        order, ends = np.concatenate(parts), np.cumsum([0, *map(len, parts)]).tolist()
        stretches = [slice(*ends_of) for ends_of in pairwise(ends)]
        rows = ChosenRows(self.samples, order)
        found = nearest_within(rows, k, stretches, self._centre, self._rank[order])
        places = np.argsort(order)
        return [near.of(places).numbered(order) for near in found]

    def nearest_train(self, rows: Rows, train: Rows) -> Neighbours:
        """The nearest to each of some rows outside train, of some or all of train; at least one."""
        if self.near_train is None or len(train) < len(self.rows["train"]):
            return self._search(rows, train, 1)
        return Neighbours(self.near_train.cosine[rows, :1], self.near_train.row[rows, :1])

    def recall(self, near: Neighbours) -> Recall:
        """Of what `with_each_other` found."""
        everyone = np.arange(len(self.samples))
        return recall_of(near.of, lambda rows: self._exact(rows, everyone, near.row.shape[1]), len(everyone))

    def recall_of_leaks(self) -> Recall | None:
        """Of what `nearest_train` finds for the rows outside train; None if there are none."""
        train = self.rows["train"]
        others = np.setdiff1d(np.arange(len(self.samples)), train, assume_unique=True)
        if not len(train) or not len(others):
            return None
        near = self.nearest_train(others, train)
        return recall_of(near.of, lambda rows: self._exact(others[rows], train, 1), len(others))

    def _search(self, queries: Rows, among: Rows, k: int) -> Neighbours:
        if not self._is_approximate or not is_worth_an_index(len(queries), len(among)):
            return self._exact(queries, among, k)
        index = Index.made(ChosenRows(self.samples, among), centre=self._centre)
        return self._exact(queries, among, k, index)

    def _exact(self, queries: Rows, among: Rows, k: int, index: Index | None = None) -> Neighbours:
        return nearest_among(self.samples, queries, among, k, self._centre, self._rank, index=index)


def _label_column(features: FeatureSet, config: AuditConfig, progress: Progress) -> str | None:
    if features.label_names or config.label:
        return features.label_column(config.label)
    progress.say(f"set {features.name!r} has no labels: they are not examined, nor what leaks are worth")
    return None


def _wrong_labels(samples: MappedFeatures | WordSamples, rank: Rows) -> LabelErrors:
    rows = np.flatnonzero(open_task(samples.kind).known(samples.y))
    if len(rows) < 2:
        return LabelErrors(rows[:0], samples.y[:0], np.empty(0))
    found = find_label_errors(ChosenRows(samples, rows), samples.y[rows], samples.kind, rank[rows])
    return LabelErrors(rows[found.row], found.suggested, found.score)


def _leaks(compared: _Compared, threshold: float, are_judged: bool) -> Leaks:
    """Train is searched for each row of the other splits: its nearest of all may lie in its own split."""
    rows, pairs = compared.rows, dict[str, Pairs]()
    for split in ("test", "validation"):
        if len(rows[split]) and len(rows["train"]):
            found = crossing(compared.nearest_train(rows[split], rows["train"]), threshold)
            pairs[split] = Pairs(rows[split][found.first], found.second, found.cosine)
    if not are_judged:
        return Leaks(pairs, "", {})
    return _judged(compared, pairs)


def _judged(compared: _Compared, pairs: dict[str, Pairs]) -> Leaks:
    """What leaks are worth: figures of two methods on test, with and without the rows that leaked."""
    samples = compared.samples
    task, has_label = open_task(samples.kind), open_task(samples.kind).known(samples.y)
    train, test = (compared.rows[split][has_label[compared.rows[split]]] for split in ("train", "test"))
    if len(test) == 0 or len(train) < 2:
        return Leaks(pairs, "", {})
    targets, true = (task.indicators(samples.y[some], len(samples.names)) for some in (train, test))
    design = Design.standardised(ChosenRows(samples, train))
    path = ridge_path(design, targets)
    predicted = {
        "ridge": path.predict(replace(design, X=ChosenRows(samples, test))),
        "knn": targets[np.searchsorted(train, compared.nearest_train(test, train).row[:, 0])],
    }
    clean = ~np.isin(test, pairs["test"].first)
    figures = {
        name: {"with": task.score(true, said), "without": task.score(true[clean], said[clean])}
        for name, said in predicted.items()
    }
    return Leaks(pairs, task.indicator_score, figures)
