"""A run that lies there already, as what a fit would give: the same head, on the same state of a set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from headstart.config import ON_CLUSTER
from headstart.errors import HeadstartError
from headstart.files import read_json
from headstart.registry.run import Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headstart.types import Json

NO_MATTER = {"set", "digest", "cache", "corrections", "plots", "track", "engine", "workers", *ON_CLUSTER}
"""What of a configuration a fit does not depend on, once it is known which state of a set it is on."""


def earlier_run(folder: Path, like: Run, digest: str, changes: Mapping[str, Any]) -> Run | None:
    """The first run right in a folder that would come out again, were it fitted anew; None where there is none.

    Parameters
    ----------
    folder : path
    like : Run
        A run in memory, of the same head on another state of the set, by the same versions.
    digest : str
        The state that the head was fitted on.
    changes : mapping
        What the configuration has otherwise.
    """
    features, config = _features(like.features), {**_config(like.content["config"]), **changes}
    for path in sorted(folder.glob("*/features.json")):
        try:
            found: Json = read_json(path)
            if not isinstance(found, dict) or found.get("digest") != digest or _features(found) != features:
                continue
            run = Run.load(path.parent)
            if run.environment["packages"] != like.environment["packages"]:
                continue
            if _config((path.parent / "config.yaml").read_text("utf-8")) != config:
                continue
            _ = [run.predictions_of(split) for split in ("validation", "test")], run.predictors
        except (HeadstartError, OSError, KeyError, TypeError, ValueError, yaml.YAMLError):
            continue  # then it is fitted
        return run
    return None


def _features(found: Mapping[str, Json]) -> dict[str, Json]:
    """What was read, of whatever state and wherever the cache lay."""
    return {name: value for name, value in found.items() if name not in ("digest", "cache", "set")}


def _config(text: str) -> dict[str, Json]:
    """What of a configuration a fit depends on."""
    values = yaml.safe_load(text)
    if not isinstance(values, dict):
        raise ValueError("no mapping")
    return {name: value for name, value in values.items() if name not in NO_MATTER}
