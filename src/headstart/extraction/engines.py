"""The engines: in this process, in several of this machine, or on a cluster; which one is meant, and the first of them.

All of them do what `headstart.contracts.Engine` says, and pass `headstart.testing.engine.EngineContract`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headstart.devices import usable_cores
from headstart.errors import ConfigError
from headstart.extraction.claimed import ClaimedExtraction
from headstart.extraction.model import OpenModel, open_model
from headstart.extraction.samples import NO_LIMIT, FailureLimit
from headstart.extraction.workers import WorkersEngine, worker_devices
from headstart.extraction.writer import ShardWriter

if TYPE_CHECKING:
    from headstart.config import ComputeConfig
    from headstart.contracts import Engine, ModelInputs, Progress
    from headstart.extraction.backbone import OpenedBackbone
    from headstart.extraction.plan import ExtractionPlan
    from headstart.extraction.timings import Timings
    from headstart.types import Failure


@dataclass
class LocalEngine:
    """Extracts in this process; the model is loaded for the first plan, and serves those over the same spaces."""

    opened: OpenedBackbone
    config: ComputeConfig
    progress: Progress
    limit: FailureLimit = NO_LIMIT
    keep_open: bool = False
    """Whether shards stay open from plan to plan, until `finish`."""
    load: OpenModel = open_model
    _work: ClaimedExtraction = field(init=False)
    _model: ModelInputs | None = None
    _shards: ShardWriter | None = None

    def __post_init__(self) -> None:
        self._work = ClaimedExtraction(self.progress, self.config.batch_size, self.limit)

    @property
    def n_computed(self) -> int:
        """Of all plans so far."""
        return self._work.n_computed

    @property
    def failures(self) -> list[Failure]:
        """Of all plans so far."""
        return self._work.failures

    @property
    def timings(self) -> Timings | None:
        """Of all plans so far."""
        return self._work.timings

    def run(self, plan: ExtractionPlan) -> None:
        """Compute and commit all that is to do."""
        if self._model is None:
            self._model, self._work.conversion = self.load(self.opened, plan, self.config, self.progress)
        if self._shards is None:
            # After the model: one that cannot be loaded leaves no empty spaces.
            self.opened.prepare(plan.spaces)
            self._shards = ShardWriter(plan.spaces, plan.shard_format)
        for _ in self._work.run(plan, self._model, self._shards, self.keep_open):
            pass

    def finish(self) -> None:
        """Commit what is still open."""
        if self._shards is not None:
            self._shards.commit()


def open_engine(
    n_todo: int,
    opened: OpenedBackbone,
    config: ComputeConfig,
    progress: Progress,
    limit: FailureLimit = NO_LIMIT,
    keep_open: bool = False,
    load: OpenModel = open_model,
) -> Engine[ExtractionPlan]:
    """The engine that is asked for, or that so much work is worth."""
    if config.cluster is not None and not keep_open:
        from headstart.extraction.ray_engine import RayEngine

        if config.runs_with == "openvino":
            raise ConfigError("--runtime openvino uses all cores from one process; leave out --engine")
        return RayEngine(opened, config, config.cluster, progress, limit)
    devices = [] if keep_open else worker_devices(config, n_todo)
    if len(devices) <= 1:
        return LocalEngine(opened, config, progress, limit, keep_open, load)
    if config.runs_with == "openvino":
        raise ConfigError("--runtime openvino uses all cores from one process; leave out --workers")
    return WorkersEngine(progress, opened, devices, usable_cores(), config.batch_size, limit)
