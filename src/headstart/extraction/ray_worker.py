"""An actor of the Ray engine: it loads the backbone once, and computes and commits the rows that it is given."""

from __future__ import annotations

import os
import pickle
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from headstart.cache.memos import IDENTITY
from headstart.errors import BackboneError, HeadstartError, MismatchError, SampleError
from headstart.extraction.claimed import ClaimedExtraction
from headstart.extraction.messages import Advanced, ExitMessage, Failed, Message, Said, encode
from headstart.extraction.writer import ShardWriter
from headstart.keys import key_of
from headstart.progress import Silence
from headstart.ray_cluster import node_name, received

if TYPE_CHECKING:
    from headstart.contracts import FrozenModel, Payloads
    from headstart.extraction.backbone import ModelRecipe
    from headstart.extraction.ray_rows import RowPlan
    from headstart.ray_workplace import Workplace
    from headstart.types import BackboneInfo

LOOK_EVERY = 0.5  # seconds between two looks whether the driver is still there
WORKER, MESSAGE = "worker", "message"


@dataclass(frozen=True, slots=True)
class RayTask:
    """What all workers are told at first."""

    rows: RowPlan
    reader: bytes  # the source, pickled; empty where samples come with their rows
    model: ModelRecipe
    info: BackboneInfo  # what the driver's backbone is
    place: Workplace
    driver: str  # its name in the shared cache, while it still wants results
    batch_size: int | None

    @property
    def is_wanted(self) -> bool:
        """Whether the driver still waits for results, by what it says in the cache: another one knows nothing of it."""
        return self.rows.spaces[0].claims().is_live(self.driver)

    def open_source(self) -> Payloads | None:
        """The means to read samples; None if they come with their rows."""
        source: Payloads | None = pickle.loads(self.reader) if self.reader else None  # noqa: S301  from the driver
        return source


def reason_against(task: RayTask, first: pa.Table) -> str:
    """Why this node cannot work, by a look at its cache, its packages and the first sample; empty if it can."""
    task.place.enter()
    if not task.is_wanted:
        return (
            f"its {task.rows.spaces[0].home.location} is not the cache that this command writes to; let --cache name a "
            "folder that all nodes share"
        )
    return task.place.reason_against() or _reason_against_reading(task, first)


def _reason_against_reading(task: RayTask, first: pa.Table) -> str:
    origin = first.column("origin")[0].as_py()
    try:
        plan = task.rows.of(first, task.open_source())
        payload = plan.source.payload(0)
    except (SampleError, OSError, HeadstartError) as error:
        return f"it cannot read {origin!r} ({error}); put the data where all nodes see it under the same path"
    if key_of(task.rows.modality, payload) != plan.samples.keys[0].tobytes():
        return f"{origin!r} is another file there; put the data where all nodes see it under the same path"
    return ""


class _Collected(Silence):
    """Messages for the driver; work is interrupted once that is gone."""

    def __init__(self, task: RayTask) -> None:
        self.messages: list[Message] = []
        self.n_advanced = 0
        self._task = task
        self._looked = time.monotonic()

    def say(self, message: str) -> None:
        """Keep a line for the user."""
        self.messages.append(Said(f"{message} (node {node_name()})"))
        self.advance(0)

    def advance(self, n: int, work: float | None = None) -> None:
        """Count; and stop where nobody waits any more: what is finished is committed then."""
        self.n_advanced += n
        if time.monotonic() - self._looked >= LOOK_EVERY:
            self._looked = time.monotonic()
            if not self._task.is_wanted:
                raise KeyboardInterrupt


class RayWorker:
    """Called by Ray Data with tables of rows, one after the other; answers with messages, never with vectors."""

    def __init__(self, shared: Any) -> None:
        self._task: RayTask = received(shared)
        self._model: FrozenModel | None = None
        self._source: Payloads | None = None

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Compute and commit rows."""
        progress = _Collected(self._task)
        work = ClaimedExtraction(progress, self._task.batch_size, cores=self._task.place.cores)
        done = self._work(work, rows)
        said = [*progress.messages, Advanced(progress.n_advanced), Failed(work.failures), done]
        messages = [encode(message) for message in said]
        return pa.table({WORKER: [f"{node_name()} {os.getpid()}"] * len(messages), MESSAGE: messages})

    def _work(self, work: ClaimedExtraction, rows: pa.Table) -> ExitMessage:
        stopped: dict[str, Any] = {}
        try:
            if not self._task.is_wanted:
                raise KeyboardInterrupt
            model = self._load()
            plan = self._task.rows.of(rows, self._source)
            for _ in work.run(plan, model, ShardWriter(plan.spaces, plan.shard_format)):
                pass
        except KeyboardInterrupt:
            stopped = {"is_whole": False}
        except Exception as error:
            kind = type(error) if isinstance(error, HeadstartError) else BackboneError
            text = str(error) if isinstance(error, HeadstartError) else f"{type(error).__name__}: {error}"
            stopped = {
                "error_class": kind.__name__,
                "error_text": f"node {node_name()}: {text}",
                "is_whole": False,
            }
        return ExitMessage(work.n_computed, work.timings, **stopped)

    def _load(self) -> FrozenModel:
        """The backbone, once, after a look that it is the driver's."""
        if self._model is None:
            self._task.place.enter()
            self._source = self._task.open_source()
            self._model = _load_model(self._task)
        return self._model


def _load_model(task: RayTask) -> FrozenModel:
    import torch

    from headstart.backbones import open_backbone

    torch.set_num_threads(task.place.cores)
    backbone = open_backbone(task.model.spec, task.model.options)
    now = backbone.resolve()
    if changed := [name for name in IDENTITY if getattr(now, name) != getattr(task.info, name)]:
        raise MismatchError(
            f"refused: {task.model.spec} is another one there than here ({', '.join(changed)} differ); copy the same "
            "files to it, or leave the node out"
        )
    return backbone.load(task.place.device, task.model.precision)
