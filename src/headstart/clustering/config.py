"""What clusters are asked for."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

from headstart.cache.layout import LABEL, META
from headstart.config import Config
from headstart.errors import ConfigError
from headstart.options import Range, Seed, did_you_mean

AUTO = "auto"
METHODS = ("kmeans", "hdbscan")


def _known(method: str) -> str:
    if method not in METHODS:
        raise ConfigError(f"there is no method {method!r}{did_you_mean(method, METHODS)}")
    return method


def _number_or_auto(k: int | str) -> int | str:
    if k != AUTO and (isinstance(k, str) or k < 2):
        raise ConfigError(f"-k takes a number of clusters, 2 or more, or auto (got {k!r})")
    return k


TAKEN = ("id", "key", "split", "origin", "label")
"""What options such as ``--where`` and ``--colour`` call the columns that every set has."""


def _one_name(name: str) -> str:
    name = name.removeprefix(META)  # as it is called once it is there
    if not name or name != name.strip() or not name.isprintable():
        raise ConfigError(f"--name {name!r} is no name of a column")
    if name in TAKEN or name.startswith(LABEL):
        raise ConfigError(f"--name {name!r} is what another column of each set is called; choose another")
    return name


class ClusterConfig(Config):
    """What `cluster` is asked for; without a tap it is the latest with one vector per sample."""

    function = "cluster"
    set: str
    k: Annotated[int | str, AfterValidator(_number_or_auto)]
    method: Annotated[str, AfterValidator(_known)]
    min_size: Annotated[int, Range(ge=2)] | None
    name: Annotated[str, AfterValidator(_one_name)]
    members: Annotated[int, Range(ge=0)]
    words: Annotated[int, Range(ge=0)]
    label: str | None
    tap: str | None
    backbone: str | None
    data: Any
    seed: Seed
    cache: str | None
    digest: str | None = None

    @property
    def n_clusters(self) -> int | None:
        """How many are wanted; None if that is to be found."""
        return self.k if isinstance(self.k, int) else None
