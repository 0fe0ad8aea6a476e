"""Learning rates over the steps of a training, as factors of the peak."""

from __future__ import annotations

import math

from headstart.training.settings import Settings

STEP_FACTOR = 0.1
"""What ``step`` multiplies the rate by after each third of the steps, and ``plateau`` by when it waits."""
ONE_CYCLE_RISE = 0.3
ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = 1e-4 / 25


def rate_factor(step: int, n_steps: int, settings: Settings) -> float:
    """The learning rate of a step as a share of the peak.

    After a linear warm-up: ``constant`` and ``plateau`` stay (the latter falls by the loop's own doing),
    ``linear`` and ``cosine`` fall to nothing, ``step`` falls tenfold after each third. ``one-cycle`` (Smith,
    2018) has a warm-up of its own: it rises over 30 % of the steps from a 25th, and falls to a 250,000th.

    Parameters
    ----------
    step : int
        In [0, n_steps).
    n_steps : int
    settings : Settings

    Examples
    --------
    >>> settings = Settings(epochs=1, batch_size=1, schedule="linear", warmup_share=0.2)
    >>> [rate_factor(step, 10, settings) for step in (0, 1, 2, 6)]
    [0.5, 1.0, 1.0, 0.5]
    """
    if settings.schedule == "one-cycle":
        return _one_cycle(step / max(n_steps, 1))
    warmup = round(settings.warmup_share * n_steps)
    if step < warmup:
        return (step + 1) / warmup
    share = (step - warmup) / (n_steps - warmup)
    match settings.schedule:
        case "linear":
            return 1 - share
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * share))
        case "step":
            return float(STEP_FACTOR ** int(3 * share))
    return 1.0


def _one_cycle(share: float) -> float:
    if share < ONE_CYCLE_RISE:
        return _between(ONE_CYCLE_START, 1.0, share / ONE_CYCLE_RISE)
    return _between(1.0, ONE_CYCLE_END, (share - ONE_CYCLE_RISE) / (1 - ONE_CYCLE_RISE))


def _between(start: float, end: float, share: float) -> float:
    """Half a cosine from one value to another."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))
