"""The parameters of heads: how they are read from strings, and which values they may have."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from headstart.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ParameterError(ConfigError, ValueError):
    """A parameter has a value it cannot have; also the ValueError that scikit-learn promises."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The numbers that a parameter may have, from ``low`` to just below ``high``.

    Parameters
    ----------
    closed_high : bool
        Whether ``high`` itself is inside.
    open_low : bool
        Whether ``low`` itself is outside.
    auto : bool
        Whether the word ``auto`` will do instead of a number.
    whole : bool
        Whether only whole numbers will do, as for a parameter whose default is one.

    Examples
    --------
    >>> 0.0 in Interval(0), 0.0 in Interval(0, open_low=True), math.nan in Interval(0)
    (True, False, False)
    >>> 1.0 in Interval(0, 1), 1.0 in Interval(0, 1, closed_high=True), str(Interval(0, 1, closed_high=True))
    (False, True, '[0, 1]')
    """

    low: float
    high: float = math.inf
    open_low: bool = False
    auto: bool = False
    whole: bool = False
    closed_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        return above and (value <= self.high if self.closed_high else value < self.high)

    def __str__(self) -> str:
        return f"{'(' if self.open_low else '['}{self.low}, {self.high}{']' if self.closed_high else ')'}"


SEEDS = Interval(0, 2**32)


def defaults(head: type) -> dict[str, Any]:
    """The parameters of a head class with their defaults, in the order of its signature; or those that it knows of."""
    if known := vars(head).get("known"):
        return dict(known)
    parameters = list(inspect.signature(head.__init__).parameters.values())[1:]  # type: ignore[misc]
    return {parameter.name: parameter.default for parameter in parameters}


def read(head: str, params: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as the user gave them, strings or values, each as the type of its default in ``known``.

    Raises
    ------
    ConfigError
        The head has no such parameter, or the value is not of its type.
    """
    for name in params:
        if name not in known:
            nearest = get_close_matches(name, known, n=1)
            hint = f"did you mean {nearest[0]!r}? " if nearest else ""
            listed = ", ".join(f"{own}={default}" for own, default in known.items() if own != "spec")
            raise ConfigError(f"the head {head!r} has no parameter {name!r}; {hint}it has {listed}")
    return {name: _convert(name, value, known[name]) for name, value in params.items()}


def takes_whole_numbers(head: Any, name: str) -> bool:
    """Whether a parameter of a head class is a whole number."""
    default, interval = defaults(head).get(name), head.intervals.get(name)
    return (isinstance(default, int) and not isinstance(default, bool)) or bool(interval and interval.whole)


def check(head: Any) -> None:
    """Check the parameters of a head: numbers by its ``intervals``, words by its ``choices``.

    Raises
    ------
    ParameterError
        A value is not a number of the parameter's type, or outside of its interval, or none of the choices.
    """
    for name, choices in head.choices.items():
        if getattr(head, name) not in choices:
            raise ParameterError(f"{name} must be one of {', '.join(choices)}, got {getattr(head, name)!r}")
    known = defaults(type(head))
    for name, interval in head.intervals.items():
        value = getattr(head, name)
        if name == "random_state" and not isinstance(value, Real):
            continue  # scikit-learn's conventions also allow None and a RandomState
        if interval.auto and isinstance(value, str) and value == "auto":
            continue
        whole = interval.whole or isinstance(known[name], int)
        right_type = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
        if not right_type or value not in interval:
            noun = ("auto or " if interval.auto else "") + ("a whole number" if whole else "a number")
            raise ParameterError(f"{name} must be {noun} in {interval}, got {value!r}")


def numbers_of(name: str, given: Sequence[float] | str | None) -> NDArray[np.float64] | None:
    """The values that a parameter's ``auto`` chooses from: positive numbers, or a string of them; None if not given.

    Examples
    --------
    >>> numbers_of("alphas", "1,10").tolist()
    [1.0, 10.0]
    """
    import numpy as np

    if given is None:
        return None
    try:
        parts = given.split(",") if isinstance(given, str) else given
        numbers = np.array([float(part) for part in parts])
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if not numbers.size or not (np.isfinite(numbers) & (numbers > 0)).all():
        raise ParameterError(f"{name} must be positive numbers, as in 0.1,1,10; got {given!r}")
    return numbers


def _convert(name: str, value: Any, default: Any) -> Any:
    kind = type(default)
    if kind is float and isinstance(value, Integral) and not isinstance(value, bool):
        return float(value)
    if default == "auto" and isinstance(value, str):
        return _number_or_word(value)
    if not isinstance(value, str) or kind is str or default is None:
        return value
    try:
        return kind(value)
    except ValueError:
        noun = "a whole number" if kind is int else "a number"
        raise ParameterError(f"{name} must be {noun}, got {value!r}; the default is {default}") from None


def _number_or_word(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
