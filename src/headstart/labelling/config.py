"""What suggestions are asked for."""

from __future__ import annotations

import sys
from typing import Annotated

from pydantic import AfterValidator

from headstart.config import Config
from headstart.errors import ConfigError
from headstart.options import Positive, Seed, did_you_mean

BUDGET = 100
BY_A_HEAD, BY_FEATURES = ("margin", "entropy"), ("typical", "cover", "random")
STRATEGIES = (*BY_A_HEAD, *BY_FEATURES)


def _known(strategy: str) -> str:
    if strategy not in STRATEGIES:
        raise ConfigError(f"there is no strategy {strategy!r}{did_you_mean(strategy, STRATEGIES)}")
    return strategy


class SuggestConfig(Config):
    """What `suggest` is asked for, besides the run; without a tap it is the latest with one vector per sample."""

    function = "suggest"
    set: str
    strategy: Annotated[str, AfterValidator(_known)]
    budget: Positive | None
    per_class: Positive | None
    label: str | None
    tap: str | None
    backbone: str | None
    seed: Seed
    cache: str | None
    digest: str | None = None

    @property
    def most(self) -> int:
        """How many are chosen at most; with ``per_class`` alone that is no bound."""
        return self.budget or (BUDGET if self.per_class is None else sys.maxsize)

    @property
    def needs_head(self) -> bool:
        """Whether a head says which samples it is unsure of."""
        return self.strategy in BY_A_HEAD
