"""What a sweep tries: names with their values, as ``lr=1e-4..1e-1:7,weight_decay=0,1e-4``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from headstart.errors import ConfigError

if TYPE_CHECKING:
    from headstart.config import FitConfig

MOST_TRIALS = 10_000
TAP, HEAD, BACKBONE = "tap", "head", "backbone"
"""What may be swept besides parameters."""
FEATURES = (TAP, BACKBONE)
NAMES = (HEAD, *FEATURES)
"""Their values are names: two dots in a path are no range."""
TapChoice: TypeAlias = tuple[str | None, str | None]
"""A tap and a backbone; None: the latest."""


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
        found[name].extend([token.strip()] if name in NAMES else _values(token.strip()))
    return found


def as_grid(sweep: Mapping[str, Any]) -> dict[str, list[Any]]:
    """A sweep as Python gives it: lists, single values, or texts as `parse_sweep` takes them."""
    grid = {}
    for name, values in sweep.items():
        listed = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else [values]
        is_read = name not in NAMES
        grid[name] = [one for v in listed for one in (_values(v) if is_read and isinstance(v, str) else [v])]
        grid[name] = list({repr(value): value for value in grid[name]}.values())
        if not grid[name]:
            raise ConfigError(f"the sweep over {name!r} has no values")
    return grid


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


def heads_of(config: FitConfig) -> list[str]:
    """The head of a configuration, or those that its sweep compares."""
    heads: list[str] = as_grid({HEAD: config.sweep[HEAD]})[HEAD] if HEAD in config.sweep else [config.head]
    return heads


def features_of(config: FitConfig) -> list[TapChoice]:
    """Each tap of each backbone that a sweep is over; None where it is over none."""
    swept = as_grid({name: config.sweep[name] for name in FEATURES if name in config.sweep})
    return [(tap, backbone) for backbone in swept.get(BACKBONE, [None]) for tap in swept.get(TAP, [None])]
