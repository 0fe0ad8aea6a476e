"""What is trained when: from a strategy to phases."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from headstart.errors import ConfigError

STRATEGIES = ("full", "frozen", "last:K", "gradual", "lora", "scratch")
ALL = "all"
DEFAULT_UNFREEZE = ("0", "2", "all")


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of training with the same parameters.

    Parameters
    ----------
    n_blocks : int or None
        How many of the last blocks train; None: everything does, embeddings and stem too.
    lr : float
        Peak learning rate of the backbone.
    """

    n_blocks: int | None
    epochs: int
    lr: float
    head_lr: float

    def first_depth(self, total: int) -> int:
        """The depth from which parameters train, in a backbone of so many blocks."""
        if self.n_blocks is None:
            return 0
        return total + 2 if self.n_blocks == 0 else total + 1 - self.n_blocks


def check_strategy(strategy: str) -> None:
    """Refuse a strategy that there is not.

    Raises
    ------
    ConfigError
    """
    if strategy not in STRATEGIES and not re.fullmatch(r"last:[1-9]\d*", strategy):
        raise ConfigError(f"there is no strategy {strategy!r}; write one of: {', '.join(STRATEGIES)}")


def last_blocks(strategy: str) -> int | None:
    """K of ``last:K``.

    Examples
    --------
    >>> last_blocks("last:2"), last_blocks("full")
    (2, None)
    """
    return int(strategy[5:]) if strategy.startswith("last:") else None


def phases_of(
    strategy: str,
    unfreeze: Sequence[str],
    epochs: Sequence[int],
    rates: Sequence[float],
    head_rates: Sequence[float],
    n_blocks: int,
    spec: str,
) -> list[Phase]:
    """The phases of a training.

    Parameters
    ----------
    strategy : str
    unfreeze : sequence of str
        For ``gradual``: how many blocks train in each phase, or ``all``; never fewer than before.
    epochs, rates, head_rates : sequence
        One for all phases, or one for each.
    n_blocks : int
        Of the backbone.
    spec : str
        Of the backbone, for messages.

    Raises
    ------
    ConfigError
        The backbone cannot follow the strategy, or numbers do not fit the phases.
    """
    depths = _depths(strategy, unfreeze)
    asked = [depth for depth in depths if depth is not None]
    if any(asked) and not n_blocks:
        raise ConfigError(
            f"{spec} cannot be divided into blocks, which {strategy} needs; take full, frozen or lora"
        )
    if asked and max(asked) > n_blocks:
        raise ConfigError(
            f"{spec} has {n_blocks} blocks, fewer than the {max(asked)} that {strategy} would train"
        )
    each = zip(
        depths, _each("epochs", epochs, depths), _each("lr", rates, depths), _each("head-lr", head_rates, depths),
        strict=True,
    )  # fmt: skip
    return [Phase(depth, int(n), float(lr), float(head_lr)) for depth, n, lr, head_lr in each]


def _depths(strategy: str, unfreeze: Sequence[str]) -> list[int | None]:
    check_strategy(strategy)
    if strategy == "gradual":
        return _unfrozen(unfreeze or DEFAULT_UNFREEZE)
    if unfreeze:
        raise ConfigError(
            f"--unfreeze says what gradual trains in each phase, and means nothing to {strategy}"
        )
    return [{"frozen": 0, "lora": 0}.get(strategy, last_blocks(strategy))]


def _unfrozen(unfreeze: Sequence[str]) -> list[int | None]:
    steps = [step.strip() for step in unfreeze]
    bad = next((step for step in steps if step != ALL and not step.isdigit()), None)
    if bad is not None:
        raise ConfigError(f"--unfreeze takes numbers of blocks and 'all', e.g. 0,2,4,all (got {bad!r})")
    depths = [None if step == ALL else int(step) for step in steps]
    sizes = [float("inf") if depth is None else depth for depth in depths]
    if sizes != sorted(set(sizes)):
        raise ConfigError(f"--unfreeze must train more from phase to phase (got {','.join(steps)})")
    return depths


def _each(name: str, values: Sequence[float], depths: Sequence[int | None]) -> Sequence[float]:
    if len(values) not in (1, len(depths)):
        raise ConfigError(
            f"--{name} takes one value, or one for each of the {len(depths)} phases (got {len(values)})"
        )
    return list(values) * len(depths) if len(values) == 1 else values
