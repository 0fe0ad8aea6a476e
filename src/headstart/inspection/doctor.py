"""doctor: recompute some samples with the live backbone, and say how far the cache is from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.augmentation import reopen_view
from headstart.backbones.pooling import display_tap
from headstart.cache.imported import SCHEME
from headstart.cache.recipe import make_recipe
from headstart.cache.store import Cache
from headstart.config import DoctorConfig
from headstart.data import open_source
from headstart.errors import ConfigError, DataError
from headstart.extraction.backbone import OpenedBackbone, check_modality, load_model, open_as_described
from headstart.extraction.drift import cosines_of, errors_of
from headstart.extraction.extractor import compute_rows
from headstart.extraction.plan import plan_rows
from headstart.extraction.samples import register
from headstart.keys import contains, first_occurrences
from headstart.network import forbid_network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.augmentation import View
    from headstart.cache.sets import FeatureSet
    from headstart.cache.space import Space
    from headstart.contracts import Progress, Source
    from headstart.extraction.samples import Samples
    from headstart.types import Features, Json

TOLERANCE = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.02, "int8": 0.3}
"""Largest error, as a share of the vector's largest value, of a row that belongs: ten times and more what
devices and libraries differ by, and far below what tells two samples apart."""


@dataclass(frozen=True, slots=True)
class MismatchedRow:
    """A row that is not what the live backbone gives for its sample."""

    id: str
    cosine: float
    error: float
    like: str | None
    """The id of another sample looked at whose feature it is, if there is one."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What was seen of one feature."""

    backbone: str
    tap: str
    space: str
    view: str | None
    """None if it is the plain feature."""
    n: int
    """Samples that were recomputed."""
    cosine_min: float
    """Of the rows in the cache and the live ones."""
    cosine_median: float
    largest_error: float
    """As a share of the largest value of the vector."""
    strangers: tuple[MismatchedRow, ...]
    """Rows that do not belong."""
    differences: dict[str, tuple[Json, Json]]
    """Entries of the recipe in which the live backbone differs, with the value in the cache and now."""
    failures: tuple[str, ...]
    """Samples that could not be recomputed, with the reason."""

    @property
    def healthy(self) -> bool:
        """Whether every row belongs, and the backbone is the one that made it."""
        return not self.strangers and not self.differences


def doctor(config: DoctorConfig, progress: Progress) -> list[Examination]:
    """Recompute random samples of a set, and compare them with what the cache holds; nothing is written.

    Raises
    ------
    DataError
        The data is not where it was, none of the set's samples is in it any more, or none of those chosen
        could be recomputed.
    ConfigError
        There is nothing to recompute them with, or the data is a stream.
    """
    if config.offline:
        forbid_network()
    cache = Cache(config.cache)
    features = cache.open_set(config.set)
    chosen = _chosen_entries(features, config, progress)
    source = _reopen(features, config)
    doctor = _Doctor(config, cache, features, source, register(source, cache.keys, progress), progress)
    return [doctor.examine(*subject) for subject in _reopen_views(chosen, cache, source, progress)]


def _chosen_entries(
    features: FeatureSet, config: DoctorConfig, progress: Progress
) -> list[Mapping[str, Json]]:
    """The features that are asked for, but for imported ones: of those no backbone is known."""
    asked = [entry for entry in features.info["features"] if _is_asked(entry, features, config)]
    live = [entry for entry in asked if not entry["backbone"].startswith(SCHEME)]
    imported = ", ".join(entry["backbone"] for entry in asked if entry not in live)
    if not live:
        raise ConfigError(
            f"the features {imported} of set {features.name!r} were imported, and no backbone is known that "
            "could recompute them; `headstart cache verify` checks that they are what was imported"
        )
    if imported:
        progress.say(f"{imported}: imported, so there is no backbone to compare it with")
    return live


def _is_asked(entry: Mapping[str, Json], features: FeatureSet, config: DoctorConfig) -> bool:
    if config.tap is None and config.backbone is None:
        return True
    wanted = features.feature(config.tap, config.backbone)
    return (entry["backbone"], entry["tap"]) == (wanted.backbone, wanted.tap)


def _reopen(features: FeatureSet, config: DoctorConfig) -> Source:
    """The data of the set, read as it was read then."""
    said = features.info["source"]
    data = config.data or said["location"]
    if data is None:
        raise ConfigError(f"set {features.name!r} was made of samples in memory; pass --data with their file")
    options = config.reading(said["columns"]).source_options(labels=False)
    try:
        source = open_source(data, options, said["modality"])
    except DataError as error:
        raise DataError(f"{error}; pass --data if the data of set {features.name!r} has moved") from error
    if source.streams:
        raise ConfigError(
            f"the data of set {features.name!r} is a stream, of which no sample can be had a second time; "
            "pass --data with a copy on this machine"
        )
    return source


