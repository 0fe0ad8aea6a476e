"""What a run cost, as far as its report says: None for what it does not, and never 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.comparison.extraction_times import Extraction, extractions_of

if TYPE_CHECKING:
    import os

    from headstart.comparison.runs import OpenedRun
    from headstart.types import Json

EXPERIMENTS = (1, 10, 100)
"""The numbers of experiments for which costs are spread."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a run.

    Parameters
    ----------
    fit_seconds : float, optional
        Training, with whatever was searched.
    to_best_seconds : float, optional
        Training until the best validation score, where epochs were counted.
    extractions : tuple of Extraction, optional
        What had to be extracted before; empty: nothing; None: unknown.
    peak_resident_bytes, above_loading_bytes, peak_gpu_bytes : int, optional
        The most memory that its process held, in all and above the level after loading, and of the GPU.
    parameters, total_parameters : int, optional
        Trained, and of the whole network.
    feature_bytes, model_bytes : int, optional
    """

    fit_seconds: float | None = None
    to_best_seconds: float | None = None
    extractions: tuple[Extraction, ...] | None = None
    peak_resident_bytes: int | None = None
    above_loading_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    parameters: int | None = None
    total_parameters: int | None = None
    feature_bytes: int | None = None
    model_bytes: int | None = None

    @property
    def extract_seconds(self) -> float | None:
        """Of all that had to be extracted; 0: nothing had to be; None: unknown."""
        return None if self.extractions is None else math.fsum(each.seconds for each in self.extractions)

    @property
    def is_estimated(self) -> bool:
        """Whether the extraction is an estimate."""
        return any(each.is_estimated for each in self.extractions or ())

    def seconds(self, experiments: int = 1) -> float | None:
        """The time of so many experiments: extraction once, training each time; None: unknown."""
        if self.extract_seconds is None or self.fit_seconds is None:
            return None
        return self.extract_seconds + experiments * self.fit_seconds


def costs_of(runs: Sequence[OpenedRun], cache: str | os.PathLike[str] | None = None) -> list[Cost]:
    """The cost of each run.

    Parameters
    ----------
    runs : sequence of OpenedRun
    cache : path, optional
        Where the sets lie that know how long extracting took; None: where each run says.
    """
    found = extractions_of(runs, cache)
    return [_cost(run, extractions) for run, extractions in zip(runs, found, strict=True)]


def _cost(run: OpenedRun, extractions: Sequence[Extraction] | None) -> Cost:
    timings, cost = (run.part(name) for name in ("timings", "cost"))
    peak, loaded = (_whole(cost, name) for name in ("peak_resident_bytes", "loaded_resident_bytes"))
    return Cost(
        fit_seconds=_number(timings, "fit"),
        to_best_seconds=_number(timings, "to_best"),
        extractions=None if extractions is None else tuple(extractions),
        peak_resident_bytes=peak,
        above_loading_bytes=max(peak - loaded, 0) if peak is not None and loaded is not None else None,
        peak_gpu_bytes=_whole(cost, "peak_gpu_bytes"),
        parameters=_whole(cost, "parameters"),
        total_parameters=_whole(cost, "total_parameters"),
        feature_bytes=_whole(cost, "feature_bytes"),
        model_bytes=_whole(cost, "model_bytes"),
    )


def _number(values: Mapping[str, Json], name: str) -> float | None:
    value = values.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def _whole(values: Mapping[str, Json], name: str) -> int | None:
    value = _number(values, name)
    return None if value is None else int(value)


def shared_extraction(costs: Sequence[Cost]) -> float | None:
    """The extraction of all runs together, what they share counted once; None: some of it is unknown."""
    if any(cost.extractions is None for cost in costs):
        return None
    return math.fsum(each.seconds for each in {each for cost in costs for each in cost.extractions or ()})


def pays_from(cached: Cost, tuned: Cost) -> int | None:
    """From how many experiments on extracting once and training each time is the quicker way; None: never, or unknown.

    Parameters
    ----------
    cached : Cost
        Of the way that extracts first.
    tuned : Cost
        Of the way that trains without.
    """
    once, each, other = cached.extract_seconds, cached.fit_seconds, tuned.fit_seconds
    first = tuned.extract_seconds
    if once is None or first is None or each is None or other is None or each >= other:
        return None
    return max(math.floor((once - first) / (other - each)) + 1, 1)
