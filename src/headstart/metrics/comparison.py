"""Are two heads different, judged on the same samples?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.metrics.resampling import RESAMPLES, Draws, percentile_intervals

if TYPE_CHECKING:
    from headstart.types import Json

MOST_EXACT = 1000
"""Up to so many samples that one alone has right, McNemar's test is computed in whole numbers."""


def compare(
    y_true: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Json]:
    """The difference in accuracy of two predictions of the same samples.

    Parameters
    ----------
    y_true, first, second : ndarray, shape (N,)
        Names or codes.
    resamples, seed : int
        Of the paired bootstrap.

    Returns
    -------
    dict
        ``n``; ``accuracy`` [first, second]; ``difference`` (second minus first) with its 95 %
        ``interval``; ``only_first`` and ``only_second``: how many samples that one alone has right;
        ``p_value`` of McNemar's exact test (a binomial test of those two counts).

    Raises
    ------
    DataError
        There is no sample, or the lengths differ.

    Examples
    --------
    >>> y = np.array(list("aabbab"))
    >>> report = compare(y, np.array(list("aababa")), np.array(list("aabbaa")))
    >>> report["difference"], report["only_second"], report["p_value"]
    (0.33333333333333337, 2, 0.5)
    """
    y_true, first, second = (np.asarray(part) for part in (y_true, first, second))
    if not len(y_true) == len(first) == len(second) > 0:
        raise DataError(
            f"{len(y_true):,} labels, {len(first):,} and {len(second):,} predictions: "
            "compare predictions of the same samples, at least one"
        )
    right = np.stack([first == y_true, second == y_true])
    gain = right[1].astype(np.float64) - right[0]

    def figures(draws: Draws) -> dict[str, NDArray[np.float64]]:
        return {"difference": gain[draws].mean(axis=1)}

    only_first, only_second = int((gain < 0).sum()), int((gain > 0).sum())
    accuracy = right.mean(axis=1).tolist()
    return {
        "n": len(y_true),
        "accuracy": accuracy,
        "difference": accuracy[1] - accuracy[0],
        "interval": percentile_intervals(len(y_true), figures, resamples, seed)["difference"],
        "only_first": only_first,
        "only_second": only_second,
        "p_value": mcnemar(only_first, only_second),
    }


def mcnemar(only_first: int, only_second: int) -> float:
    """The p-value of McNemar's exact test.

    Parameters
    ----------
    only_first, only_second : int
        How many samples that one alone has right, in [0, inf).

    Examples
    --------
    >>> mcnemar(0, 5), mcnemar(3, 3)
    (0.0625, 1.0)
    """
    n, fewer = only_first + only_second, min(only_first, only_second)
    # Not scipy's binomtest: importing it takes as long as everything else. A coin is as likely to fall so unevenly
    # on either side.
    if n <= MOST_EXACT:
        return float(min(2 * sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n, 1.0))
    k = np.arange(1, fewer + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log((n - k + 1) / k))])
    return min(2 * math.exp(float(np.logaddexp.reduce(logs)) - n * math.log(2)), 1.0)
