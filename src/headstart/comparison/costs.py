"""What runs cost, as far as their reports and their sets say, and how it is written: None for what they do not say.

How long extracting took is remembered by the sets; a pass that several runs share is counted once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.cache.commit import MEASURED
from headstart.cache.store import Cache
from headstart.errors import HeadstartError
from headstart.files import read_json

if TYPE_CHECKING:
    import os

    from headstart.registry.run import Run
    from headstart.types import Json

EXPERIMENTS = (1, 10, 100)
"""The numbers of experiments for which costs are spread."""

COVERED = 0.9
"""The share of a set's samples from which its own passes are taken for all there were: copies are computed once."""

WHOLE = (
    "peak_resident_bytes", "peak_gpu_bytes", "parameters", "total_parameters", "feature_bytes", "model_bytes",
)  # fmt: skip
LOADED = "loaded_resident_bytes"
SHARE_BELOW = 0.55
"""Where a ratio is written as a share."""

Passes = Mapping[str, Mapping[str, Any]]
"""What passes measured, by what tells one from another."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """The extraction of one space, or of several that were read in the same passes, without loading the model.

    An estimate is the rate that was measured elsewhere in the cache times the samples of this set.
    """

    spaces: tuple[str, ...]
    seconds: float
    is_estimated: bool = False


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


def costs_of(runs: Sequence[Run], cache: str | os.PathLike[str] | None = None) -> list[Cost]:
    """The cost of each run; the sets that know how long extracting took lie in a cache, or where each run says."""
    found = _extractions_of(runs, cache)
    return [_cost(run, extractions) for run, extractions in zip(runs, found, strict=True)]


def _cost(run: Run, extractions: Sequence[Extraction] | None) -> Cost:
    timings, cost = run.part("timings"), run.part("cost")
    whole = {name: None if (n := _number(cost, name)) is None else int(n) for name in (*WHOLE, LOADED)}
    peak, loaded = whole["peak_resident_bytes"], whole.pop(LOADED)
    return Cost(
        fit_seconds=_number(timings, "fit"),
        to_best_seconds=_number(timings, "to_best"),
        extractions=None if extractions is None else tuple(extractions),
        above_loading_bytes=max(peak - loaded, 0) if peak is not None and loaded is not None else None,
        **whole,
    )


def _number(values: Mapping[str, Json], name: str) -> float | None:
    value = values.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def shared_extraction(costs: Sequence[Cost]) -> float | None:
    """The extraction of all runs together, what they share counted once; None: some of it is unknown."""
    if any(cost.extractions is None for cost in costs):
        return None
    return math.fsum(each.seconds for each in {each for cost in costs for each in cost.extractions or ()})


def pays_from(cached: Cost, tuned: Cost) -> int | None:
    """From how many experiments on extracting first is quicker than training without; None if never, or unknown."""
    once, each, other = cached.extract_seconds, cached.fit_seconds, tuned.fit_seconds
    first = tuned.extract_seconds
    if once is None or first is None or each is None or other is None or each >= other:
        return None
    return max(math.floor((once - first) / (other - each)) + 1, 1)


def _extractions_of(
    runs: Sequence[Run], cache: str | os.PathLike[str] | None
) -> list[list[Extraction] | None]:
    """What had to be extracted for each run; None if some of it is unknown. What runs share is equal."""
    wanted = [_uses(run) for run in runs]
    found = _by_space(runs, wanted, cache)
    joined, cuts = _joined(found), _cuts(runs)
    return [
        None if any(space not in found for _, space in uses)
        else list(dict.fromkeys([*(joined[space] for _, space in uses), *cuts.get(_cut_of(run), ())]))
        for run, uses in zip(runs, wanted, strict=True)
    ]  # fmt: skip


def _cut_of(run: Run) -> tuple[str, ...]:
    """The spaces that keep what enters the blocks that a run trained; empty: it ran its whole network."""
    return tuple(sorted(str(space) for space in run.part("cut").get("spaces", {}).values()))


def _cuts(runs: Sequence[Run]) -> dict[tuple[str, ...], list[Extraction]]:
    """What filling each of these took: the most that a run says, since the next one finds them filled."""
    found: dict[tuple[str, ...], list[Extraction]] = {}
    for run in runs:
        spaces, seconds = _cut_of(run), run.part("cut").get("seconds")
        if spaces and isinstance(seconds, int | float):
            before = found[spaces][0].seconds if spaces in found else 0.0
            found[spaces] = [Extraction(spaces, max(float(seconds), before))]
    return found


def _uses(run: Run) -> list[tuple[Mapping[str, Json], str]]:
    """The spaces that a head read, each with what says of which set; a network that was trained read none."""
    if run.method is not None:
        return []
    return [(run.features, str(part.get("space"))) for part in run.features.get("parts") or [run.features]]


def _by_space(
    runs: Sequence[Run],
    wanted: Sequence[Sequence[tuple[Mapping[str, Json], str]]],
    cache: str | os.PathLike[str] | None,
) -> dict[str, tuple[Passes, Extraction]]:
    """What each space took. Where runs read one space in several sets, a set that computed all of it knows best."""
    found: dict[str, tuple[Passes, Extraction]] = {}
    for run, uses in zip(runs, wanted, strict=True):
        for source, space in uses:
            known = found.get(space)
            if known is None or known[1].is_estimated:
                new = _measure(run, source, space, cache)
                if new is not None and (known is None or not new[1].is_estimated):
                    found[space] = new
    return found


def _measure(
    run: Run, source: Mapping[str, Json], space: str, cache: str | os.PathLike[str] | None
) -> tuple[Passes, Extraction] | None:
    root, name = cache or source.get("cache"), str(source.get("set"))
    if not root:
        return None
    try:
        opened = Cache(root)
        folder = opened.set_dir(name)
        opened.home.state_names(folder)  # their files are here then
    except HeadstartError:
        return None
    made = str(run.part("provenance").get("created", "")) or None
    n = sum(value for name, value in run.part("data").items()
            if name in ("n_train", "n_validation", "n_test") and isinstance(value, int))  # fmt: skip
    own = _passes([folder], space, made)
    if own and _sum(own, "n") >= COVERED * n:
        return own, Extraction((space,), _sum(own, "seconds"))
    every = _passes((opened.set_dir(other) for other in opened.set_names()), space, None)
    if not every or not _sum(every, "n"):
        return None
    return every, Extraction((space,), n * _sum(every, "seconds") / _sum(every, "n"), is_estimated=True)


def _passes(sets: Iterable[Path], space: str, until: str | None) -> dict[str, Mapping[str, Any]]:
    """The passes over a space that the digests of sets tell of, up to a time.

    A set keeps what was measured last; what was measured before is in the digests before it.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for path in (path for folder in sets for path in sorted(folder.glob("*/set.json"))):
        try:
            info = read_json(path)
            timings = info[MEASURED][space]["timings"]
            if float(timings["seconds"]) > 0 and (until is None or info.get("created", "") <= until):
                found[json.dumps(timings, sort_keys=True)] = timings
        except (HeadstartError, OSError, KeyError, TypeError, ValueError):
            continue  # this digest measured nothing, or cannot be read: then it says nothing
    return found


