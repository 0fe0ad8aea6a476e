"""What suggestions are asked for."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from headstart.config import Config
from headstart.errors import ConfigError
from headstart.options import Positive, Seed, did_you_mean

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
    budget: Positive
    per_class: Positive | None
    label: str | None
    tap: str | None
    backbone: str | None
    seed: Seed
    cache: str | None
    digest: str | None = None

    @property
    def needs_head(self) -> bool:
        """Whether a head says which samples it is unsure of."""
        return self.strategy in BY_A_HEAD
