"""audit: what the features alone say against a data set: wrong labels, duplicates, leaks, outliers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator

from headstart.arrow import codes_by_name, keys_from_arrow
from headstart.backbones.pooling import display_tap, is_ragged
from headstart.cache.store import Cache
from headstart.config import Config
from headstart.errors import ConfigError, DataError
from headstart.heads.design import Design
from headstart.heads.neighbours import Neighbours, nearest
from headstart.heads.ridge_path import ridge_path
from headstart.heads.rows import Chosen, mean_of
from headstart.inspection.duplicates import Pairs, crossing, groups_of, pairs_above
from headstart.inspection.label_errors import LabelErrors, find_label_errors, require_cleanlab
from headstart.inspection.outliers import neighbour_distance, robust_z
from headstart.keys import ranks
from headstart.options import Range
from headstart.tasks import open_task
from headstart.types import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.reading.mapped import MappedFeatures
    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress

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
    cache: str | None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Leaks:
    """Rows outside train that have a near-duplicate in train, and what they are worth.

    Parameters
    ----------
    pairs : dict of str to Pairs
        By split, ``test`` and ``validation``: a row of the set, and its nearest in train.
    metric : str
        accuracy, micro_f1 or r2; empty: there are no labels to measure with.
    figures : dict
        By method (``ridge``, ``knn``), the metric on test ``with`` and ``without`` the leaked rows.
    """

    pairs: dict[str, Pairs]
    metric: str
    figures: dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found; what was not looked for is None. Rows are those of ``samples``.

    Parameters
    ----------
    samples : MappedFeatures
        N samples of all splits that have the feature.
    column : str or None
        The label column; None: the set has none.
    groups : ndarray of int64, shape (N,), optional
        Which group of near-duplicates each row is in; -1: none.
    outliers : ndarray of int64, shape (M,), optional
        The farthest first.
    distance, z : ndarray of float64, shape (N,), optional
        Mean distance to the ten nearest, and how many robust deviations that is above the median.
    """

    config: AuditConfig
    samples: MappedFeatures
    column: str | None
    labels: LabelErrors | None
    duplicates: Pairs | None
    groups: NDArray[np.int64] | None
    leaks: Leaks | None
    outliers: NDArray[np.int64] | None
    distance: NDArray[np.float64] | None
    z: NDArray[np.float64] | None
    seconds: dict[str, float]


class _Watch:
    """Says what is being done, and how long it took."""

    def __init__(self, progress: Progress) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    def run(self, name: str, what: str, work: Callable[[], Any]) -> Any:
        self._progress.say(f"{what} …")
        start = perf_counter()
        result = work()
        self.seconds[name] = perf_counter() - start
        return result


def audit(config: AuditConfig, progress: Progress) -> Audit:
    """Look for wrong labels, near-duplicates, leaks and outliers; nothing is written, no backbone is loaded.

    Raises
    ------
    MissingDependencyError
        Wrong labels are looked for, and cleanlab is not installed.
    DataError
        The set has fewer than two samples with this feature.
    """
    features = Cache(config.cache).open_set(config.set, config.digest)
    checks = config.checks or CHECKS
    column = _label_column(features, config, progress)
    if "labels" in checks and column and open_task(features.label_kinds[column]).has_names:
        require_cleanlab()
    tap = config.tap or _pooled_tap(features, config.backbone)
    samples = features.mapped(None, tap, column, config.backbone)
    if len(samples) < 2:
        raise DataError(
            f"set {features.name!r} has {len(samples)} samples with this feature; an audit needs two"
        )
    feature = samples.feature
    progress.say(f"{len(samples):,} samples at {feature.backbone} {display_tap(feature.tap)}")
    watch = _Watch(progress)
    labels = duplicates = groups = leaks = outliers = distance = z = None
    centre = mean_of(samples)
    rank = ranks(keys_from_arrow(samples.table.column("key")))
    if "labels" in checks and column:
        labels = watch.run("labels", "looking for wrong labels", lambda: _wrong_labels(samples, rank))
    if {"duplicates", "outliers"} & {*checks}:
        near = watch.run(
            "neighbours", "comparing all samples", lambda: _all_neighbours(samples, centre, rank)
        )
        if "duplicates" in checks:
            duplicates = pairs_above(near, config.threshold)
            groups = groups_of(duplicates, len(samples))
        if "outliers" in checks:
            distance = neighbour_distance(near)
            z = robust_z(distance)
            outliers = np.lexsort((rank, -z))[: int((z > config.outlier_z).sum())]
    if "leaks" in checks:
        leaks = watch.run("leaks", "comparing test with train", lambda: _leaks(samples, config, centre, rank))
    return Audit(
        config, samples, column, labels, duplicates, groups, leaks, outliers, distance, z, watch.seconds
    )


