"""A converted model as OpenVINO runs it: pruned to what some taps need, in as many streams as there are lanes."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from headstart.devices import processor
from headstart.runtimes.kept import DamagedError
from headstart.runtimes.library import openvino, openvino_version
from headstart.runtimes.outputs import mask_of, needed, read

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from headstart.contracts import Batch
    from headstart.runtimes.kept import KeptModel
    from headstart.types import Read, TrialWork

NAME = "openvino"
XML, WEIGHTS = "model.xml", "model.bin"


class Layout(Protocol):
    """How a CPU is used: so many batches at once, each by so many threads."""

    @property
    def lanes(self) -> int:
        """Batches at once."""

    @property
    def threads(self) -> int:
        """Threads of each."""


class Solo:
    """One batch at a time, by one thread."""

    lanes = 1
    threads = 1


def outputs_of(taps: Sequence[str], offered: Collection[str]) -> list[str]:
    """The outputs that taps are read from, each once; masks where the model has them."""
    names = [name for tap in taps for name in needed(tap)]
    masks = [mask for tap in taps if (mask := mask_of(tap)) is not None and mask in offered]
    return list(dict.fromkeys([*names, *masks]))


class CompiledRuntime:
    """A model of OpenVINO over batches of arrays; several threads may run it at once."""

    name = NAME
    works_in_lanes = False
    needs_a_core = False

    def __init__(
        self, compiled: Any, inputs: Sequence[str], outputs: Sequence[str], taps: Sequence[str]
    ) -> None:
        self._compiled = compiled
        self._inputs = frozenset(inputs)
        self._outputs = outputs
        self._taps = taps
        self._own = threading.local()

    def lane(self) -> AbstractContextManager[Any]:
        """Any thread will do: the work is that of OpenVINO's own."""
        return contextlib.nullcontext()

    def place(self, batch: Batch) -> Batch:
        """Batches are on the CPU already."""
        return batch

    def run(self, batch: Batch) -> list[Read]:
        """What each tap reads of a batch of arrays."""
        found = self.outputs(batch)
        return [read(tap, found) for tap in self._taps]

    def outputs(self, batch: Batch) -> dict[str, Any]:
        """All outputs, which the next batch of this thread rewrites."""
        request = getattr(self._own, "request", None)
        if request is None:
            request = self._own.request = self._compiled.create_infer_request()
        given = {name: np.ascontiguousarray(part) for name, part in batch.items() if name in self._inputs}
        results = request.infer(given, share_inputs=True, share_outputs=True)
        return dict(zip(self._outputs, results.to_tuple(), strict=True))

    def trial(self, work: TrialWork) -> Callable[[], Any] | None:
        """Nothing is faster."""
        return None

    def adopt(self, trial: Any) -> str:
        """There was no trial."""
        return ""

    def close(self) -> None:
        """Nothing of the process was changed."""


def open_compiled(kept: KeptModel, taps: Sequence[str], layout: Layout) -> CompiledRuntime:
    """A kept model, compiled for some taps.

    Raises
    ------
    DamagedError
        A file of it is not what was written.
    """
    outputs = outputs_of(taps, kept.manifest["errors"])
    name = _name(outputs, layout)
    with ThreadPoolExecutor(1) as beside:  # the digest of the file takes as long as the import
        reading = beside.submit(kept.compiled, name)
        core = openvino().Core()
        blob = reading.result()
    config = configuration(layout)
    if blob is None:
        compiled = core.compile_model(_pruned(core, kept, outputs), "CPU", config)
        kept.keep_compiled(name, _exported(compiled))
    else:
        compiled = core.import_model(blob, "CPU", config)
    return CompiledRuntime(compiled, kept.manifest["inputs"], outputs, taps)


def configuration(layout: Layout) -> dict[str, Any]:
    """How OpenVINO is to compute: in float32 whatever else the processor has, a stream for each lane."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "THROUGHPUT",
        "NUM_STREAMS": str(layout.lanes),
        "INFERENCE_NUM_THREADS": str(layout.lanes * layout.threads),
        "ENABLE_CPU_PINNING": False,  # readers work beside it
    }


def _pruned(core: Any, kept: KeptModel, outputs: Sequence[str]) -> Any:
    """The model with these outputs alone: whatever no other is computed from goes."""
    whole = core.read_model(kept.read(XML), kept.read(WEIGHTS))
    by_name = {name: output for output in whole.outputs for name in output.get_names()}
    if missing := [name for name in outputs if name not in by_name]:
        raise DamagedError(f"{kept.path} has no output {missing[0]!r}")
    return openvino().Model([by_name[name] for name in outputs], whole.get_parameters())


def _exported(compiled: Any) -> bytes:
    exported = compiled.export_model()
    return exported.getvalue() if isinstance(exported, io.BytesIO) else bytes(exported)


def _name(outputs: Sequence[str], layout: Layout) -> str:
    """What a compiled form is called: after all that it depends on."""
    parts = [openvino_version(), processor().id, layout.lanes, layout.threads, *outputs]
    return blake2b("\0".join(map(str, parts)).encode(), digest_size=8).hexdigest()
