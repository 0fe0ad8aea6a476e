"""From rows to features: payloads read ahead in threads, batches of equal length, one forward pass."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import BackboneError, SampleError, StorageError
from headstart.keys import key_of
from headstart.pooling import display_tap, layers_of, pool
from headstart.types import Failure

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from headstart.contracts import FrozenModel
    from headstart.extraction.plan import ExtractionPlan
    from headstart.types import StoredDtype

READ_AHEAD = 4  # batches that wait for the model; more would only cost memory
WINDOW = 16_384  # samples that are sorted by length together, and so held in memory together
TEXTS_A_CALL = 256  # a fast tokenizer works on many texts at once
NOT_FINITE = "the backbone gave NaN or infinity"
GIVE_UP_AFTER = 16  # samples without one finite feature, and nothing held yet
FLOAT16_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class Computed:
    """What one batch gave.

    Parameters
    ----------
    features : list of (rows, values), one a tap
        The rows that gave a finite feature, of shape (n,), and the features, of shape (n, D).
    failures : list of (row, reason, permanent, tap)
        The samples that gave none; the tap is its number, or None where the sample could not be read.
    n_rows : int
        The samples of the batch, good and bad.
    """

    features: list[tuple[NDArray[np.int64], NDArray[Any]]]
    failures: list[tuple[int, str, bool, int | None]]
    n_rows: int


class Extractor:
    """Runs a frozen model over rows of a plan.

    Parameters
    ----------
    plan : ExtractionPlan
    model : FrozenModel
    stored : {"float16", "float32"}
    batch_size : int, optional
        None: what the model says is best on its device.
    has_worked : bool
        The model has given finite features before, which may not be committed yet.
    """

    def __init__(
        self,
        plan: ExtractionPlan,
        model: FrozenModel,
        stored: StoredDtype,
        batch_size: int | None = None,
        has_worked: bool = False,
    ) -> None:
        self._plan = plan
        self._model = model
        self._stored = np.dtype(stored)
        self._batch_size = batch_size or model.batch_size
        self._layers = layers_of(plan.taps)
        self._is_image = plan.source.modality in ("image", "image-text")
        self._has_worked = has_worked
        self._n_finite = self._n_not_finite = 0
        self._threads = ThreadPoolExecutor(_n_cores(), thread_name_prefix="headstart-read")

    def close(self) -> None:
        """Stop the reading threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def run(self, rows: NDArray[np.int64]) -> Iterator[Computed]:
        """Compute the features of rows, batch by batch, in whatever order is fastest."""
        read = self._image_batches if self._is_image else self._text_batches
        for start in range(0, len(rows), WINDOW):
            for batch_rows, prepared in read(rows[start : start + WINDOW]):
                yield self._compute(batch_rows, prepared)

    def _image_batches(self, rows: NDArray[np.int64]) -> Iterator[tuple[list[int], list[Any]]]:
        """Batches in the order of the rows; reading and decoding run ahead of the model."""
        waiting: deque[tuple[list[int], list[Future[list[Any]]]]] = deque()
        for start in range(0, len(rows), self._batch_size):
            batch = [int(row) for row in rows[start : start + self._batch_size]]
            waiting.append((batch, [self._threads.submit(self._prepare, [row]) for row in batch]))
            if len(waiting) > READ_AHEAD:
                yield _resolved(waiting.popleft())
        while waiting:
            yield _resolved(waiting.popleft())

    def _text_batches(self, rows: NDArray[np.int64]) -> Iterator[tuple[list[int], list[Any]]]:
        """Batches of about equal length, longest first, so that too little memory shows at once."""
        chunks = [
            [int(row) for row in rows[start : start + TEXTS_A_CALL]]
            for start in range(0, len(rows), TEXTS_A_CALL)
        ]
        prepared = [part for parts in self._threads.map(self._prepare, chunks) for part in parts]
        lengths = [0 if isinstance(part, SampleError) else self._model.length(part) for part in prepared]
        order = np.argsort(lengths, kind="stable")[::-1]
        for start in range(0, len(order), self._batch_size):
            chosen = order[start : start + self._batch_size]
            yield [int(rows[i]) for i in chosen], [prepared[i] for i in chosen]

    def _prepare(self, rows: Sequence[int]) -> list[Any]:
        payloads: list[Any] = []
        for row in rows:
            try:
                payloads.append(self._payload(row))
            except SampleError as error:
                # It could be read when it was scanned: a disk or a mount may come back.
                payloads.append(TransientError(str(error)))
        good = [payload for payload in payloads if not isinstance(payload, SampleError)]
        prepared = iter(self._model.prepare(good) if good else [])
        return [p if isinstance(p, SampleError) else next(prepared) for p in payloads]

    def _payload(self, row: int) -> Any:
        payload = self._plan.source.payload(row)
        if key_of(self._plan.source.modality, payload) != self._plan.samples.keys[row].tobytes():
            raise SampleError("it changed while it was being read")
        return payload

    def _compute(self, rows: list[int], prepared: list[Any]) -> Computed:
        failures: list[tuple[int, str, bool, int | None]] = [
            (row, str(part), not isinstance(part, TransientError), None)
            for row, part in zip(rows, prepared, strict=True)
            if isinstance(part, SampleError)
        ]
        usable = [i for i, part in enumerate(prepared) if not isinstance(part, SampleError)]
        if not usable:
            return Computed([], failures, len(rows))
        features = []
        read = np.array([rows[i] for i in usable], dtype=np.int64)
        for tap, values in enumerate(self._forward([prepared[i] for i in usable])):
            finite = np.asarray(np.isfinite(values).all(axis=1))
            self._count(int(finite.sum()), len(finite))
            failures += [(int(row), NOT_FINITE, True, tap) for row in read[~finite]]
            features.append((read[finite], self._cast(values[finite])))
        return Computed(features, failures, len(rows))

    def _count(self, n_finite: int, n: int) -> None:
        """Stop where a backbone gives nothing usable at all, rather than name every sample."""
        self._n_finite += n_finite
        self._n_not_finite += n - n_finite
        if not self._n_finite and self._n_not_finite >= min(GIVE_UP_AFTER, len(self._plan.todo)):
            if self._has_worked or any(len(space) for space in self._plan.spaces):
                return
            raise BackboneError(
                f"the backbone gives NaN or infinity for all of the first {self._n_not_finite} samples; "
                "nothing was stored: try --precision fp32, and check its weights"
            )

    def _forward(self, prepared: list[Any]) -> list[NDArray[np.float32]]:
        import torch

        try:
            activations = self._model.forward(prepared, self._layers)
            return [_to_numpy(pool(activations, tap)) for tap in self._plan.taps]
        except torch.OutOfMemoryError as error:
            raise BackboneError(
                f"out of memory with batches of {len(prepared)}; what was committed is kept: run the "
                f"same command again with --batch-size {max(len(prepared) // 2, 1)}"
            ) from error

    def _cast(self, values: NDArray[np.float32]) -> NDArray[Any]:
        if self._stored == np.float16 and len(values) and float(np.abs(values).max()) > FLOAT16_MAX:
            largest = float(np.abs(values).max())
            taps = ", ".join(display_tap(tap) for tap in self._plan.taps)
            raise StorageError(
                f"a feature of {taps} is {largest:.3g}, more than float16 can hold ({FLOAT16_MAX:g}); "
                "run again with --dtype float32"
            )
        return values.astype(self._stored, copy=False)


class TransientError(SampleError):
    """A sample that could not be read now, and may be readable later."""


def _resolved(waiting: tuple[list[int], list[Future[list[Any]]]]) -> tuple[list[int], list[Any]]:
    rows, futures = waiting
    return rows, [future.result()[0] for future in futures]


def _to_numpy(tensor: torch.Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.float().cpu().numpy())


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def failure_of(plan: ExtractionPlan, row: int, reason: str, permanent: bool, space: str) -> Failure:
    """A failure with the sample's names."""
    table = plan.samples.table
    return Failure(
        id=table.column("id")[row].as_py(),
        origin=table.column("origin")[row].as_py(),
        reason=reason,
        kind="permanent" if permanent else "transient",
        key=plan.samples.keys[row].tobytes().hex(),
        space=space,
    )
