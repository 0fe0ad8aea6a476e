"""What a sweep tries: names with their values, as ``lr=1e-4..1e-1:7,weight_decay=0,1e-4``."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.config import FitConfig

MOST_TRIALS = 10_000
TAP, HEAD = "tap", "head"
"""What may be swept besides parameters."""


def parse_sweep(text: str) -> dict[str, list[Any]]:
    """Names and values of a command's ``--sweep``.

    Parameters
    ----------
    text : str
        ``name=values`` after ``name=values``, with commas between. Values are listed with commas; ``a..b:n``
        is n of them from a to b, at equal ratios where both are positive and at equal distances elsewhere.

    Raises
    ------
    ConfigError
        It is not written like that.

    Examples
    --------
    >>> parse_sweep("lr=1e-3..1e-1:3,norm=layer,none")
    {'lr': [0.001, 0.01, 0.1], 'norm': ['layer', 'none']}
    """
    found: dict[str, list[Any]] = {}
    name = ""
    for token in text.split(","):
        before, equals, after = token.partition("=")
        if equals:
            name, token = before.strip(), after
            found.setdefault(name, [])
        if not name or not token.strip():
            raise ConfigError(f"--sweep takes NAME=VALUE,VALUE or NAME=LOW..HIGH:N (got {text!r})")
        found[name].extend(_values(token.strip()))
    return found


def as_grid(sweep: Mapping[str, Any]) -> dict[str, list[Any]]:
    """A sweep as Python gives it: lists, single values, or texts as `parse_sweep` takes them."""
    grid = {}
    for name, values in sweep.items():
        listed = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else [values]
        grid[name] = [one for v in listed for one in (_values(v) if isinstance(v, str) else [v])]
        grid[name] = list({repr(value): value for value in grid[name]}.values())
        if not grid[name]:
            raise ConfigError(f"the sweep over {name!r} has no values")
    return grid


def heads_of(config: FitConfig) -> list[str]:
    """The head of a configuration, or those that its sweep compares."""
    heads: list[str] = as_grid({HEAD: config.sweep[HEAD]})[HEAD] if HEAD in config.sweep else [config.head]
    return heads


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of values.

    Examples
    --------
    >>> combinations({"C": [1, 2], "tol": [0.1]})
    [{'C': 1, 'tol': 0.1}, {'C': 2, 'tol': 0.1}]
    """
    n = math.prod(len(values) for values in grid.values())
    if n > MOST_TRIALS:
        raise ConfigError(f"the sweep has {n:,} combinations, more than {MOST_TRIALS:,}; use --search optuna")
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _values(text: str) -> list[Any]:
    low, dots, rest = text.partition("..")
    if not dots:
        return [_value(text)]
    high, colon, n = rest.partition(":")
    try:
        start, end, count = float(low), float(high), int(n) if colon else 5
    except ValueError:
        raise ConfigError(f"a range is LOW..HIGH:N, such as 1e-4..1e-1:7 (got {text!r})") from None
    if count < 2 or not start < end:
        raise ConfigError(f"a range goes up, in at least two values (got {text!r})")
    space = np.geomspace if start > 0 else np.linspace
    found = [float(f"{value:.6g}") for value in space(start, end, count)]
    if all(isinstance(_value(bound), int) for bound in (low, high)):  # whole numbers between whole numbers
        return list(dict.fromkeys(round(value) for value in found))
    return found


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def folds_of(
    strata: NDArray[Any], n_folds: int, seed: int, groups: NDArray[np.int64] | None = None
) -> Iterator[NDArray[np.int64]]:
    """Rows that each fold holds out, as many of each stratum as can be; rows of a group stay together."""
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    n, n_groups = len(strata), len(strata) if groups is None else len(np.unique(groups))
    if not 2 <= n_folds <= n_groups:
        raise ConfigError(f"--folds must be in [2, {n_groups:,}], the number of samples (got {n_folds})")
    counts = np.bincount(np.unique(strata, return_inverse=True)[1])
    is_grouped, stratify = n_groups < n, len(counts) > 1 and counts.max() >= n_folds
    # scikit-learn warns where a class is rarer than there are folds, and stops where all are.
    kinds = {
        (False, False): KFold, (False, True): StratifiedKFold,
        (True, False): GroupKFold, (True, True): StratifiedGroupKFold,
    }  # fmt: skip
    splitter = kinds[is_grouped, stratify](n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        for _, held_out in splitter.split(np.zeros(n), strata, groups if is_grouped else None):
            yield held_out.astype(np.int64)


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
    if not 1 <= n <= len(y):
        raise ConfigError(
            f"a learning curve needs sizes in [1, {len(y):,}], the training samples (got {n:,})"
        )
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
