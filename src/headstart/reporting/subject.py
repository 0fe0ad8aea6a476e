"""What a page is of: a run or a set, by its object, its directory or its name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.cache.layout import SET_NAME
from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache
from headstart.errors import ConfigError, DataError, MismatchError
from headstart.options import did_you_mean
from headstart.places import expanded
from headstart.registry.evaluations import is_evaluation
from headstart.registry.run import Run, nearest_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

Subject = Run | FeatureSet


def open_subject(given: Any, cache: str | None) -> Subject:
    """A run or a set.

    Raises
    ------
    DataError
        There is neither of that name; the message names those that there are.
    ConfigError
        There are both, or it is something else.
    """
    if isinstance(given, Run | FeatureSet):
        return given
    if not isinstance(given, str | os.PathLike):
        raise ConfigError(f"report takes a run, a set, or two runs (got {type(given).__name__})")
    place, name = Path(expanded(given)), os.fspath(given)
    names = Cache(cache).set_names()
    is_run = (place / "report.json").is_file() or (place / "labels.json").is_file()
    is_set = bool(SET_NAME.fullmatch(name)) and name in names
    if is_run and is_set:
        raise ConfigError(
            f"{name!r} is the name of a set, and a run directory lies here as well; write ./{name} for the run, or "
            "go to another folder for the set"
        )
    if is_set:
        return Cache(cache).open_set(name)
    if is_run:
        return Run.load(place)
    raise DataError(_neither(place, name, names))


def _neither(place: Path, name: str, names: Sequence[str]) -> str:
    if is_evaluation(place):
        return f"{place} is an evaluation, and a page is of a run or a set; give the run that it is of"
    if place.is_dir():
        return f"{place} is no run directory (it has no report.json), and there is no set of that name"
    hint = nearest_folder(place) or did_you_mean(name, names, "the cache has the sets")
    return f"there is neither a run directory nor a set {name!r}{hint}"


def two_runs(first: Subject, second: Subject) -> tuple[Run, Run]:
    """Two runs.

    Raises
    ------
    MismatchError
        One of them is a set.
    """
    if isinstance(first, Run) and isinstance(second, Run):
        return first, second
    name = next(each.name for each in (first, second) if isinstance(each, FeatureSet))
    raise MismatchError(f"{name!r} is a set, and two subjects of a page are two runs; give the set alone")
