"""Where the time of an extraction went."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headstart.types import Json

Phase: TypeAlias = Literal["read", "prepare", "forward", "write"]
PHASES: tuple[Phase, ...] = ("read", "prepare", "forward", "write")


class Stopwatch:
    """Adds up what the threads of an extraction spend on each phase; any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)

    def add(self, phase: Phase, seconds: float) -> None:
        """So many seconds more."""
        with self._lock:
            self._seconds[phase] += seconds

    @contextmanager
    def processor(self, phase: Phase) -> Iterator[None]:
        """Count the processor time that this thread spends inside, without its waiting."""
        start = time.thread_time()
        try:
            yield
        finally:
            self.add(phase, time.thread_time() - start)

    def seconds(self, phase: Phase) -> float:
        """What was counted so far."""
        with self._lock:
            return self._seconds[phase]


@dataclass(frozen=True, slots=True)
class Timings:
    """What an extraction took, from the first sample that was read to the last shard on disk."""

    n: int  # samples computed; several views of one count as several
    seconds: float  # wall time, without start-up and loading the model
    capacity: float  # seconds that there were to spend: of all cores on a CPU, of the device otherwise
    # What was spent of them: reading payloads and checking their keys, decoding or tokenising, the model with
    # its pooling, and casting, encoding and storing. On a device other than the CPU the first two and the
    # last are processor seconds beside it.
    read: float
    prepare: float
    forward: float
    write: float
    device: str
    forward_as: str  # ``eager``, ``packed``, ``inductor`` or ``openvino``
    lanes: int  # batches computed at once
    threads: int  # for each of them
    batch: int  # what a batch cost together: tokens, or samples

    @property
    def ceiling_share(self) -> float:
        """The share of the rate that the forward pass alone would have reached; in [0, 1]."""
        return min(self.forward / self.capacity, 1.0) if self.capacity else 0.0

    @property
    def shares(self) -> dict[str, float]:
        """Each phase's share of what there was to spend, and what nobody used."""
        if not self.capacity:
            return {}
        if self.device != "cpu":
            return {"forward": self.ceiling_share, "idle": 1 - self.ceiling_share}
        spent: dict[str, float] = {name: getattr(self, name) / self.capacity for name in PHASES}
        return {**spent, "idle": max(1 - sum(spent.values()), 0.0)}

    def to_json(self) -> dict[str, Json]:
        """For machines, and for the set."""
        return {
            "n": self.n,
            "seconds": round(self.seconds, 3),
            "rate": round(self.n / self.seconds, 1) if self.seconds else None,
            "ceiling_share": round(self.ceiling_share, 3),
            "shares": {name: round(share, 4) for name, share in self.shares.items()},
            **{name: getattr(self, name) for name in ("device", "forward_as", "lanes", "threads", "batch")},
        }

    def __str__(self) -> str:
        """A line for people."""
        says = {"read": "reading", "prepare": "decoding or tokenising", "forward": "the model"}
        says |= {"write": "writing", "idle": "idle"}
        shares = ", ".join(
            f"{says[name]} {share:.0%}" for name, share in self.shares.items() if share >= 0.005
        )
        return (
            f"time: {shares}; {self.n / max(self.seconds, 1e-9):,.0f} a second, {self.ceiling_share:.0%} of what "
            "the model alone would reach"
        )

    def joined(self, later: Timings) -> Timings:
        """This and a later part of the same work; how it ran is said of the later one."""
        added = ("n", "seconds", "capacity", *PHASES)
        return replace(later, **{name: getattr(self, name) + getattr(later, name) for name in added})

    def beside(self, other: Timings) -> Timings:
        """This and what another worker did at the same time."""
        seconds = max(self.seconds, other.seconds)
        return replace(self.joined(other), seconds=seconds, lanes=self.lanes + other.lanes)
