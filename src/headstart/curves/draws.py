"""Which training samples a size of a few-shot protocol or of a learning curve draws: the same for whoever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.curves.report import ProtocolName
from headstart.errors import ConfigError
from headstart.tasks import open_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.samples import LabelledSamples


@dataclass(frozen=True)
class Draw:
    """Some of the train samples, by their places in the set's order."""

    protocol: ProtocolName
    size: int
    seed: int
    rows: NDArray[np.int64]

    @property
    def said(self) -> str:
        """For people, and for the name of a folder: ``shots-8-seed-0``."""
        return f"{self.protocol}-{self.size}-seed-{self.seed}"


@dataclass(frozen=True)
class Protocol:
    """Sizes to draw of N train samples, the smallest first; ``shares`` are those that were given in percent."""

    name: ProtocolName
    sizes: tuple[int, ...]
    train: LabelledSamples
    shares: Mapping[int, str] = field(default_factory=dict)

    def draw(self, size: int, seed: int) -> Draw:
        """What a seed draws; more of the same seed holds the fewer."""
        y, task = self.train.y, open_task(self.train.kind)
        if self.name == "shots":
            return Draw(self.name, size, seed, few_of_each(y, size, seed))
        rows = share_of(task.fold_strata(y), size, seed, task.form == "classes")
        if task.form == "classes" and len(np.unique(y[rows])) < 2:
            raise ConfigError(
                f"--curve {size} with seed {seed} draws samples of one class alone; give larger sizes, or --shots"
            )
        return Draw(self.name, size, seed, rows)

    def rare(self, size: int) -> dict[str, int]:
        """Classes that have fewer samples than so many of each, and how many; of learning curves none."""
        if self.name != "shots":
            return {}
        counts = np.bincount(self.train.y, minlength=len(self.train.names))
        return {
            name: int(n) for name, n in zip(self.train.names, counts.tolist(), strict=True) if 0 < n < size
        }


def protocols_of(
    shots: Sequence[int], curve: Sequence[int | str], train: LabelledSamples
) -> tuple[Protocol, ...]:
    """The protocols that are asked for; what cannot be drawn of the train samples is refused.

    Raises
    ------
    ConfigError
        A size is out of range, or there are no classes to draw of each.
    """
    found = []
    if shots:
        _check_shots(shots, train)
        found.append(Protocol("shots", tuple(sorted(set(shots))), train))
    if curve:
        asked = {size: rows_of(size, len(train)) for size in curve}
        least = 2 if open_task(train.kind).form == "classes" else 1
        if not least <= min(asked.values()) <= max(asked.values()) <= len(train):
            raise ConfigError(
                f"--curve takes sizes in [{least}, {len(train):,}], the training samples, or shares of them such as "
                f"10% (got {', '.join(map(str, curve))})"
            )
        shares = {n: str(size) for size, n in asked.items() if isinstance(size, str)}
        found.append(Protocol("curve", tuple(sorted(set(asked.values()))), train, shares))
    return tuple(found)


def _check_shots(shots: Sequence[int], train: LabelledSamples) -> None:
    if open_task(train.kind).form != "classes":
        raise ConfigError("--shots draws samples of each class; with other labels use --curve")
    most = int(np.bincount(train.y).max())
    if not 1 <= min(shots) <= max(shots) <= most:
        raise ConfigError(
            f"--shots takes numbers of samples in [1, {most:,}], what the largest class has in train "
            f"(got {', '.join(map(str, shots))})"
        )


def check_size(given: int | str) -> int | str:
    """A size of a learning curve: a number of samples, or a share of them in percent.

    Raises
    ------
    ConfigError
        It is neither.

    Examples
    --------
    >>> check_size("100"), check_size("2.5 %"), check_size(30)
    (100, '2.5%', 30)
    """
    text = str(given).strip()
    number = text.removesuffix("%").strip()
    try:
        share = float(number)
    except ValueError:
        share = float("nan")
    if text.endswith("%") and 0 < share <= 100:
        return f"{number}%"
    if not text.endswith("%") and number.isdecimal() and int(number):
        return int(number)
    raise ConfigError(
        f"--curve takes numbers of train samples and shares of them in percent, as 100,10%,100% (got {given!r})"
    )


def rows_of(size: int | str, n: int) -> int:
    """How many of N samples a size is.

    Examples
    --------
    >>> rows_of("1%", 250), rows_of(40, 250)
    (2, 40)
    """
    if isinstance(size, int):
        return size
    return max(round(float(size.removesuffix("%")) / 100 * n), 1)


def few_of_each(y: NDArray[Any], shots: int, seed: int) -> NDArray[np.int64]:
    """``shots`` samples of each class (all of a rarer one); more shots of one seed hold the fewer.

    Examples
    --------
    >>> few_of_each(np.array([0, 0, 0, 1, 1]), 1, seed=0).size
    2
    """
    return np.flatnonzero(_ranks(y, seed) < shots)


def share_of(y: NDArray[Any], n: int, seed: int, stratify: bool) -> NDArray[np.int64]:
    """``n`` samples, each class in its share; more samples of one seed hold the fewer."""
    ranks = _ranks(y if stratify else np.zeros(len(y), dtype=np.int64), seed)
    codes = np.unique(y, return_inverse=True)[1] if stratify else np.zeros(len(y), dtype=np.int64)
    share = (ranks + 0.5) / np.bincount(codes)[codes]
    ties = np.random.default_rng([seed, 1]).permutation(len(y))
    return np.sort(np.lexsort((ties, share))[:n])


def _ranks(y: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """A random place of each sample among those of its class, from 0."""
    codes = np.unique(y, return_inverse=True)[1]
    order = np.random.default_rng(seed).permutation(len(y))
    order = order[np.argsort(codes[order], kind="stable")]
    starts = np.cumsum(np.bincount(codes)) - np.bincount(codes)
    ranks = np.empty(len(y), dtype=np.int64)
    ranks[order] = np.arange(len(y)) - starts[codes[order]]
    return ranks


def identity_of(train: LabelledSamples, draw: Draw) -> str:
    """What tells draws apart, whichever run they are of: a digest of the keys of the samples, 16 hex digits."""
    keys = keys_from_arrow(train.table.column("key"))[draw.rows]
    drawn = sorted(key.tobytes() for key in keys)
    return blake2b(b"".join(drawn), digest_size=8).hexdigest()
