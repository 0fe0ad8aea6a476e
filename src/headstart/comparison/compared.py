"""One run of a comparison: its figures, what it cost, and how it stands against the best and the cheapest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.comparison.costs import EXPERIMENTS

if TYPE_CHECKING:
    from headstart.comparison.costs import Cost
    from headstart.metrics.paired import Versus
    from headstart.types import Json


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison.

    Parameters
    ----------
    path : Path, optional
        None: in memory.
    method, head, backbone, tap, set : str
        ``method`` is ``head`` for one on cached features, else the strategy of the fine-tuning.
    against_best, against_cheapest : Versus, optional
        None: it is that run itself, or there is none.
    """

    name: str
    path: Path | None
    method: str
    head: str
    backbone: str
    tap: str
    set: str
    n_train: int | None
    figures: Mapping[str, float | None]
    intervals: Mapping[str, list[float] | None]
    cost: Cost
    against_best: Versus | None = None
    against_cheapest: Versus | None = None

    @property
    def is_cached(self) -> bool:
        """Whether it is a head on cached features."""
        return self.method == HEAD

    def row(self) -> dict[str, Json]:
        """A flat row of a table."""
        figures = {
            key: value
            for name, figure in self.figures.items()
            for key, value in _with_interval(name, figure, self.intervals.get(name)).items()
        }
        against = {
            key: value
            for reference, versus in (("best", self.against_best), ("cheapest", self.against_cheapest))
            for key, value in _against(reference, versus, next(iter(self.figures))).items()
        }
        return {**self._about(), **figures, **against, **self._costs()}

    def to_json(self) -> dict[str, Json]:
        """For machines."""
        return {
            **self._about(),
            "metrics": dict(self.figures),
            "intervals": dict(self.intervals),
            "against_best": None if self.against_best is None else asdict(self.against_best),
            "against_cheapest": None if self.against_cheapest is None else asdict(self.against_cheapest),
            "cost": self._costs(),
        }

    def _about(self) -> dict[str, Json]:
        names = ("method", "head", "backbone", "tap", "set", "n_train")
        path = None if self.path is None else str(self.path)
        return {"run": self.name, "path": path, **{name: getattr(self, name) for name in names}}

    def _costs(self) -> dict[str, Json]:
        cost = self.cost
        plain = {name: value for name, value in asdict(cost).items() if name != "extractions"}
        return {
            "fit_seconds": plain.pop("fit_seconds"),
            "to_best_seconds": plain.pop("to_best_seconds"),
            "extract_seconds": cost.extract_seconds,
            "extract_is_estimated": cost.is_estimated,
            **{f"seconds_of_{k}": cost.seconds(k) for k in EXPERIMENTS},
            **plain,
        }


HEAD = "head"
"""What the method of a head on cached features is called."""


@dataclass(frozen=True)
class BreakEven:
    """A fine-tuned run beside a head on cached features.

    Parameters
    ----------
    cached, tuned : str
        Names of the runs.
    gain : float
        Of the deciding figure: how much better the fine-tuned run is.
    interval : list of float, optional
        Of the gain.
    is_measurable : bool
        Whether the two differ measurably.
    time_ratio : float, optional
        How many times as long training took; None: unknown.
    experiments : int, optional
        From how many experiments on the cache has paid for itself; None: never, or unknown.
    """

    cached: str
    tuned: str
    gain: float
    interval: list[float] | None
    is_measurable: bool
    time_ratio: float | None
    experiments: int | None


def _with_interval(name: str, value: float | None, interval: Sequence[float] | None) -> dict[str, Json]:
    low, high = interval or (None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _against(reference: str, versus: Versus | None, figure: str) -> dict[str, Json]:
    difference = versus.differences[figure] if versus else None
    low, high = (difference.interval if difference else None) or (None, None)
    return {
        f"against_{reference}": difference.value if difference else None,
        f"against_{reference}_low": low,
        f"against_{reference}_high": high,
        f"against_{reference}_p_value": versus.p_value if versus else None,
        f"against_{reference}_p_holm": versus.p_holm if versus else None,
    }
