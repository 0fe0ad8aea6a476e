"""Planning an extraction: which spaces are meant, what they hold, what is to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from headstart.augmentation import open_views
from headstart.backbones.freezing import best_precision
from headstart.backbones.pooling import choose_taps, display_tap, stored_as
from headstart.cache.formats import FormatName, shard_format
from headstart.cache.recipe import make_recipe
from headstart.data.splits import TRAIN
from headstart.devices import pick_gpu
from headstart.errors import ConfigError
from headstart.extraction.samples import label_samples
from headstart.keys import ROWS_AT_ONCE, contains, first_occurrences, pack
from headstart.memory import return_freed_memory
from headstart.types import Precision, StoredDtype
from headstart.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headstart.augmentation import View
    from headstart.cache.corrections import Correction
    from headstart.cache.sets import FeatureSet
    from headstart.cache.space import Space
    from headstart.cache.store import Cache
    from headstart.config import ExtractConfig
    from headstart.contracts import Change, Payloads, ShardFormat, Source
    from headstart.extraction.samples import Samples
    from headstart.types import BackboneInfo, Modality

N_UNITS = 256
PLAIN: tuple[View | None, ...] = (None,)
"""No view but the sample as it is."""


@dataclass(frozen=True)
class ExtractionPlan:
    """Which samples to compute for which spaces, all of one precision."""

    source: Payloads
    samples: Samples
    spaces: tuple[Space, ...]  # that of view ``v`` and tap ``t`` is ``spaces[v * len(taps) + t]``
    taps: tuple[str, ...]  # canonical; all of them come out of one forward pass
    shard_format: ShardFormat
    todo: NDArray[np.int64]  # (n,): the rows to compute, one a key, sorted by unit and then by row
    # (n,): the unit of work that each belongs to: its key's bucket, or the block of the data that it is read
    # with. Writers share a space out by claims on units.
    units: NDArray[np.uint8]
    n_unique: int  # how many different keys the samples have
    views: tuple[View | None, ...]  # None is the sample as it is
    wants: NDArray[np.bool_]  # (n, number of views): which views each row to compute lacks
    n_viewed: int = 0  # of how many keys augmented views are computed
    why: str = ""  # why this precision
    n_failed: int = 0  # different samples that failed for good before, and are not tried again

    @property
    def precision(self) -> Precision:
        """What is computed in."""
        return self.spaces[0].recipe.entries["compute"]  # type: ignore[no-any-return]  # JSON

    @property
    def stored(self) -> StoredDtype:
        """What is stored."""
        return self.spaces[0].recipe.entries["stored"]  # type: ignore[no-any-return]  # JSON

    @property
    def in_windows(self) -> bool:
        """Whether texts that are too long for the backbone are read in parts."""
        return "windows" in self.spaces[0].recipe.entries

    @property
    def has_views(self) -> bool:
        """Whether there is more to it than the samples as they are."""
        return self.views != PLAIN

    def views_wanted(self, position: int) -> list[int]:
        """The numbers of the views that a row of ``todo`` lacks."""
        return [0] if len(self.views) == 1 else np.flatnonzero(self.wants[position]).tolist()

    def change(self, position: int, view: int) -> Change | None:
        """What a view does to a row of ``todo``; None: nothing."""
        drawn = self.views[view]
        return None if drawn is None else drawn.change(self.samples.keys[self.todo[position]].tobytes())

    def spaces_of(self, view: int) -> range:
        """The numbers of the spaces that a view fills."""
        return range(view * len(self.taps), (view + 1) * len(self.taps))

    def held(self, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows of ``todo`` have all of the features that they lacked a moment ago, shape (n,)."""
        keys = self.samples.keys[self.todo[positions]]
        held = np.ones(len(positions), dtype=bool)
        for view in range(len(self.views)):
            spaces = [self.spaces[number] for number in self.spaces_of(view)]
            has = np.all([space.held(keys, recent=True) for space in spaces], axis=0)
            held &= has | ~self.wants[positions, view]
        return held

    def summary(self) -> str:
        """What is held and what is to do, in a line."""
        n, todo = len(self.samples), int(self.wants[:, 0].sum())  # the samples as they are come first
        twice = f" ({n - self.n_unique:,} are copies of others)" if n != self.n_unique else ""
        held = self.n_unique - todo - self.n_failed
        failed = f", {self.n_failed:,} failed before" if self.n_failed else ""
        unread = len(self.samples.failures)
        beside = f", {unread:,} more cannot be used" if unread else ""
        return f"{counted(n, 'sample')}{twice}: {held:,} held, {todo:,} to do{failed}{self._views_summary()}{beside}"

    def _views_summary(self) -> str:
        if len(self.views) == 1:
            return ""
        n, todo = len(self.views) - 1, int(self.wants[:, 1:].sum())
        of = "each" if self.n_viewed == self.n_unique else f"the {self.n_viewed:,} to train on"
        shown = "1 view" if n == 1 else f"{n} views"
        return f"; {shown} of {of}: {n * self.n_viewed - todo:,} held, {todo:,} to do"

    def description(self, backbone: str) -> str:
        """Backbone, taps and precision, in a phrase for the user."""
        return f"{backbone}, {', '.join(map(display_tap, self.taps))}, {self.precision}: {self.why}"


