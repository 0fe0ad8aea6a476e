"""What `search` is asked for. No configuration is read for it: a search takes less time than importing those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from headstart.errors import ConfigError
from headstart.retrieval.filters import read_where
from headstart.types import SPLITS

if TYPE_CHECKING:
    from pathlib import Path

    from headstart.config import RuntimeConfig

SCORES = ("cosine", "dot")


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How `search` compares, and among which samples: the arguments of that function, checked.

    ``computing`` are those that say how the vectors of queries are computed.
    """

    k: int
    score: str
    where: Mapping[str, Sequence[str]]
    split: str | None
    tap: str | None
    backbone: str | None
    query_prompt: str | None
    text_column: str | None
    image_column: str | None
    encoding: str
    with_inputs: bool | None
    data: Any
    computing: Mapping[str, Any]

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise ConfigError(f"k is {self.k!r}; it must be a whole number, 1 or more")
        if self.score not in SCORES:
            raise ConfigError(f"there is no score {self.score!r}; choose cosine or dot")
        if self.split is not None and self.split not in SPLITS:
            raise ConfigError(f"there is no split {self.split!r}; choose from: {', '.join(SPLITS)}")

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Self:
        """Of the arguments of `search`."""
        names = {field.name for field in fields(cls)} - {"computing"}
        own = {name: value for name, value in arguments.items() if name in names}
        return cls(**{**own, "where": read_where(arguments["where"]), "computing": arguments})

    def compute(self, cache: str | Path) -> RuntimeConfig:
        """How vectors of queries are computed, for a cache."""
        from headstart.config import RuntimeConfig

        return RuntimeConfig.of(self.computing, cache=str(cache))


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for, in one of four forms.

    Parameters
    ----------
    query : optional
        A text, an image, the path of an image or of data, several texts or images, or vectors (D,) or (N, D).
    like : sequence of str
        Ids of samples of the set.
    texts, images : sequence
        What is a text, and what an image, whatever it looks like.
    """

    query: Any = None
    like: Sequence[str] = ()
    texts: Sequence[str] = ()
    images: Sequence[Any] = ()

    def __post_init__(self) -> None:
        given = [self.query is not None, bool(self.like), bool(self.texts), bool(self.images)]
        if not any(given):
            raise ConfigError(
                "say what to look for: a text, the path of an image or a file of them, or --like ID"
            )
        if sum(given) > 1:
            raise ConfigError(
                "QUERY, --like, --text and --image each say what to look for; leave all but one out"
            )
