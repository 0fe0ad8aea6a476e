"""What became of the samples that were found: held before, computed now, copies of others, or skipped, by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headstart.keys import contains, first_occurrences, pack

if TYPE_CHECKING:
    from headstart.extraction.samples import Samples
    from headstart.types import Failure, Json

SHOWN_REASONS = 3
SHOWN_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class SampleCounts:
    """N samples: ``found`` is the sum of all others; copies share their content with another that counts by itself.

    Examples
    --------
    >>> print(SampleCounts(5, 1, 2, 0, {"empty file": 2}))
    found 5: 1 held, 2 computed, 2 skipped (2 empty file)
    """

    found: int
    held: int
    computed: int
    copies: int
    skipped: Mapping[str, int] = field(default_factory=dict)
    """By reason, the most frequent first."""

    @property
    def n_skipped(self) -> int:
        """Samples that lack at least one of the features asked for."""
        return sum(self.skipped.values())

    def __str__(self) -> str:
        parts = [f"{self.held:,} held", f"{self.computed:,} computed"]
        parts += [f"{self.copies:,} copies of others"] if self.copies else []
        parts.append(f"{self.n_skipped:,} skipped{said_by_reason(self.skipped)}")
        return f"found {self.found:,}: {', '.join(parts)}"

    def to_json(self) -> dict[str, Json]:
        """The same as JSON has it."""
        return {
            "found": self.found,
            "held": self.held,
            "computed": self.computed,
            "copies": self.copies,
            "skipped": dict(self.skipped),
        }


def said_by_reason(counts: Mapping[str, int]) -> str:
    """Counts by reason, in brackets; nothing where there are none.

    Examples
    --------
    >>> said_by_reason({"a": 3, "b": 2, "c": 1, "d": 1, "e": 1})
    ' (3 a; 2 b; 1 c; 2 for other reasons)'
    """
    if not counts:
        return ""
    shown = list(counts.items())[:SHOWN_REASONS]
    rest = sum(counts.values()) - sum(n for _, n in shown)
    parts = [f"{n:,} {_short(reason)}" for reason, n in shown] + (
        [f"{rest:,} for other reasons"] if rest else []
    )
    return f" ({'; '.join(parts)})"


def _short(reason: str) -> str:
    return reason if len(reason) <= SHOWN_CHARACTERS else f"{reason[:SHOWN_CHARACTERS]}…"


def count_samples(samples: Samples, n_computed: int, failures: Sequence[Failure]) -> SampleCounts:
    """Count what was found.

    Parameters
    ----------
    samples : Samples
        Those that could be read, and the failures of those that could not.
    n_computed : int
        How many different samples were computed now.
    failures : sequence of Failure
        Of all samples that lack a feature, once per sample and space, those of ``samples`` among them.
    """
    reasons: dict[tuple[str, str], str] = {}
    for failure in failures:
        reasons.setdefault((failure.id, failure.origin), failure.reason)
    failed = pack(bytes.fromhex(key) for key in {failure.key for failure in failures if failure.key})
    good = samples.keys[~contains(failed, samples.keys)] if len(failed) else samples.keys
    n_different = len(first_occurrences(good))
    computed = min(n_computed, n_different)  # a stream computes anew what comes again in a later block
    return SampleCounts(
        found=len(good) + len(reasons),
        held=n_different - computed,
        computed=computed,
        copies=len(good) - n_different,
        skipped=dict(Counter(reasons.values()).most_common()),
    )
