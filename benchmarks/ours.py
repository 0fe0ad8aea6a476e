"""headstart end to end, from raw samples to a committed set in a fresh cache, start-up and loading aside.

Loading is told from working by a stopwatch that listens to the progress the stage reports, and by the
``timings`` report of the engine where it gives one.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet

COMPUTING = "extracting"


@dataclass(frozen=True)
class Extracted:
    """One extraction.

    Parameters
    ----------
    features : FeatureSet
    n_computed : int
    seconds : float
        Wall time of all of it but loading the model.
    loading : float
        Seconds from the plan to the first sample: the model from the disk into memory.
    timings : mapping
        Where the time went, as the engine reports it.
    """

    features: FeatureSet
    n_computed: int
    seconds: float
    loading: float
    timings: Mapping[str, Any]


@dataclass
class PhaseClock:
    """A progress that notes when each phase began, first moved and ended."""

    began: dict[str, float] = field(default_factory=dict)
    moved: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    _phase: str = ""

    def say(self, message: str) -> None:
        self.said.append(message)

    def begin(self, description: str, total: int | None) -> None:
        self._phase = description
        self.began[description] = time.perf_counter()

    def advance(self, n: int, work: float | None = None) -> None:
        self.moved.setdefault(self._phase, time.perf_counter())

    def end(self) -> None:
        self.ended[self._phase] = time.perf_counter()

    def loading(self, timings: Mapping[str, Any]) -> float:
        """Seconds of the computing phase in which nothing was computed yet."""
        if COMPUTING not in self.began:
            return 0.0
        whole = self.ended[COMPUTING] - self.began[COMPUTING]
        if "seconds" in timings:
            return max(whole - float(timings["seconds"]), 0.0)
        return self.moved.get(COMPUTING, self.ended[COMPUTING]) - self.began[COMPUTING]


def ours(data: Any, backbone: str, cache: Path, **options: Any) -> Extracted:
    """Extract into a cache; the options are those of ``headstart extract``."""
    from headstart.config import ExtractConfig
    from headstart.extraction.stage import extract

    watch = PhaseClock()
    config = ExtractConfig(data=data, backbone=backbone, cache=str(cache), set="benchmark", **options)
    start = time.perf_counter()
    done = extract(config, watch)
    whole = time.perf_counter() - start
    report = getattr(done, "timings", None)
    timings = report.to_json() if report else {}
    loading = watch.loading(timings)
    return Extracted(done.features, done.n_computed, whole - loading, loading, timings)


class FreshCache:
    """`ours`, each time in a cache that holds nothing.

    Parameters
    ----------
    scratch : Path
    backbone : str
    **options
        Of ``headstart extract``.

    Attributes
    ----------
    runs : list of Extracted
        What each run took; its features are gone.
    """

    def __init__(self, scratch: Path, backbone: str, **options: Any) -> None:
        self._scratch = scratch
        self._backbone = backbone
        self._options = options
        self.runs: list[Extracted] = []

    def __call__(self, data: Any) -> float:
        """Seconds that extracting the data took."""
        cache = Path(tempfile.mkdtemp(prefix="cache-", dir=self._scratch))
        try:
            self.runs.append(ours(data, self._backbone, cache, **self._options))
        finally:
            shutil.rmtree(cache)
        return self.runs[-1].seconds

    def shares(self) -> dict[str, float]:
        """Where the fastest run spent its cores, by phase; empty where the engine reports nothing."""
        return dict(self._fastest.get("shares", {}))

    def notes(self) -> tuple[str, ...]:
        """How the model ran in the fastest run."""
        if not (timings := self._fastest):
            return ()
        where = f"batches at once {timings['lanes']}, threads for each {timings['threads']}"
        return (f"headstart's model ran as {timings['forward_as']}, {where}",)

    @property
    def _fastest(self) -> Mapping[str, Any]:
        # The first one only warmed up.
        return min(self.runs[1:] or self.runs, key=lambda run: run.seconds).timings
