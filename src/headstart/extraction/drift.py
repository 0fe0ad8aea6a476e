"""How far int8 features are from fp32 ones: measured on a sample, and kept with the set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.cache.formats import shard_format
from headstart.extraction.drift_sample import SIZES, choose_sample
from headstart.extraction.extractor import Extractor
from headstart.extraction.fill import load_model
from headstart.extraction.jobs import spaces_for
from headstart.extraction.plan import PLAIN, ExtractionPlan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Payloads, Progress
    from headstart.extraction.drift_sample import DriftSample
    from headstart.extraction.fill import OpenedBackbone
    from headstart.extraction.samples import Samples
    from headstart.types import Json, Precision

FOLDS = 4


@dataclass(frozen=True, slots=True)
class Drift:
    """How far the features of a tap are from what they are in fp32.

    Parameters
    ----------
    n_samples : int
    cosine_mean, cosine_min : float
        Between both vectors of a sample, or of a position where every position is kept.
    largest_error : float
        Of any number of any vector, as a share of the largest value of the fp32 vector.
    accuracy : (float, float), optional
        Of a ridge head in cross-validation over the sample, on fp32 features and on these. None: there are
        too few labels (see `choose_sample`).
    """

    n_samples: int
    cosine_mean: float
    cosine_min: float
    largest_error: float
    accuracy: tuple[float, float] | None

    def __str__(self) -> str:
        """A line for people."""
        heads = ""
        if self.accuracy is not None:
            heads = f"; a head is right on {self.accuracy[1]:.1%} instead of {self.accuracy[0]:.1%}"
        return (
            f"cosine {self.cosine_mean:.4f} ({self.cosine_min:.4f} at least), largest error "
            f"{self.largest_error:.1%} of a vector's largest value{heads} ({self.n_samples} samples)"
        )

    def entry(self, precision: Precision) -> dict[str, Json]:
        """The same as a set says it."""
        accuracy = None
        if self.accuracy is not None:
            accuracy = {"fp32": round(self.accuracy[0], 4), precision: round(self.accuracy[1], 4)}
        return {
            "samples": self.n_samples,
            "cosine": {"mean": round(self.cosine_mean, 4), "min": round(self.cosine_min, 4)},
            "largest_error": round(self.largest_error, 4),
            "head_accuracy": accuracy,
        }


def measure_drift(
    opened: OpenedBackbone,
    source: Payloads,
    samples: Samples,
    taps: Sequence[str],
    precision: Precision,
    progress: Progress,
    n: int | None = None,
) -> dict[str, Drift]:
    """Compute a sample in fp32 and at a precision, on the CPU, and compare.

    Lets go of the model that is loaded, twice: weights that were rounded cannot be made whole again.

    Parameters
    ----------
    opened : OpenedBackbone
    source : Payloads
        Any of its samples must still be there to be read: not a stream that has passed.
    samples : Samples
    taps : sequence of str
        Canonical.
    precision : {"int8", "bf16", "fp16"}
    progress : Progress
    n : int, optional
        How many samples to look at, at least 16; None: `SIZES`.

    Returns
    -------
    dict of str to Drift
        By tap; empty if none of the samples gave a finite feature both ways.
    """
    sample = choose_sample(samples, n or SIZES[source.modality])
    plan = _plan(opened, source, samples, taps, sample.rows)
    progress.begin(f"measuring the drift of {precision}", 2 * len(sample.rows))
    try:
        found = _vectors(opened, plan, precision, progress)
        exact = _vectors(opened, plan, "fp32", progress)
    finally:
        progress.end()
        opened.release()
    measured = {
        tap: _compare(exact[number], found[number], sample, plan) for number, tap in enumerate(plan.taps)
    }
    return {tap: drift for tap, drift in measured.items() if drift is not None}


Vectors = dict[int, "NDArray[np.float32]"]
"""By position in the plan's ``todo``, shape (1, D), or (T, D) where every position is kept."""


def _plan(
    opened: OpenedBackbone,
    source: Payloads,
    samples: Samples,
    taps: Sequence[str],
    rows: NDArray[np.int64],
) -> ExtractionPlan:
    """A plan that computes these rows, whatever any space holds of them; nothing of it is written."""
    return ExtractionPlan(
        source,
        samples,
        tuple(spaces_for(opened.cache, opened.info, taps, "fp32", None)),
        tuple(taps),
        shard_format("hdf5"),
        rows,
        np.zeros(len(rows), dtype=np.uint8),
        len(rows),
        PLAIN,
        np.ones((len(rows), 1), dtype=bool),
    )


def _vectors(
    opened: OpenedBackbone, plan: ExtractionPlan, precision: Precision, progress: Progress
) -> list[Vectors]:
    """What each tap gives for each sample that can be computed."""
    opened.release()
    extractor = Extractor(plan, load_model(opened, "cpu", precision), "float32", progress)
    vectors: list[Vectors] = [{} for _ in plan.taps]
    try:
        for computed in extractor.run(iter([np.arange(len(plan.todo))])):
            for part in computed.features:
                ones = np.ones(len(part.positions), dtype=np.int64)
                ends = np.cumsum(ones if part.lengths is None else part.lengths)
                owned = np.split(part.values, ends[:-1])
                vectors[part.space].update(zip(part.positions.tolist(), owned, strict=True))
            progress.advance(len(computed.items))
    finally:
        extractor.close()
    return vectors


def _compare(exact: Vectors, found: Vectors, sample: DriftSample, plan: ExtractionPlan) -> Drift | None:
    positions = sorted(exact.keys() & found.keys())
    if not positions:
        return None
    a = np.concatenate([exact[position] for position in positions]).astype(np.float64)
    b = np.concatenate([found[position] for position in positions]).astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = (a * b).sum(axis=1) / np.maximum(lengths, 1e-30)
    error = np.abs(a - b).max(axis=1) / np.maximum(np.abs(a).max(axis=1), 1e-12)
    accuracy = None
    if sample.classes is not None:
        y = sample.classes[positions]
        accuracy = (_accuracy(exact, positions, y), _accuracy(found, positions, y))
    return Drift(len(positions), float(cosine.mean()), float(cosine.min()), float(error.max()), accuracy)


def _accuracy(vectors: Vectors, positions: Sequence[int], y: NDArray[np.int64]) -> float:
    """Of a ridge head in stratified cross-validation; each sample is judged once, by a head that lacks it."""
    from headstart.heads import open_head

    X = np.stack([vectors[position].mean(axis=0) for position in positions])
    folds = np.zeros(len(y), dtype=np.int64)
    for code in np.unique(y):
        members = np.flatnonzero(y == code)
        folds[members] = np.arange(len(members)) % FOLDS
    right = 0
    for fold in range(FOLDS):
        held_out = folds == fold
        head = open_head("ridge", {}, seed=0).fit(X[~held_out], y[~held_out])
        right += int((head.predict(X[held_out]) == y[held_out]).sum())
    return right / len(y)
