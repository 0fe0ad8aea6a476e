"""Stopping a run that is going wrong: a limit on samples that fail."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.errors import ConfigError, DataError

if TYPE_CHECKING:
    from headstart.types import Failure

SHOWN_REASONS = 3
ENOUGH = 1000  # samples; a few bad ones at the beginning of a stream say nothing of its share


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """How many samples may fail.

    Parameters
    ----------
    n : float
        In [0, inf]; infinity: any number.
    share : float, optional
        In [0, 1]: that share of the samples instead, once their number is known.
    before : int
        How many had failed before: those that the scan could not read.
    """

    n: float = math.inf
    share: float | None = None
    before: int = 0

    @classmethod
    def parse(cls, text: str | int | None) -> FailureLimit:
        """What ``--max-failures`` says: a number, or a percentage.

        Raises
        ------
        ConfigError
            It is neither.

        Examples
        --------
        >>> FailureLimit.parse("10").n, FailureLimit.parse("5%").share
        (10, 0.05)
        """
        if text is None:
            return NO_LIMIT
        try:
            if str(text).strip().endswith("%"):
                share = float(str(text).strip()[:-1]) / 100
                if not 0 <= share <= 1:
                    raise ValueError
                return cls(share=share)
            n = int(text)
            if n < 0:
                raise ValueError
        except ValueError:
            raise ConfigError(
                f"--max-failures takes a number or a percentage, such as 100 or 5% (got {text!r})"
            ) from None
        return cls(n)

    def of(self, n_samples: int, failures: Sequence[Failure]) -> FailureLimit:
        """The limit for the rest of a run over so many samples, of which the scan refused some.

        Raises
        ------
        DataError
            It is passed already.
        """
        total = n_samples + len(failures)
        limit = FailureLimit(self.n if self.share is None else math.floor(self.share * total))
        limit.check(failures)
        return FailureLimit(limit.n, before=len(failures))

    def so_far(self, n_samples: int, failures: Sequence[Failure]) -> None:
        """Refuse to go on with a stream; a share is judged once there are enough samples to tell.

        Raises
        ------
        DataError
            See `check`.
        """
        if self.share is None or n_samples + len(failures) >= ENOUGH:
            self.of(n_samples, failures)

    def check(self, failures: Sequence[Failure]) -> None:
        """Refuse to go on when too many samples have failed.

        Raises
        ------
        DataError
            With the commonest reasons, and an example of each.
        """
        if self.n == math.inf:
            return
        n = self.before + len({(failure.id, failure.key) for failure in failures})
        if n > self.n:
            raise DataError(
                f"stopped: {n:,} samples have failed, more than --max-failures allows ({self.n:,}): "
                f"{_reasons(failures)}; what was computed is kept: mend the data, or raise the limit"
            )


NO_LIMIT = FailureLimit()


def _reasons(failures: Sequence[Failure]) -> str:
    counts = Counter(failure.reason for failure in failures)
    example = {failure.reason: failure.id for failure in reversed(failures)}
    shown = [
        f"{n:,} × {reason} (such as {example[reason]})" for reason, n in counts.most_common(SHOWN_REASONS)
    ]
    return "; ".join(shown) + ("; …" if len(counts) > SHOWN_REASONS else "")
