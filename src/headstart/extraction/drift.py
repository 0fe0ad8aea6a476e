"""How far int8 features are from fp32 ones: measured on a sample, and kept with the set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import codes_by_name
from headstart.cache.layout import LABEL
from headstart.extraction.backbone import load_model
from headstart.extraction.extractor import compute_rows
from headstart.extraction.plan import plan_rows, spaces_for
from headstart.keys import first_by_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headstart.contracts import Payloads, Progress
    from headstart.extraction.backbone import OpenedBackbone
    from headstart.extraction.extractor import Vectors
    from headstart.extraction.samples import Samples
    from headstart.types import Json, Precision


SIZES = {"image": 64, "image-text": 64, "text": 256, "text-pair": 256, "words": 256}
"""How many samples are looked at, by modality: seconds of work."""
A_CLASS = 8
"""Samples that a class must have to count: two in each fold."""
FOLDS = 4


@dataclass(frozen=True, slots=True)
class DriftSample:
    """Rows to look at."""

    rows: NDArray[np.int64]  # rows of the samples, no key twice
    classes: NDArray[np.int64] | None  # the class of each; None: there are too few labels to fit a head


def choose_sample(samples: Samples, n: int) -> DriftSample:
    """The first ``n`` samples in the order of their keys, which are as good as random.

    Where the first label column names one class a sample, and at least two classes have `A_CLASS` samples:
    the first samples of as many of these classes as fit, equally many of each. Samples that the data itself
    puts into the test split are left out: nobody should look at their labels before the end.

    ``n``: at least twice `A_CLASS`.
    """
    rows = first_by_key(samples.keys)
    in_test = codes_by_name(samples.table.column("split"), ["test"]) == 0
    rows = rows[~in_test[rows]] if not in_test.all() else rows
    codes = _codes(samples.table)
    chosen = None if codes is None else _of_classes(codes[rows], n)
    if codes is None or chosen is None:
        return DriftSample(np.sort(rows[:n]), None)
    rows = np.sort(rows[chosen])
    return DriftSample(rows, codes[rows])


def _codes(table: pa.Table) -> NDArray[np.int64] | None:
    """The class of each row, -1 without; None where the first label column is not of single classes."""
    column = next((name for name in table.column_names if name.startswith(LABEL)), None)
    if column is None or not pa.types.is_string(table.schema.field(column).type):
        return None
    names = sorted(pc.unique(table.column(column)).drop_null().to_pylist())
    codes: NDArray[np.int64] = codes_by_name(table.column(column), names)
    return codes


def _of_classes(codes: NDArray[np.int64], n: int) -> NDArray[np.int64] | None:
    """Positions of the first samples of some classes; None where fewer than two are large enough."""
    counts = np.bincount(codes[codes >= 0])
    named, first = np.unique(codes, return_index=True)
    large = [code for code in named[np.argsort(first)] if code >= 0 and counts[code] >= A_CLASS]
    if len(large) < 2:
        return None
    kept = large[: n // A_CLASS]
    return np.concatenate([np.flatnonzero(codes == code)[: n // len(kept)] for code in kept])


@dataclass(frozen=True, slots=True)
class Drift:
    """How far the features of a tap are from what they are in fp32."""

    n_samples: int
    cosine_mean: float  # between both vectors of a sample, or of a position where every position is kept
    cosine_min: float
    largest_error: float  # of any number of any vector, as a share of the largest value of the fp32 vector
    # Of a ridge head in cross-validation over the sample, on fp32 features and on these. None: there are too
    # few labels (see `choose_sample`)
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

    ``source``: any of its samples must still be there to be read: not a stream that has passed; ``taps``:
    canonical; ``n``: how many samples to look at, at least 16; None: `SIZES`. By tap; empty if none of the
    samples gave a finite feature both ways.
    """
    sample = choose_sample(samples, n or SIZES[source.modality])
    plan = plan_rows(source, samples, spaces_for(opened.cache, opened.info, taps, "fp32", None), sample.rows)

    def vectors(precision: Precision) -> list[Vectors]:
        opened.release()
        return compute_rows(plan, load_model(opened, "cpu", precision), progress)[0]

    progress.begin(f"measuring the drift of {precision}", 2 * len(sample.rows))
    try:
        found, exact = vectors(precision), vectors("fp32")
    finally:
        progress.end()
        opened.release()
    measured = {tap: _compare(exact[number], found[number], sample) for number, tap in enumerate(plan.taps)}
    return {tap: drift for tap, drift in measured.items() if drift is not None}


def _compare(exact: Vectors, found: Vectors, sample: DriftSample) -> Drift | None:
    positions = sorted(exact.keys() & found.keys())
    if not positions:
        return None
    a = np.concatenate([exact[position] for position in positions]).astype(np.float64)
    b = np.concatenate([found[position] for position in positions]).astype(np.float64)
    cosine, error = cosines_of(a, b), errors_of(a, b)
    accuracy = None
    if sample.classes is not None:
        y = sample.classes[positions]
        accuracy = (_accuracy(exact, positions, y), _accuracy(found, positions, y))
    return Drift(len(positions), float(cosine.mean()), float(cosine.min()), float(error.max()), accuracy)


def cosines_of(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Between the vectors of each row, shape (n,)."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: NDArray[Any] = (a * b).sum(axis=1) / np.maximum(lengths, 1e-30)
    return cosines


def errors_of(exact: NDArray[Any], found: NDArray[Any]) -> NDArray[Any]:
    """The largest error of each row as a share of the largest value of the exact one, shape (n,)."""
    scale = np.maximum(np.abs(exact).max(axis=1, initial=0), 1e-12)
    errors: NDArray[Any] = np.abs(exact - found).max(axis=1, initial=0) / scale
    return errors


def _accuracy(vectors: Vectors, positions: Sequence[int], y: NDArray[np.int64]) -> float:
    """Of a ridge head in stratified cross-validation; each sample is judged once, by a head that lacks it."""
    from sklearn.model_selection import PredefinedSplit, cross_val_predict

    from headstart.heads import open_head

    X = np.stack([vectors[position].mean(axis=0) for position in positions])
    folds = np.zeros(len(y), dtype=np.int64)
    for code in np.unique(y):
        members = np.flatnonzero(y == code)
        folds[members] = np.arange(len(members)) % FOLDS
    predicted = cross_val_predict(open_head("ridge", {}, seed=0), X, y, cv=PredefinedSplit(folds))
    return float((predicted == y).mean())
