"""Trials of a search on the nodes of a cluster: each reads the features from the shared cache, and answers with scores.

No head travels: the one that is chosen is fitted again by the process that asked.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from headstart.cache.store import Cache
from headstart.fitting.data import LabelReader
from headstart.fitting.grids import FEATURES
from headstart.fitting.label_jobs import open_job
from headstart.fitting.search import Candidate, try_all
from headstart.heads import head_class
from headstart.progress import Silence

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import FitConfig
    from headstart.contracts import Progress
    from headstart.fitting.data import FitData
    from headstart.fitting.grids import TapChoice
    from headstart.fitting.search import Tries
    from headstart.fitting.trials import TrialResult
    from headstart.ray_trials import TrialNodes
    from headstart.ray_workplace import Workplace

SETS_HELD = 2
"""Choices of features that a process of a node keeps in memory, for the next trials on them."""


@dataclass(frozen=True, slots=True)
class NodeTrials:
    """Candidates of one head on one choice of features, and what they are fitted on."""

    candidates: Sequence[Candidate]
    config: FitConfig
    asked: bytes
    """The configuration with that choice and label, and where the set lies, pickled: equal for equal features."""


def try_on(nodes: TrialNodes, features: FeatureSet) -> Tries:
    """Like `try_all`, on nodes; those that one path of a head goes along stay together."""

    def tries(
        candidates: Sequence[Candidate],
        config: FitConfig,
        taps: Mapping[TapChoice, FitData],
        progress: Progress,
    ) -> None:
        parts = list(_parts(candidates, nodes.n_at_once))
        tasks = [NodeTrials(part, config, _asked(config, part[0].choice, features)) for part in parts]
        for place, results in nodes.answers(try_part, tasks):
            for candidate, found in zip(parts[place], results, strict=True):
                candidate.results += found
                progress.advance(len(found))

    return tries


def try_part(task: NodeTrials, workplace: Workplace) -> list[list[TrialResult]]:
    """Fit candidates on this node; the results of each, without heads."""
    data, choice = _opened(task.asked), task.candidates[0].choice
    tried = [replace(candidate, results=[]) for candidate in task.candidates]
    try_all(tried, task.config, {choice: data}, Silence())
    return [[replace(one, head=None, guide=None) for one in candidate.results] for candidate in tried]


def _parts(candidates: Iterable[Candidate], n_at_once: int) -> Iterator[list[Candidate]]:
    groups: dict[tuple[str, TapChoice], list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault((candidate.head, candidate.choice), []).append(candidate)
    share = -(-n_at_once // len(groups))
    for group in groups.values():
        goes_along = head_class(group[0].head, group[0].task).path_parameter in group[0].params
        n = 1 if goes_along else min(share, len(group))
        yield from ([group[row] for row in rows] for rows in np.array_split(np.arange(len(group)), n))


def _asked(config: FitConfig, choice: TapChoice, features: FeatureSet) -> bytes:
    tap, backbone = choice
    sweep = {name: values for name, values in config.sweep.items() if name not in FEATURES}
    update = {
        "tap": tap or config.tap,
        "backbone": backbone or config.backbone,
        "sweep": sweep,
        "cache": str(features.cache),
    }
    return pickle.dumps((config.model_copy(update=update), features.name, features.digest))


@lru_cache(maxsize=SETS_HELD)
def _opened(asked: bytes) -> FitData:
    """What is fitted on, read once for all trials of this process."""
    config, name, digest = pickle.loads(asked)  # noqa: S301  from the process that started the search
    features = Cache(config.cache).open_set(name, digest)
    job = open_job(config, config.label, LabelReader(features, [config.label]), False, Silence())
    [data] = job.taps.values()
    return data
