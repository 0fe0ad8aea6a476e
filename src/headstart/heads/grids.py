"""The values that a parameter's ``auto`` chooses from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.heads.parameters import ParameterError


def numbers_of(name: str, given: Sequence[float] | str | None) -> NDArray[np.float64] | None:
    """Positive numbers as the user gave them; None: not given.

    Parameters
    ----------
    name : str
        The parameter's, for messages.
    given : sequence of float or str, optional
        A string has commas between its numbers.

    Examples
    --------
    >>> numbers_of("alphas", "1,10").tolist()
    [1.0, 10.0]
    """
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