def splits_of(samples: MappedFeatures) -> NDArray[np.int8]:
    """The split of each sample, as an index into ``SPLITS``."""
    codes: NDArray[np.int8] = codes_by_name(samples.table.column("split"), SPLITS, np.int8)
    return codes


def _pooled_tap(features: FeatureSet, backbone: str | None) -> str | None:
    """The latest tap with one vector a sample; None: there is none, which reading it says."""
    fitting = (ref for ref in features.features if ref.view is None and backbone in (None, ref.backbone))
    return next((display_tap(ref.tap) for ref in fitting if not is_ragged(ref.tap)), None)


def _label_column(features: FeatureSet, config: AuditConfig, progress: Progress) -> str | None:
    if features.label_names or config.label:
        return features.label_column(config.label)
    progress.say(f"set {features.name!r} has no labels: they are not examined, nor what leaks are worth")
    return None


def _wrong_labels(samples: MappedFeatures, rank: NDArray[np.int64]) -> LabelErrors:
    rows = np.flatnonzero(open_task(samples.kind).known(samples.y))
    if len(rows) < 2:
        return LabelErrors(rows[:0], samples.y[:0], np.empty(0))
    found = find_label_errors(Chosen(samples, rows), samples.y[rows], samples.kind, rank[rows])
    return LabelErrors(rows[found.row], found.suggested, found.score)


def _all_neighbours(
    samples: MappedFeatures, centre: NDArray[np.float64], rank: NDArray[np.int64]
) -> Neighbours:
    n = len(samples)
    return nearest(samples, samples, min(N_NEIGHBOURS, n - 1), centre, np.arange(n), rank)


def _leaks(
    samples: MappedFeatures, config: AuditConfig, centre: NDArray[np.float64], rank: NDArray[np.int64]
) -> Leaks:
    """Train is searched for each row of the other splits: its nearest of all may lie in its own split."""
    splits = splits_of(samples)
    train = np.flatnonzero(splits == SPLITS.index("train"))
    pairs: dict[str, Pairs] = {}
    for split in ("test", "validation"):
        rows = np.flatnonzero(splits == SPLITS.index(split))
        if len(rows) and len(train):
            near = nearest(Chosen(samples, rows), Chosen(samples, train), 1, centre, rank=rank[train])
            found = crossing(near, config.threshold)
            pairs[split] = Pairs(rows[found.first], train[found.second], found.cosine)
    has_label = open_task(samples.kind).known(samples.y)
    test = np.flatnonzero((splits == SPLITS.index("test")) & has_label)
    known = train[has_label[train]]
    if len(test) == 0 or len(known) < 2:
        return Leaks(pairs, "", {})
    is_leaked = np.isin(test, pairs["test"].first)
    worth = _worth(samples, known, test, is_leaked, centre, rank)
    return Leaks(pairs, open_task(samples.kind).indicator_score, worth)


def _worth(
    samples: MappedFeatures,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    is_leaked: NDArray[np.bool_],
    centre: NDArray[np.float64],
    rank: NDArray[np.int64],
) -> dict[str, dict[str, float]]:
    """The metric of ridge and of the nearest neighbours, on test with and without what leaked."""
    task = open_task(samples.kind)
    targets = task.indicators(samples.y[train], len(samples.names))
    true = task.indicators(samples.y[test], len(samples.names))
    X, X_test = Chosen(samples, train), Chosen(samples, test)
    design = Design.standardised(X)
    near = nearest(X_test, X, 1, centre, rank=rank[train])
    predicted = {
        "ridge": ridge_path(design, targets).predict(replace(design, X=X_test)),
        "knn": targets[near.row[:, 0]],
    }
    return {
        name: {
            "with": task.score(true, said),
            "without": task.score(true[~is_leaked], said[~is_leaked]),
        }
        for name, said in predicted.items()
    }