def _sum(passes: Passes, name: str) -> float:
    return float(sum(timings[name] for timings in passes.values()))


def _joined(found: Mapping[str, tuple[Passes, Extraction]]) -> dict[str, Extraction]:
    """Spaces that were read in the very same passes cost as much together as each alone."""
    together: dict[tuple[str, ...], list[str]] = {}
    for space, (passes, _) in found.items():
        together.setdefault(tuple(sorted(passes)), []).append(space)
    return {
        space: replace(found[spaces[0]][1], spaces=tuple(spaces))
        for spaces in together.values()
        for space in spaces
    }


def share_of_time(cost: Cost, other: Cost) -> str:
    """How a run's time compares with another's: in training, and with extraction where that changes it.

    Examples
    --------
    >>> share_of_time(Cost(fit_seconds=80.0, extractions=()), Cost(fit_seconds=2.0))
    '40 × the training time'
    """
    if cost.fit_seconds is None or not other.fit_seconds:
        return "a time that is unknown"
    ratio = cost.fit_seconds / other.fit_seconds
    said = f"{times(ratio)} {'of ' if ratio < SHARE_BELOW else ''}the training time"
    whole, others = cost.seconds(), other.seconds()
    if whole is None or not others or cost.extractions == other.extractions:
        return said
    return f"{said} ({times(whole / others)} with extraction counted)"


def times(ratio: float) -> str:
    """``40 ×``, or ``1/40`` where it is less.

    Examples
    --------
    >>> times(40.2), times(1.52), times(0.025), times(0.8)
    ('40 ×', '1.5 ×', '1/40', '0.80 ×')
    """
    if ratio >= 1:
        return f"{ratio:,.0f} ×" if ratio >= 9.5 else f"{ratio:.1f} ×"
    return f"1/{1 / ratio:,.0f}" if 0 < ratio < SHARE_BELOW else f"{ratio:.2f} ×"


def written_seconds(seconds: float | None) -> str:
    """A time in seconds; ``-``: unknown.

    Examples
    --------
    >>> written_seconds(0.378), written_seconds(77.8), written_seconds(4321), written_seconds(None)
    ('0.38 s', '78 s', '4,321 s', '-')
    """
    if seconds is None:
        return "-"
    return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s" if seconds < 10 else f"{seconds:,.0f} s"


def written_bytes(size: int | None) -> str:
    """A size in MB; ``-``: unknown.

    Examples
    --------
    >>> written_bytes(403_927_040), written_bytes(124_724)
    ('404 MB', '0.12 MB')
    """
    if size is None:
        return "-"
    return f"{size / 1e6:,.0f} MB" if size >= 1e7 else f"{size / 1e6:.2g} MB"


def written_count(number: int | None) -> str:
    """A number; ``-``: unknown."""
    return "-" if number is None else f"{number:,}"
