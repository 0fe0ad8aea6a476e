"""audit: what the features alone say against a data set: wrong labels, duplicates, leaks, outliers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import AfterValidator

from headstart.arrow import codes_by_name, keys_from_arrow
from headstart.backbones.pooling import display_tap, is_ragged
from headstart.cache.layout import GROUP
from headstart.cache.store import Cache
from headstart.config import Config
from headstart.corrections.apply import correct
from headstart.errors import ConfigError, DataError
from headstart.groups import group_codes
from headstart.heads.neighbours import Neighbours, nearest
from headstart.heads.ridge_path import Design, ridge_path
from headstart.heads.rows import mean_of
from headstart.held_values import Corrections
from headstart.inspection.distances import (
    Pairs,
    crossing,
    groups_of,
    neighbour_distance,
    pairs_above,
    robust_z,
)
from headstart.inspection.label_errors import LabelErrors, find_label_errors, require_cleanlab
from headstart.inspection.words import WordSamples, words_of
from headstart.keys import ranks
from headstart.options import Range
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

CHECKS = ("labels", "duplicates", "leaks", "outliers")
N_NEIGHBOURS = 10


def _known_checks(checks: list[str] | None) -> list[str] | None:
    unknown = [name for name in checks or () if name not in CHECKS]
    if unknown or checks == []:
        raise ConfigError(f"checks: {unknown[0] if unknown else 'none'!r}; choose from: {', '.join(CHECKS)}")
    return checks


class AuditConfig(Config):
    """What `audit` is asked for; without a tap it is the latest with one vector per sample.

    Near-duplicates are told by the cosine of features after the mean of all was subtracted, outliers by robust
    deviations (Iglewicz and Hoaglin 1993).
    """

    function = "audit"
    set: str
    tap: str | None
    backbone: str | None
    label: str | None
    checks: Annotated[list[str] | None, AfterValidator(_known_checks)]
    threshold: Annotated[float, Range(gt=0, le=1)]
    outlier_z: Annotated[float, Range(gt=0)]
    corrections: Corrections
    cache: str | None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Leaks:
    """Rows outside train that have a near-duplicate in train, and what they are worth."""

    pairs: dict[str, Pairs]
    """By split, ``test`` and ``validation``: a row of the set, and its nearest in train."""
    metric: str
    """accuracy, micro_f1 or r2; empty if there are no labels to measure with."""
    figures: dict[str, dict[str, float]]
    """By method (``ridge``, ``knn``), the metric on test ``with`` and ``without`` the leaked rows."""


@dataclass(slots=True)
class Audit:
    """What was found, None where it was not looked for; rows are those of ``samples``."""

    config: AuditConfig
    samples: MappedFeatures | WordSamples
    """N samples of all splits that have the feature; where these are sentences, all words of them that have tags."""
    column: str | None
    """The label column; None if the set has none."""
    labels: LabelErrors | None = None
    duplicates: Pairs | None = None
    groups: Rows | None = None
    """Which group of near-duplicates each row is in, -1 if in none, (N,)."""
    leaks: Leaks | None = None
    grouped_by: str = ""
    shared_groups: dict[str, Rows] | None = None
    """By split, ``test`` and ``validation``: the rows whose group is in train too; None where there are no groups."""
    outliers: Rows | None = None
    """The farthest first."""
    distance: NDArray[np.float64] | None = None
    """Mean distance to the ten nearest, (N,)."""
    z: NDArray[np.float64] | None = None
    """How many robust deviations that is above the median."""
    seconds: dict[str, float] = field(default_factory=dict)


def audit(config: AuditConfig, progress: Progress) -> Audit:
    """Look for wrong labels, near-duplicates, leaks and outliers; no backbone is loaded.

    Nothing is written but the state of the set that corrections lead to, which is examined then.

    Raises
    ------
    MissingDependencyError
        Wrong labels are looked for, and cleanlab is not installed.
    DataError
        The set has fewer than two samples with this feature.
    """
    features = Cache(config.cache).open_set(config.set, config.digest)
    if config.corrections:
        features = correct(features, config.corrections, progress).after
    checks: Sequence[str] = config.checks or CHECKS
    column = _label_column(features, config, progress)
    if "labels" in checks and column and open_task(features.label_kinds[column]).has_names:
        require_cleanlab()
    samples: MappedFeatures | WordSamples
    if column and open_task(features.label_kinds[column]).form == "tags":
        checks = _of_words(config)
        samples = words_of(features, config.tap, column, config.backbone)
    else:
        tap = config.tap or _pooled_tap(features, config.backbone)
        samples = features.mapped(None, tap, column, config.backbone)
    if len(samples) < 2:
        raise DataError(
            f"set {features.name!r} has {len(samples)} samples with this feature; an audit needs two"
        )
    feature = samples.feature
    progress.say(f"{counted(len(samples), 'sample')} at {feature.backbone} {display_tap(feature.tap)}")
    found = Audit(config, samples, column)
    rank = ranks(keys_from_arrow(samples.table.column("key")))
    if "labels" in checks and column:
        with _timed(found, "labels", "looking for wrong labels", progress):
            found.labels = _wrong_labels(samples, rank)
    if isinstance(samples, WordSamples):
        return found
    compared = _Compared(samples, mean_of(samples), rank)
    if {"duplicates", "outliers"} & {*checks}:
        with _timed(found, "neighbours", "comparing all samples", progress):
            near = compared.with_each_other()
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
            found.leaks = _leaks(compared, config.threshold)
            if "group" in features.info["split"]:
                found.grouped_by = features.info["split"]["group"]
                found.shared_groups = _shared_groups(samples)
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


def splits_of(samples: MappedFeatures | WordSamples) -> NDArray[np.int8]:
    """The split of each sample, as an index into ``SPLITS``."""
    codes: NDArray[np.int8] = codes_by_name(samples.table.column("split"), SPLITS, np.int8)
    return codes


@contextmanager
def _timed(found: Audit, name: str, deed: str, progress: Progress) -> Iterator[None]:
    """Say what is being done, and keep how long it took."""
    progress.say(f"{deed} …")
    start = perf_counter()
    yield
    found.seconds[name] = perf_counter() - start


@dataclass(frozen=True, slots=True)
class _Compared:
    """Samples with the mean that they are compared without, and their order where they are equally near."""

    samples: MappedFeatures
    centre: NDArray[np.float64]
    rank: Rows

    def with_each_other(self) -> Neighbours:
        n = len(self.samples)
        k = min(N_NEIGHBOURS, n - 1)
        return nearest(self.samples, self.samples, k, self.centre, np.arange(n), self.rank)

    def nearest(self, rows: Rows, among: Rows) -> Neighbours:
        """The nearest of some rows to each of others."""
        queries, searched = ChosenRows(self.samples, rows), ChosenRows(self.samples, among)
        return nearest(queries, searched, 1, self.centre, rank=self.rank[among])


def _pooled_tap(features: FeatureSet, backbone: str | None) -> str | None:
    """The latest tap with one vector a sample; None if there is none, which reading it says."""
    fitting = (ref for ref in features.features if ref.view is None and backbone in (None, ref.backbone))
    return next((display_tap(ref.tap) for ref in fitting if not is_ragged(ref.tap)), None)


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


def _leaks(compared: _Compared, threshold: float) -> Leaks:
    """Train is searched for each row of the other splits: its nearest of all may lie in its own split."""
    samples = compared.samples
    task, splits = open_task(samples.kind), splits_of(samples)
    rows = {split: np.flatnonzero(splits == code) for code, split in enumerate(SPLITS)}
    pairs: dict[str, Pairs] = {}
    for split in ("test", "validation"):
        if len(rows[split]) and len(rows["train"]):
            found = crossing(compared.nearest(rows[split], rows["train"]), threshold)
            pairs[split] = Pairs(rows[split][found.first], rows["train"][found.second], found.cosine)
    has_label = task.known(samples.y)
    train, test = (rows[split][has_label[rows[split]]] for split in ("train", "test"))
    if len(test) == 0 or len(train) < 2:
        return Leaks(pairs, "", {})
    targets, true = (task.indicators(samples.y[some], len(samples.names)) for some in (train, test))
    design = Design.standardised(ChosenRows(samples, train))
    path = ridge_path(design, targets)
    predicted = {
        "ridge": path.predict(replace(design, X=ChosenRows(samples, test))),
        "knn": targets[compared.nearest(test, train).row[:, 0]],
    }
    clean = ~np.isin(test, pairs["test"].first)
    figures = {
        name: {"with": task.score(true, said), "without": task.score(true[clean], said[clean])}
        for name, said in predicted.items()
    }
    return Leaks(pairs, task.indicator_score, figures)
