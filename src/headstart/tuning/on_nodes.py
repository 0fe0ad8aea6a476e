"""Trials of a sweep on the nodes of a cluster: each trains in a folder that all see, and answers with figures."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from headstart.cache.store import Cache
from headstart.progress import Silence
from headstart.tuning.given import GivenSamples, open_samples
from headstart.tuning.search import TuneTrial

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import TuneConfig
    from headstart.contracts import Progress
    from headstart.ray_trials import TrialNodes
    from headstart.ray_workplace import Workplace
    from headstart.tuning.search import Runner


@dataclass(frozen=True, slots=True)
class NodeTrial:
    """A trial, and what it is to be trained on."""

    trial: TuneTrial
    asked: bytes
    """The configuration of the sweep, with the name and the digest of the set, pickled: equal for all its trials."""


def run_on(nodes: TrialNodes, config: TuneConfig, features: FeatureSet, progress: Progress) -> Runner:
    """As many at once as the nodes have room for; one whose node dies goes on, on another, where it was."""
    asked = pickle.dumps((config, str(features.cache), features.name, features.digest))

    def run(trials: Iterable[TuneTrial]) -> Iterator[TuneTrial]:
        sent: list[TuneTrial] = []

        def tasks() -> Iterator[NodeTrial]:
            for trial in trials:
                progress.say(trial.title)
                sent.append(trial)
                yield NodeTrial(trial, asked)

        for place, done in nodes.answers(train_trial, tasks()):
            yield replace(done, config=sent[place].config)

    return run


def train_trial(task: NodeTrial, workplace: Workplace) -> TuneTrial:
    """Train on this node; the trial with its figures, whose weights lie in its folder."""
    import torch

    torch.set_num_threads(workplace.cores)
    trial, (features, samples) = task.trial, _opened(task.asked)
    trial.config = trial.config.model_copy(update={"device": workplace.device, "cache": str(features.cache)})
    trial.run(features, samples.raw, Silence())
    return trial


@lru_cache(maxsize=1)
def _opened(asked: bytes) -> tuple[FeatureSet, GivenSamples]:
    """A set and its samples, which this process reads once for all trials of a sweep."""
    config, cache, name, digest = pickle.loads(asked)  # noqa: S301  from the process that started the sweep
    features = Cache(cache).open_set(name, digest)
    return features, open_samples(config, features, Silence())