def plan_extraction(
    cache: Cache,
    config: ExtractConfig,
    info: BackboneInfo,
    source: Payloads,
    samples: Samples,
    failed_rows: frozenset[tuple[str, str]] = frozenset(),
    viewed: NDArray[np.bool_] | None = None,
) -> ExtractionPlan:
    """Choose taps, precision and spaces, and find what they lack; see `plan_for_spaces`."""
    taps = choose_taps(config.taps, info, config.normalize)
    # Copies of what failed for good count, and the spaces that one failed in do not.
    failed = pack(bytes.fromhex(key) for key in {key for key, _ in failed_rows})
    n_failed = int(contains(failed, samples.keys).sum())
    precision, why = choose_precision(cache, info, taps, config, samples.keys, n_failed)
    views = views_for(config, info, source.modality)
    spaces = spaces_for(cache, info, taps, precision, config.dtype, views)
    return plan_for_spaces(source, samples, spaces, config.format, why, failed_rows, views, viewed)


def plan_for_spaces(
    source: Payloads,
    samples: Samples,
    spaces: Sequence[Space],
    kept_as: FormatName,
    why: str = "",
    failed_rows: frozenset[tuple[str, str]] = frozenset(),
    views: tuple[View | None, ...] = PLAIN,
    viewed: NDArray[np.bool_] | None = None,
) -> ExtractionPlan:
    """Find what at least one of these very spaces lacks.

    ``failed_rows``: key and space of permanent failures of earlier runs, which count as held; ``viewed`` (N,): the
    samples that augmented views are computed of, None for all.
    """
    taps = tuple(str(space.recipe.entries["tap"]) for space in spaces[: len(spaces) // len(views)])
    unique = first_occurrences(samples.keys)
    # The same array where all differ: the spaces know by it what they were asked before.
    keys = samples.keys if len(unique) == len(samples.keys) else samples.keys[unique]
    lacking, failed = _lacking(spaces, keys, failed_rows)
    lacking = lacking.reshape(len(views), len(taps), -1)
    n_viewed = len(unique)
    if viewed is not None:
        meant = contains(samples.keys[viewed], keys)
        lacking[[view is not None for view in views]] &= meant
        n_viewed = int(meant.sum())
    wants: NDArray[np.bool_] = np.any(lacking, axis=1).T  # of a view all taps come out of one pass
    at = np.flatnonzero(np.any(wants, axis=1))
    units = _units(source, samples.keys, unique[at])
    order = np.argsort(units, kind="stable")  # the rows rise as they are
    plan = ExtractionPlan(
        source,
        samples,
        tuple(spaces),
        taps,
        shard_format(kept_as),
        unique[at[order]],
        units[order],
        len(unique),
        views,
        wants[at[order]],
        n_viewed,
        why,
        int((failed.any(axis=0) & ~wants[:, 0]).sum()),
    )
    del lacking, at, units, order, unique, keys
    if len(samples) > ROWS_AT_ONCE:  # not for each small block of a stream
        return_freed_memory()
    return plan


def plan_rows(
    source: Payloads,
    samples: Samples,
    spaces: Sequence[Space],
    rows: NDArray[np.int64],
    view: View | None = None,
) -> ExtractionPlan:
    """A plan that computes these rows, whatever the spaces hold of them; nothing of it is written."""
    taps = tuple(str(space.recipe.entries["tap"]) for space in spaces)
    units, wants = np.zeros(len(rows), dtype=np.uint8), np.ones((len(rows), 1), dtype=bool)
    kept_as, views = shard_format("hdf5"), (view,)
    return ExtractionPlan(source, samples, tuple(spaces), taps, kept_as, rows, units, len(rows), views, wants)


def _lacking(
    spaces: Sequence[Space], keys: NDArray[np.uint8], failed_rows: frozenset[tuple[str, str]]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which keys each space lacks, and which it lacks for good, shape (number of spaces, N) each."""
    lacking = np.empty((len(spaces), len(keys)), dtype=bool)
    failed = np.zeros((len(spaces), len(keys)), dtype=bool)
    for number, space in enumerate(spaces):
        missing = ~space.held(keys, recent=True)
        refused = {bytes.fromhex(key) for key, space_id in failed_rows if space_id == space.id}
        if refused:
            at = np.flatnonzero(missing)
            missing[at] = [keys[row].tobytes() not in refused for row in at]
            failed[number, at] = ~missing[at]
        lacking[number] = missing
    return lacking, failed


def _units(source: Payloads, keys: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The unit of each row: rows that are read together are computed together."""
    if source.rows_per_block is None:
        buckets: NDArray[np.uint8] = keys[rows, 0]
        return buckets
    return (rows // source.rows_per_block % N_UNITS).astype(np.uint8)


def permanent_failures(earlier: FeatureSet | None) -> frozenset[tuple[str, str]]:
    """Key and space of the permanent failures of a set: they count as held until their bytes change."""
    failures = earlier.failures if earlier else []
    return frozenset((f.key, f.space) for f in failures if f.kind == "permanent" and f.space)


def spaces_for(
    cache: Cache,
    info: BackboneInfo,
    taps: Sequence[str],
    precision: Precision,
    dtype: StoredDtype | None,
    views: tuple[View | None, ...] = PLAIN,
) -> list[Space]:
    """The spaces of some views and taps at one precision, in the order of an `ExtractionPlan`.

    What is stored is what was computed, unless the user says otherwise.
    """
    stored: StoredDtype = dtype or ("float32" if precision == "fp32" else "float16")
    entries = [None if view is None else view.entry for view in views]
    return [
        cache.space(make_recipe(info, tap, precision, stored_as(tap, stored), entry))
        for entry in entries
        for tap in taps
    ]


def choose_precision(
    cache: Cache,
    info: BackboneInfo,
    taps: Sequence[str],
    config: ExtractConfig,
    keys: NDArray[np.uint8],
    n_failed: int = 0,
) -> tuple[Precision, str]:
    """The compute precision, and why.

    ``auto`` is the space that already holds most of these samples, if this device can extend it;
    otherwise bf16 on a GPU that has it and fp32 elsewhere. int8 has to be asked for. torch is asked only if
    it matters: samples that were given up (permanent failures) count as held.
    """
    if config.precision != "auto":
        return config.precision, "as asked"
    possible: list[Precision] = [precision for precision in get_args(Precision) if precision != "int8"]
    spaces = {one: spaces_for(cache, info, taps, one, config.dtype) for one in possible}
    cache.home.list_shards([space.shards_dir for some in spaces.values() for space in some])
    held = {
        precision: min(int(space.held(keys, recent=True).sum()) for space in some)
        for precision, some in spaces.items()
    }
    best: Precision = max(held, key=held.__getitem__)
    if held[best] and (held[best] >= len(keys) - n_failed or best == "fp32"):
        return best, f"its space holds {held[best]:,} of these samples"
    gpu = pick_gpu(config.device)
    kind = "cpu" if gpu is None else str(gpu)
    if held[best] and kind.startswith("cuda"):
        return best, f"its space holds {held[best]:,} of these samples"
    if held["fp32"]:
        return "fp32", f"its space holds {held['fp32']:,} of these samples"
    return "fp32" if gpu is None else best_precision(kind), f"the best for {kind}"


def views_for(config: ExtractConfig, info: BackboneInfo, modality: Modality) -> tuple[View | None, ...]:
    """The sample as it is, which is None, and the views that are asked for.

    Raises `ConfigError` if there are no such views of such samples, or this backbone cannot take them; or it is
    said how to change samples, and not how many views.
    """
    if not config.views and (config.augment != "default" or config.view_seed):
        name = "--augment" if config.augment != "default" else "--view-seed"
        raise ConfigError(f"{name} is of views, and none are asked for; say how many with --views")
    if config.views and info.windows and "tokens" in info.windows:
        raise ConfigError(
            "--views changes texts, and an answer would not stand where it stood any more; leave it out of questions "
            "with contexts"
        )
    views = open_views(config.views, config.augment, config.view_seed, modality)
    # A view that the backbone would ignore: its features would be the plain ones under another name.
    if info.code is not None and any(view.hides_tokens for view in views):
        raise ConfigError(
            f"--augment {config.augment} hides tokens of texts, and {info.spec} has no tokens that headstart "
            "could hide; choose --augment py:package.module:function, which changes the texts themselves"
        )
    return (None, *views)


def samples_with_views(
    config: ExtractConfig,
    samples: Samples,
    source: Source,
    earlier: FeatureSet | None,
    corrections: Sequence[Correction] = (),
) -> NDArray[np.bool_] | None:
    """The samples that views are computed of, shape (N,): those of train, as nothing else ever draws one.

    ``samples``: all of the set, among which the splits are made; ``earlier``: what the set was before, in which
    samples keep their splits. None, which is all, where no views are asked for, or there is nothing to train on.
    """
    if not config.views:
        return None
    train = label_samples(samples, source, earlier, config.split_seed, corrections).splits == TRAIN
    return train if train.any() else None
