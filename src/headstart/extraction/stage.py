"""extract: run the frozen backbone once over every sample that the cache lacks."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from hashlib import blake2b
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from headstart.backbones import short_name
from headstart.backbones.pooling import choose_taps, display_tap
from headstart.cache.layout import LABEL, check_set_name, set_name_from
from headstart.cache.store import Cache
from headstart.data import open_source
from headstart.data.objects import hold, strings_are_meant
from headstart.data.read_table import stem_of
from headstart.data.streams import STANDARD_INPUT
from headstart.errors import SkippedError
from headstart.extraction.backbone import OpenedBackbone, check_modality
from headstart.extraction.changes import check_changes, check_kinds
from headstart.extraction.commit import commit
from headstart.extraction.corrected import RemainingPayloads, dropped_rows, kept_corrections, reapply
from headstart.extraction.counts import SampleCounts, count_samples
from headstart.extraction.fill import fill, fill_stream
from headstart.extraction.long_texts import LongTexts, ShortTexts, TokenCounter, check_on_long, long_of
from headstart.extraction.plan import (
    permanent_failures,
    plan_extraction,
    plan_for_spaces,
    samples_with_views,
)
from headstart.extraction.samples import FailureLimit, register
from headstart.extraction.timings import Timings
from headstart.network import forbid_network
from headstart.ray_cluster import check_installed
from headstart.remote.addresses import is_remote, plain_address

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headstart.cache.corrections import Correction
    from headstart.cache.sets import FeatureSet
    from headstart.config import ExtractConfig
    from headstart.contracts import Payloads, Progress, Source
    from headstart.extraction.fill import FillResult
    from headstart.extraction.plan import ExtractionPlan
    from headstart.extraction.samples import Samples
    from headstart.types import Failure, Json, LabelKind, Modality

IN_MEMORY = "samples"
"""What the names of sets begin with whose data was in memory; a digest of it follows."""
_MARKS = re.compile(r"\[[^]]*\]|[*?]")  # of a pattern of files
_NUMBERS = re.compile(r"[-_.]?\{[^{}]*\}")  # the braces of a pattern of tars


@dataclass(frozen=True, slots=True)
class ExtractionResult:
    """A set, and what it took to make it."""

    features: FeatureSet
    n_samples: int
    n_computed: int
    failures: list[Failure]  # samples without the features asked for: one per sample and space
    seconds: float  # wall time of the stage
    timings: Timings | None = None  # None if nothing was computed
    n_unlabelled: Mapping[str, int] = field(default_factory=dict)  # by label column
    counts: Mapping[str, SampleCounts] = field(default_factory=dict)  # what became of all, by backbone
    ignored: Mapping[str, int] = field(default_factory=dict)  # what the data holds beside samples, by reason
    long: Mapping[str, LongTexts] = field(default_factory=dict)  # by backbone, of those that read texts

    def then(self, later: ExtractionResult) -> ExtractionResult:
        """This and what another backbone made of the same samples afterwards."""
        timings = [part.timings for part in (self, later) if part.timings is not None]
        return replace(
            later,
            n_computed=self.n_computed + later.n_computed,
            failures=[*self.failures, *later.failures],
            counts={**self.counts, **later.counts},
            timings=reduce(Timings.joined, timings) if timings else None,
            long={**self.long, **later.long},
        )

    @property
    def n_skipped(self) -> int:
        """Samples that lack at least one of the features asked for."""
        return len({(failure.id, failure.origin) for failure in self.failures})

    @property
    def n_found(self) -> int:
        """Samples that the data holds, those among them that could not be read."""
        return max((counts.found for counts in self.counts.values()), default=self.n_samples)


def extract(config: ExtractConfig, progress: Progress) -> ExtractionResult:
    """Run each frozen backbone once over every sample that the cache lacks."""
    start = perf_counter()
    if config.offline:
        forbid_network()
    if config.cluster is not None:
        check_installed()
    config, name = _named(config)
    cache = Cache(config.cache)
    modality = _modality(config, cache, progress)
    source = open_source(config.data, config.source_options(), modality, config.given())
    progress.say(source.description)
    config = config.for_passages() if source.are_passages else config
    backbones = [(part, _open(part, source, cache, progress)) for part in config.each_backbone()]
    counters = _counters(config, backbones)
    if counters:
        source = ShortTexts(source, counters, refuses=config.on_long == "refuse")
    scan = None if source.streams else _scan(source, cache, config, name, progress)
    if scan is not None:
        name, found = scan.name, scan.found
    else:
        found = cache.find_set(name) if name else None
        if found is not None and not config.replace:
            check_kinds(found, source)
    results: list[ExtractionResult] = []
    for number, (part, opened) in enumerate(backbones):
        if number:  # the features of the first are there, and stay
            part = part.model_copy(update={"replace": False, "drop_corrections": False})
        failed = permanent_failures(None if config.retry_failed else found)
        if scan is None:
            corrections = kept_corrections(found, part.drop_corrections)
            filled = _extract_stream(part, source, opened, failed, corrections, progress)
        else:
            filled = _extract_missing(part, scan, opened, failed, progress)
        filled = _count_long(filled, progress)
        cache.prepare()
        if counters:
            counters[number].keep(filled.plan.spaces)
        name = name or name_of_content(filled.plan.samples, source.modality, *config.backbones)
        features, failures = commit(name, part, source, opened, filled, progress)
        opened.release()
        found = features
        results.append(_result(part, source, features, filled, failures, perf_counter() - start))
    if isinstance(source, ShortTexts) and source.left_out:
        progress.say(source.left_out)
    return reduce(ExtractionResult.then, results)


def _named(config: ExtractConfig) -> tuple[ExtractConfig, str | None]:
    """The name of the set, None where only its content says it; what can be read only once has been read."""
    if isinstance(config.data, str | os.PathLike):
        return config, set_name(config.set, config.data, *config.backbones)
    config = config.model_copy(update={"data": hold(config.data, config.layout)})
    return config, check_set_name(config.set) if config.set else None


def _counters(
    config: ExtractConfig, backbones: Sequence[tuple[ExtractConfig, OpenedBackbone]]
) -> list[TokenCounter]:
    """Who counts the tokens of texts before any is computed, where long ones are left out or refused."""
    for _, opened in backbones:
        check_on_long(config.on_long, opened.info)
    asked = backbones if config.on_long in ("skip", "refuse") else []
    return [TokenCounter(opened, part) for part, opened in asked]


def _count_long(filled: FillResult, progress: Progress) -> FillResult:
    """Say how many texts are longer than the backbone takes."""
    found = long_of(filled.plan)
    if found is not None and found.is_worth_saying:
        progress.say(str(found))
    return replace(filled, long=found)


def _result(
    config: ExtractConfig,
    source: Source,
    features: FeatureSet,
    filled: FillResult,
    failures: list[Failure],
    seconds: float,
) -> ExtractionResult:
    samples = filled.plan.samples
    return ExtractionResult(
        features,
        len(features),
        filled.n_computed,
        failures,
        seconds,
        filled.timings,
        n_unlabelled=_unlabelled(features, samples),
        counts={config.backbone: count_samples(samples, filled.n_computed, failures)},
        ignored=source.ignored,
        long={} if filled.long is None else {config.backbone: filled.long},
    )


def _unlabelled(features: FeatureSet, samples: Samples) -> dict[str, int]:
    """How many samples lack each label; counted without reading what was just written."""
    there = (name for name in features.label_names if LABEL + name in samples.table.column_names)
    return {name: samples.table.column(LABEL + name).null_count for name in there}


def _modality(config: ExtractConfig, cache: Cache, progress: Progress) -> Modality | None:
    """What strings in memory are, texts or paths of images: what the backbone takes. None: the data tells."""
    if isinstance(config.data, str | os.PathLike) or not strings_are_meant(config.data):
        return None
    return OpenedBackbone(config.backbone, config.backbone_options(None), cache, progress).info.modality


def _open(config: ExtractConfig, source: Source, cache: Cache, progress: Progress) -> OpenedBackbone:
    """A backbone, after a look that it takes such samples and has the taps asked for."""
    opened = OpenedBackbone(config.backbone, config.backbone_options(source.modality), cache, progress)
    check_modality(source, opened.info)
    choose_taps(config.taps, opened.info, config.normalize)
    return opened


class _Scan(NamedTuple):
    """The samples of a source, scanned once for all backbones, without those that a correction drops."""

    samples: Samples
    payloads: Payloads
    limit: FailureLimit
    viewed: NDArray[np.bool_] | None  # samples that views are computed of
    name: str  # of the set: that of data in memory says its content
    found: FeatureSet | None  # the set of that name


def _scan(source: Source, cache: Cache, config: ExtractConfig, name: str | None, progress: Progress) -> _Scan:
    limit = FailureLimit.parse(config.max_failures)
    described = source.description
    samples = register(source, cache.keys, progress, limit)
    if source.description != described:  # a folder knows its classes, and what it ignored, after the scan
        progress.say(source.description)
    limit = limit.of(len(samples), samples.failures)
    name = name or name_of_content(samples, source.modality, *config.backbones)
    found = cache.find_set(name)
    earlier = None if config.replace else found
    corrections = kept_corrections(found, config.drop_corrections)
    payloads: Payloads = source
    if earlier is not None:  # which of them a set that is made anew keeps, all of its samples say
        payloads, samples = _without_dropped(source, samples, corrections, source.label_kinds)
        again = reapply(samples.table, corrections, {}, source.label_kinds)
        check_changes(earlier, source, samples.corrected(again.table, again.dropped), progress)
    viewed = samples_with_views(config, samples, source, earlier, corrections)
    return _Scan(samples, payloads, limit, viewed, name, found)


def _without_dropped(
    payloads: Payloads,
    samples: Samples,
    corrections: Sequence[Correction],
    kinds: Mapping[str, LabelKind],
) -> tuple[Payloads, Samples]:
    """Samples without those that corrections drop, of which nothing is computed."""
    dropped = dropped_rows(samples.table, corrections, kinds)
    if not dropped or len(dropped) == len(samples):
        return payloads, samples
    return RemainingPayloads(payloads, len(samples), dropped), samples.corrected(samples.table, dropped)


def _extract_missing(
    config: ExtractConfig,
    scan: _Scan,
    opened: OpenedBackbone,
    failed: frozenset[tuple[str, str]],
    progress: Progress,
) -> FillResult:
    """Compute what is missing of samples that were scanned."""
    plan = plan_extraction(
        opened.cache, config, opened.info, scan.payloads, scan.samples, failed, scan.viewed
    )
    progress.say(f"{plan.summary()} ({plan.description(config.backbone)})")
    filled = fill(plan, opened, config, progress, scan.limit)
    return replace(filled, drift=_drift(filled, opened, progress))


def _extract_stream(
    config: ExtractConfig,
    source: Source,
    opened: OpenedBackbone,
    failed: frozenset[tuple[str, str]],
    corrections: Sequence[Correction],
    progress: Progress,
) -> FillResult:
    """Compute block by block what is missing of a source that can be read only once, in order."""
    several = config.workers is not None and config.workers > 1
    if several or config.cluster is not None:
        option = f"--engine {config.engine}" if config.cluster is not None else f"--workers {config.workers}"
        progress.say(f"a stream is read once, in order: one process extracts it, and {option} is left aside")
    first: ExtractionPlan | None = None

    def plan_block(part: Payloads, samples: Samples) -> ExtractionPlan:
        nonlocal first
        part, samples = _without_dropped(part, samples, corrections, source.label_kinds)
        if first is None:  # it chooses precision and spaces for all
            first = plan_extraction(opened.cache, config, opened.info, part, samples, failed)
            progress.say(f"a stream, extracted block by block ({first.description(config.backbone)})")
            return first
        # The same spaces: opened anew, each would read its whole index again for every block.
        return plan_for_spaces(part, samples, first.spaces, config.format, first.why, failed, first.views)

    limit = FailureLimit.parse(config.max_failures)
    return fill_stream(source, opened.cache.keys, plan_block, lambda: opened, config, progress, limit)


def _drift(filled: FillResult, opened: OpenedBackbone, progress: Progress) -> dict[str, dict[str, Json]]:
    """By space: how far int8 moved the features, measured whenever some were computed."""
    plan = filled.plan
    if plan.precision != "int8" or filled.timings is None:
        return {}
    from headstart.extraction.drift import measure_drift

    found = measure_drift(opened, plan.source, plan.samples, plan.taps, plan.precision, progress)
    for tap, drift in found.items():
        progress.say(f"int8 against fp32 at {display_tap(tap)}: {drift}")
    plain = dict(zip(plan.taps, plan.spaces, strict=False))
    return {plain[tap].id: {"drift": drift.entry(plan.precision)} for tap, drift in found.items()}


def check_strict(config: ExtractConfig, done: ExtractionResult) -> None:
    """Under ``strict``, say with an error of its own that samples were skipped.

    Raises `SkippedError` if samples were skipped; everything else is kept.
    """
    if config.strict and done.failures:
        first = done.failures[0]
        raise SkippedError(
            f"{done.n_skipped:,} samples were skipped, the first: {first.id}: {first.reason}; "
            f"all are named in {done.features.path / 'failures.jsonl'}"
        )


def set_name(asked: str | None, data: Any, *backbones: str) -> str:
    """The name that was asked for, else one after the data and the backbones.

    Raises `ConfigError` if the name that was asked for cannot be a set's.

    Examples
    --------
    >>> set_name(None, "hf:PolyAI/banking77", "timm:resnet50.a1_in1k")
    'banking77-resnet50.a1_in1k'
    >>> set_name(None, "data/train-{000..012}.tar", "timm:resnet50"), set_name(None, "data/*.csv.gz", "timm:resnet50")
    ('train-resnet50', 'data-resnet50')
    """
    if asked:
        return check_set_name(asked)
    if isinstance(data, str) and data.startswith("hf:"):
        stem = short_name(data)
    elif isinstance(data, str | os.PathLike):
        path = Path(plain_address(os.fspath(data))) if is_remote(data) else Path(data).resolve()
        if os.fspath(data) == STANDARD_INPUT:
            path = Path("stdin")
        elif set(path.name) & set("*?["):
            path = Path(_MARKS.sub("", stem_of(path.name)).strip("-_.") or path.parent.name)
        stem = path.name if path.is_dir() else stem_of(path.name)
        stem = _NUMBERS.sub("", stem)
    else:
        stem = IN_MEMORY
    return set_name_from("-".join([stem, *map(short_name, backbones)]))


_STEMS = {
    "image": "images",
    "text": "texts",
    "text-pair": "text-pairs",
    "image-text": "image-texts",
    "words": "sentences",
}


def name_of_content(samples: Samples, modality: Modality, *backbones: str) -> str:
    """The name of a set of samples in memory: after what they are, so that others never come under the same name."""
    digest = blake2b(samples.keys.tobytes(), digest_size=4).hexdigest()
    return set_name_from("-".join([_STEMS[modality], digest, *map(short_name, backbones)]))
