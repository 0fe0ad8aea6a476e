"""The other runtime's ceiling: OpenVINO's own queue over batches in memory."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import headstart as hs
from headstart.runtimes.compiled import outputs_of
from headstart.runtimes.library import openvino


class OpenVINOForward:
    """The forward of a backbone that is prepared, in float32, as OpenVINO spreads it over the cores by itself.

    Parameters
    ----------
    backbone : str
    taps : sequence of str
    batches : sequence of mapping of str to array
        By what the model calls its inputs, of which others are left out; the name of a single one does not matter.
    """

    def __init__(self, backbone: str, taps: Sequence[str], batches: Sequence[Mapping[str, Any]]) -> None:
        library = openvino()
        core = library.Core()
        folder = Path(hs.prepare_backbone(backbone).path)
        whole = core.read_model(folder / "model.xml")
        by_name = {name: output for output in whole.outputs for name in output.get_names()}
        model = library.Model([by_name[name] for name in outputs_of(taps, by_name)], whole.get_parameters())
        names = [parameter.get_any_name() for parameter in model.inputs]
        if len(names) == 1:
            batches = [dict(zip(names, batch.values(), strict=True)) for batch in batches]
        self._batches = [{name: batch[name] for name in names} for batch in batches]
        hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
        self._queue = library.AsyncInferQueue(core.compile_model(model, "CPU", hints))

    def run(self) -> float:
        """Seconds of one pass."""
        start = time.perf_counter()
        for batch in self._batches:
            self._queue.start_async(batch, share_inputs=True)
        self._queue.wait_all()
        return time.perf_counter() - start
