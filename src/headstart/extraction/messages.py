"""What processes that extract together tell each other: one JSON object per message, never a pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias

from headstart.errors import remade
from headstart.extraction.timings import Timings
from headstart.types import Failure

if TYPE_CHECKING:
    from headstart.errors import HeadstartError
    from headstart.types import Json


@dataclass(frozen=True, slots=True)
class Said:
    """A line for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Advanced:
    """So many samples more are done, which came to so many of average cost."""

    n: int
    work: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """Samples that failed, by name."""

    failures: list[Failure]


@dataclass(frozen=True, slots=True)
class FailedRows:
    """Positions in the plan's ``todo`` that failed, and that no other worker need try; sent both ways."""

    positions: list[int]


@dataclass(frozen=True, slots=True)
class ExitMessage:
    """The last message of a worker."""

    n_computed: int
    timings: Timings | None
    error_class: str = ""  # of `headstart.errors`; empty if nothing stopped it
    error_text: str = ""
    is_whole: bool = True  # whether it worked until nothing was left to do

    @property
    def error(self) -> HeadstartError | None:
        """What stopped the worker."""
        return remade(self.error_class, self.error_text) if self.error_class else None


Message: TypeAlias = Said | Advanced | Failed | FailedRows | ExitMessage
_KINDS = {kind.__name__: kind for kind in (Said, Advanced, Failed, FailedRows, ExitMessage)}


def encode(message: Message) -> bytes:
    """A message as a line of JSON."""
    return json.dumps({"kind": type(message).__name__, **asdict(message)}).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The message of a line; a ValueError if it is cut short."""
    values: dict[str, Json] = json.loads(line)
    kind = _KINDS[values.pop("kind")]
    if kind is Failed:
        values["failures"] = [Failure(**failure) for failure in values["failures"]]
    if kind is ExitMessage and values["timings"] is not None:
        values["timings"] = Timings(**values["timings"])
    message: Message = kind(**values)
    return message
