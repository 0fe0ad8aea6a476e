"""extract: run the frozen backbone once over every sample that the cache lacks."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from headstart.backbones import short_name
from headstart.backbones.pooling import choose_taps, display_tap
from headstart.cache.layout import check_set_name, set_name_from
from headstart.cache.sets import LABEL
from headstart.cache.store import Cache
from headstart.data import open_source
from headstart.errors import SkippedError
from headstart.extraction.commit import Extracted, commit
from headstart.extraction.fill import OpenedBackbone, check_modality, fill
from headstart.extraction.plan import describe_work, failed_for_good, plan_work, samples_with_views
from headstart.extraction.samples import FailureLimit, register
from headstart.extraction.stream import extract_stream
from headstart.extraction.timings import Timings
from headstart.network import forbid_network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headstart.cache.sets import FeatureSet
    from headstart.config import ExtractConfig
    from headstart.contracts import Progress, Source
    from headstart.extraction.fill import Filled
    from headstart.extraction.plan import Work
    from headstart.extraction.samples import Samples
    from headstart.types import Failure, Json, Modality


_NUMBERS = re.compile(r"[-_.]?\{[^{}]*\}")  # the braces of a pattern of tars


def set_name(asked: str | None, data: Any, *backbones: str) -> str:
    """The name that was asked for, else one after the data and the backbones.

    Raises
    ------
    ConfigError
        The name that was asked for cannot be a set's.

    Examples
    --------
    >>> set_name(None, "hf:PolyAI/banking77", "timm:resnet50.a1_in1k")
    'banking77-resnet50.a1_in1k'
    >>> set_name(None, "data/train-{000..012}.tar", "timm:resnet50")
    'train-resnet50'
    """
    if asked:
        return check_set_name(asked)
    if isinstance(data, str) and data.startswith("hf:"):
        stem = short_name(data)
    elif isinstance(data, str | os.PathLike):
        path = Path(data).resolve()
        stem = path.name if path.is_dir() else path.stem
        stem = _NUMBERS.sub("", stem)
    else:
        stem = "samples"
    return set_name_from("-".join([stem, *map(short_name, backbones)]))


@dataclass(frozen=True, slots=True)
class Extraction:
    """A set, and what it took to make it.

    Parameters
    ----------
    features : FeatureSet
    n_samples, n_computed : int
    failures : list of Failure
        Samples without the features asked for: one for each sample and space.
    seconds : float
        Wall time of the stage.
    timings : Timings, optional
        Where the time of the computing went; None: nothing was to compute.
    n_unlabelled : mapping of str to int
        For each label column, how many samples have no label there.
    """

    features: FeatureSet
    n_samples: int
    n_computed: int
    failures: list[Failure]
    seconds: float
    timings: Timings | None = None
    n_unlabelled: Mapping[str, int] = field(default_factory=dict)

    def then(self, later: Extraction) -> Extraction:
        """This and what another backbone made of the same samples afterwards."""
        timings = [part.timings for part in (self, later) if part.timings is not None]
        return Extraction(
            later.features,
            later.n_samples,
            self.n_computed + later.n_computed,
            [*self.failures, *later.failures],
            later.seconds,
            reduce(Timings.joined, timings) if timings else None,
            later.n_unlabelled,
        )

    @property
    def n_skipped(self) -> int:
        """Samples that lack at least one of the features asked for."""
        return len({(failure.id, failure.origin) for failure in self.failures})


def extract(config: ExtractConfig, progress: Progress) -> Extraction:
    """Run each frozen backbone once over every sample that the cache lacks."""
    start = perf_counter()
    if config.offline:
        forbid_network()
    cache = Cache(config.cache)
    name = set_name(config.set, config.data, *config.backbones)
    source = open_source(config.data, config.source_options(), _modality(config, cache, progress))
    progress.say(source.description)
    each = [_open(part, source, cache, progress) for part in config.each_backbone()]
    scan = None if source.streams else _Scan(source, cache, config, name, progress)
    runs: list[Extraction] = []
    for part, opened in each:
        given_up = failed_for_good(None if config.retry_failed else cache.find_set(name))
        if scan is None:
            found = extract_stream(part, source, opened, given_up, progress)
        else:
            found = _extract_all(part, scan, opened, given_up, progress)
        cache.prepare()
        features, failures = commit(cache, name, part, found, progress)
        opened.release()
        filled, seconds = found.filled, perf_counter() - start
        runs.append(
            Extraction(
                features,
                len(found.plan.samples),
                filled.n_computed,
                failures,
                seconds,
                filled.timings,
                _unlabelled(features, found.plan.samples),
            )
        )
    return reduce(Extraction.then, runs)


def _unlabelled(features: FeatureSet, samples: Samples) -> dict[str, int]:
    """How many samples lack each label; counted without reading what was just written."""
    return {name: samples.table.column(LABEL + name).null_count for name in features.label_names}


def _modality(config: ExtractConfig, cache: Cache, progress: Progress) -> Modality | None:
    """What strings in memory are, texts or paths of images: what the backbone takes. None: the data tells."""
    data = config.data
    if isinstance(data, str | os.PathLike) or not len(data) or not isinstance(data[0], str):
        return None
    return OpenedBackbone(config.backbone, config.backbone_options(None), cache, progress).info.modality


def _open(
    config: ExtractConfig, source: Source, cache: Cache, progress: Progress
) -> tuple[ExtractConfig, OpenedBackbone]:
    """A backbone, after a look that it takes such samples and has the taps asked for."""
    opened = OpenedBackbone(config.backbone, config.backbone_options(source.modality), cache, progress)
    check_modality(source, opened.info)
    choose_taps(config.taps, opened.info, config.normalize)
    return config, opened


class _Scan:
    """The samples of a source, scanned once for all backbones."""

    def __init__(
        self, source: Source, cache: Cache, config: ExtractConfig, name: str, progress: Progress
    ) -> None:
        self.source = source
        limit = FailureLimit.parse(config.max_failures)
        said = source.description
        self.samples = register(source, cache.keys, progress, limit)
        if source.description != said:  # a folder knows its classes, and what it ignored, after the scan
            progress.say(source.description)
        self.limit = limit.of(len(self.samples), self.samples.failures)
        self.viewed = samples_with_views(config, self.samples, source, cache.find_set(name))


def _extract_all(
    config: ExtractConfig,
    scan: _Scan,
    opened: OpenedBackbone,
    given_up: frozenset[tuple[str, str]],
    progress: Progress,
) -> Extracted:
    """Compute what is missing of samples that were scanned."""
    source, samples, limit = scan.source, scan.samples, scan.limit
    work = plan_work(opened.cache, config, opened.info, source, samples, given_up, scan.viewed)
    progress.say(f"{work.plan.summary()} ({describe_work(config.backbone, work)})")
    filled = fill(work, opened, config, progress, limit)
    drift = _drift(work, filled, scan, opened, progress)
    return Extracted(source, work.plan, opened.info, filled, drift)


def _drift(
    work: Work, filled: Filled, scan: _Scan, opened: OpenedBackbone, progress: Progress
) -> dict[str, dict[str, Json]]:
    """By space: how far int8 moved the features, measured whenever some were computed."""
    if work.precision != "int8" or filled.timings is None:
        return {}
    from headstart.extraction.drift import measure_drift

    plan = work.plan
    found = measure_drift(opened, scan.source, scan.samples, plan.taps, work.precision, progress)
    for tap, drift in found.items():
        progress.say(f"int8 against fp32 at {display_tap(tap)}: {drift}")
    plain = dict(zip(plan.taps, plan.spaces, strict=False))
    return {plain[tap].id: {"drift": drift.entry(work.precision)} for tap, drift in found.items()}


def check_strict(config: ExtractConfig, done: Extraction) -> None:
    """Under ``strict``, say with an error of its own that samples were skipped.

    Raises
    ------
    SkippedError
        Samples were skipped; everything else is kept.
    """
    if config.strict and done.failures:
        first = done.failures[0]
        raise SkippedError(
            f"{done.n_skipped:,} samples were skipped, the first: {first.id}: {first.reason}; "
            f"all are named in {done.features.path / 'failures.jsonl'}"
        )