def _reopen_views(
    chosen: Sequence[Mapping[str, Json]], cache: Cache, source: Source, progress: Progress
) -> list[tuple[Mapping[str, Json], Space, View | None]]:
    """Each feature with its space and its view; those whose augmentation is not here are left out, and said."""
    opened: list[tuple[Mapping[str, Json], Space, View | None]] = []
    problems: dict[str, ConfigError] = {}
    for entry in chosen:
        space = cache.open_space(entry["space"])
        said = space.recipe.entries.get("view")
        try:
            view = reopen_view(said, source.modality) if said else None
        except ConfigError as error:
            problems.setdefault(str(error), error)
            continue
        opened.append((entry, space, view))
    if not opened:
        raise next(iter(problems.values()))
    for problem in problems:
        progress.say(f"not every view could be examined: {problem}")
    return opened


@dataclass(frozen=True, slots=True)
class _Doctor:
    """The samples of a set's data, and what recomputes them."""

    config: DoctorConfig
    cache: Cache
    features: FeatureSet
    source: Source
    samples: Samples
    progress: Progress

    def examine(self, entry: Mapping[str, Json], space: Space, view: View | None) -> Examination:
        """Compare a feature with the live one."""
        rows = self._choose(space)
        opened = open_as_described(
            entry, self.source.modality, self.cache, self.progress, self.config.offline
        )
        check_modality(self.source, opened.info)
        live, failed = self._recompute(rows, space, view, opened)
        if not live:
            raise DataError(f"none of the {len(rows):,} samples could be recomputed; the first: {failed[0]}")
        recipe, rows = space.recipe.entries, np.array(list(live))
        now = [np.asarray(vectors, dtype=np.float64) for vectors in live.values()]
        kept = _by_sample(space.gather(self.samples.keys[rows]))
        cosine, error = np.array([_compared(*pair) for pair in zip(now, kept, strict=True)]).T
        now_view = None if view is None else view.entry
        made = make_recipe(opened.info, recipe["tap"], recipe["compute"], recipe["stored"], now_view)
        return Examination(
            backbone=entry["backbone"],
            tap=display_tap(entry["tap"]),
            space=space.id,
            view=entry.get("view"),
            n=len(rows),
            cosine_min=float(cosine.min(initial=1.0)),
            cosine_median=float(np.median(cosine)),
            largest_error=float(error.max(initial=0.0)),
            strangers=self._strangers(rows, kept, now, TOLERANCE[recipe["compute"]]),
            differences=space.recipe.differences(made),
            failures=tuple(failed),
        )

    def _choose(self, space: Space) -> NDArray[np.int64]:
        """Random rows of the data whose samples are in the set and in the space."""
        unique = first_occurrences(self.samples.keys)
        keys = self.samples.keys[unique]
        in_set = contains(keys_from_arrow(self.features.samples.column("key")), keys)
        usable = unique[in_set & space.held(keys)]
        if not len(usable):
            raise DataError(
                f"none of the samples of set {self.features.name!r} with a feature is in its data any more; "
                "pass --data if it has moved"
            )
        return np.sort(np.random.default_rng(self.config.seed).permutation(usable)[: self.config.samples])

    def _recompute(
        self, rows: NDArray[np.int64], space: Space, view: View | None, opened: OpenedBackbone
    ) -> tuple[dict[int, NDArray[Any]], list[str]]:
        """The live feature of each row, (T, D), and what went wrong with the others."""
        plan = plan_rows(self.source, self.samples, [space], rows, view)
        model = load_model(opened, self.config.device, plan.precision)
        self.progress.begin("recomputing", len(rows))
        try:
            [vectors], failures = compute_rows(plan, model, self.progress, self.config.batch_size)
        finally:
            self.progress.end()
        live = {int(rows[position]): found for position, found in vectors.items()}
        return live, [f"{self._id(rows[f.position])}: {f.reason}" for f in failures]

    def _strangers(
        self,
        rows: NDArray[np.int64],
        kept: Sequence[NDArray[Any]],
        now: Sequence[NDArray[Any]],
        bound: float,
    ) -> tuple[MismatchedRow, ...]:
        """The rows that are off by more than the bound, each with the other sample whose feature it is."""
        cosine, error = np.array([_compared(*pair) for pair in zip(now, kept, strict=True)]).T
        found = []
        for place in np.flatnonzero(error > bound).tolist():
            errors = np.array([_compared(other, kept[place])[1] for other in now])
            nearest = int(errors.argmin())
            like = self._id(rows[nearest]) if nearest != place and errors[nearest] <= bound else None
            found.append(
                MismatchedRow(self._id(rows[place]), float(cosine[place]), float(error[place]), like)
            )
        return tuple(found)

    def _id(self, row: np.int64) -> str:
        return str(self.samples.table.column("id")[int(row)].as_py())


def _by_sample(features: Features) -> list[NDArray[Any]]:
    """What is kept of each sample, (T, D): one vector, or one for each token."""
    values = features.values.astype(np.float64)
    if features.offsets is None:
        return list(values[:, None])
    return np.split(values, features.offsets[1:-1])


def _compared(now: NDArray[Any], kept: NDArray[Any]) -> tuple[float, float]:
    """Cosine and error of all vectors of a sample as one; of other numbers of tokens nothing is alike."""
    if now.shape != kept.shape:
        return 0.0, 1.0
    pair = now.reshape(1, -1), kept.reshape(1, -1)
    return float(cosines_of(*pair)[0]), float(errors_of(*pair)[0])
