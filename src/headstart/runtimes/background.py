"""Converting a model beside the work that torch does meanwhile, in a process that ends with the command."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headstart.devices import processor
from headstart.memory import available_bytes
from headstart.runtimes.compiled import CompiledRuntime, open_compiled
from headstart.runtimes.converted import is_faster, proves
from headstart.runtimes.kept import KeptModels, Speed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headstart.backbones import BackboneOptions
    from headstart.contracts import Progress
    from headstart.runtimes.compiled import Layout
    from headstart.runtimes.kept import KeptModel
    from headstart.types import BackboneInfo

WORTH = 60.0
"""Seconds of work that must be left: converting takes 20 s of a core, and saves a third of what is left then."""
ROOM = 6
"""Times the bytes of the weights that must be free: two copies of the model, its graph, and what is written."""
SECONDS_TO_STOP = 5.0


@dataclass(frozen=True, slots=True)
class ConversionTask:
    """What the other process is told, by a pipe."""

    spec: str
    options: BackboneOptions
    info: BackboneInfo
    examples: Sequence[Mapping[str, Any]]  # batches of arrays


@dataclass
class Conversion:
    """The conversion of one backbone, for the taps of one piece of work."""

    spec: str
    options: BackboneOptions
    info: BackboneInfo
    taps: Sequence[str]
    n_bytes: int  # of the weights
    progress: Progress
    kept: KeptModels = field(default_factory=KeptModels)
    is_asked_for: bool = False  # by the user, slower or not
    _process: subprocess.Popen[bytes] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether a process was started."""
        return self._process is not None

    @property
    def is_under_way(self) -> bool:
        """Whether it still works."""
        return self._process is not None and self._process.poll() is None

    @property
    def refusal(self) -> str:
        """Why there is no converted model; empty where it is of no interest."""
        return self.kept.refusal(self.info) or ""

    @property
    def is_proved(self) -> bool:
        """Whether there is a converted model that was shown to give the taps as torch does."""
        return self._proved() is not None

    def pays(self, seconds_left: float) -> bool:
        """Whether there is work enough left, and memory."""
        is_worth = seconds_left > WORTH and available_bytes() > ROOM * self.n_bytes
        return (
            is_worth and self.kept.find(self.info) is None
        )  # one that is there, and not used, is so for a reason

    def begin(self, examples: Sequence[Mapping[str, Any]]) -> None:
        """Start to convert; ``examples`` are batches of tensors on the CPU."""
        self.progress.say(f"converting {self.spec} for openvino beside the work; the next run starts with it")
        arrays = [{name: part.numpy() for name, part in batch.items()} for batch in examples]
        self._process = _start()
        task = ConversionTask(self.spec, self.options, self.info, arrays)
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it died at once: there will be no model
            pickle.dump(task, self._process.stdin)
            self._process.stdin.flush()

    def ready(self, layout: Layout) -> CompiledRuntime | None:
        """The converted model where it is asked for, or is the faster one here; None: there is none yet."""
        found = self._proved()
        if found is None or not (self.is_asked_for or is_faster(found)):
            return None
        try:
            return open_compiled(found, self.taps, layout)
        except Exception:  # a file is damaged, or this OpenVINO refuses it: it can be made anew
            self.kept.drop(found.path)
            return None

    def open(self, layout: Layout) -> CompiledRuntime | None:
        """The converted model for the taps; None: there is none that gives them."""
        found = self._proved()
        return None if found is None else open_compiled(found, self.taps, layout)

    def refuse(self, reason: str) -> None:
        """Never use the converted model."""
        self.kept.refuse(self.info, reason)

    def remember(self, speed: Speed) -> None:
        """Keep how fast it is here."""
        if found := self.kept.find(self.info):
            found.remember_speed(processor().id, speed)

    def _proved(self) -> KeptModel | None:
        found = self.kept.find(self.info)
        return found if found is not None and proves(found, self.taps) else None

    def stop(self) -> None:
        """End the process: the command does not wait for it."""
        if self._process is None:
            return
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(SECONDS_TO_STOP)
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()


def _start() -> subprocess.Popen[bytes]:
    path = os.pathsep.join(part or os.getcwd() for part in sys.path)
    return subprocess.Popen(
        [sys.executable, "-m", "headstart.runtimes.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        process_group=0,  # Ctrl-C is for us
    )
