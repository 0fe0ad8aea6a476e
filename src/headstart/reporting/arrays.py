"""Arrays as the page reads them: little-endian bytes in base64, with their type and shape.

Of codes the largest value that the type can hold means that there is none; of floats NaN does.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.types import Json

CODES = (np.uint8, np.uint16, np.uint32)


def encoded(values: NDArray[Any]) -> dict[str, Json]:
    """An array of uint8, uint16, uint32 or float32.

    Examples
    --------
    >>> encoded(np.array([[1, 256]], dtype=np.uint16))
    {'b64': 'AQAAAQ==', 'dtype': 'uint16', 'shape': [1, 2]}
    """
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return {
        "b64": b64encode(little.tobytes()).decode("ascii"),
        "dtype": values.dtype.name,
        "shape": list(values.shape),
    }


def encoded_rows(rows: NDArray[Any]) -> dict[str, Json]:
    """Numbers of rows, of any shape; below 0: none."""
    return encoded(np.where(rows < 0, np.iinfo(np.uint32).max, rows).astype(np.uint32))


def encoded_codes(codes: NDArray[Any], n_names: int) -> dict[str, Json]:
    """Places among so many names, in as few bytes as they fit in; below 0: none.

    Examples
    --------
    >>> found = encoded_codes(np.array([0, -1]), 255)
    >>> found["dtype"], found["b64"]
    ('uint8', 'AP8=')
    """
    kind = next(each for each in CODES if n_names <= np.iinfo(each).max)
    return encoded(np.where(codes < 0, np.iinfo(kind).max, codes).astype(kind))


def encoded_numbers(values: NDArray[Any]) -> dict[str, Json]:
    """Numbers as float32; what is not finite: none."""
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float32)
    return encoded(np.where(np.isfinite(numbers), numbers, np.float32(np.nan)))


def encoded_shares(values: NDArray[Any]) -> dict[str, Json]:
    """Probabilities in [0, 1], rounded to 255ths: a quarter of the bytes, and off by 0.002 at most."""
    shares = np.rint(np.nan_to_num(values, nan=0.0).clip(0, 1) * 255)
    return encoded(shares.astype(np.uint8))
