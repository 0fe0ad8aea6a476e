"""extract: run the frozen backbone once over every sample that the cache lacks."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from headstart.cache.store import Cache
from headstart.errors import SkippedError
from headstart.extraction.limit import FailureLimit
from headstart.extraction.samples import register
from headstart.network import forbid_network
from headstart.sources import open_source
from headstart.stages.committing import Extracted, commit
from headstart.stages.computing import OpenedBackbone, check_modality, fill
from headstart.stages.naming import set_name
from headstart.stages.spaces import describe_work, failed_for_good, plan_work
from headstart.stages.streaming import extract_stream

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress, Source
    from headstart.stages.config import ExtractConfig
    from headstart.types import Failure


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
    """

    features: FeatureSet
    n_samples: int
    n_computed: int
    failures: list[Failure]
    seconds: float

    @property
    def n_skipped(self) -> int:
        """Samples that lack at least one of the features asked for."""
        return len({(failure.id, failure.origin) for failure in self.failures})


def extract(config: ExtractConfig, progress: Progress) -> Extraction:
    """Run the frozen backbone once over every sample that the cache lacks."""
    start = perf_counter()
    if config.offline:
        forbid_network()
    cache = Cache(config.cache)
    name = set_name(config.set, config.data, config.backbone)
    source = open_source(config.data, config.source_options())
    progress.say(source.description)
    opened = OpenedBackbone(config.backbone, config.backbone_options(source.modality), cache, progress)
    check_modality(source, opened.info)
    given_up = failed_for_good(None if config.retry_failed else cache.find_set(name))
    run = extract_stream if source.streams else _extract_all
    found = run(config, source, opened, given_up, progress)
    cache.prepare()
    features, failures = commit(cache, name, config, found, progress)
    return Extraction(features, len(found.plan.samples), found.n_computed, failures, perf_counter() - start)


def _extract_all(
    config: ExtractConfig,
    source: Source,
    opened: OpenedBackbone,
    given_up: frozenset[tuple[str, str]],
    progress: Progress,
) -> Extracted:
    """Scan the whole data, then compute what is missing."""
    limit = FailureLimit.parse(config.max_failures)
    said = source.description
    samples = register(source, opened.cache.keys, progress, limit)
    if source.description != said:  # a folder knows its classes, and what it ignored, after the scan
        progress.say(source.description)
    limit = limit.of(len(samples), samples.failures)
    work = plan_work(opened.cache, config, opened.info, source, samples, given_up)
    progress.say(f"{work.plan.summary()} ({describe_work(config.backbone, work)})")
    n_computed, failed = fill(work, opened, config, progress, limit)
    return Extracted(source, work.plan, opened.info, n_computed, failed)


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
