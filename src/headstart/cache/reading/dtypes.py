"""From the stored dtype to the one that is asked for: float16 to float32 faster than numpy does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from headstart.errors import ConfigError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ReadDtype: TypeAlias = Literal["stored", "float32", "float16"]

BLOCK_BYTES = 2 << 20  # of float32: stays in the cache, and is long enough that threads seldom wait in turn

_SHIFT = 13  # the mantissa of float32 is so many bits longer
_SIGN_EXPONENT_MANTISSA = np.int32(-0x70002000)  # bits 31 and 27 to 13
_BIAS = np.float32(2.0**112)  # what the exponents of the two are counted from differs by 112


def read_dtype(asked: str | None, stored: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype to read in; None is float32.

    Raises
    ------
    ConfigError
        It is none that features are read in.
    """
    match asked:
        case "stored":
            return stored
        case None | "float32":
            return np.dtype(np.float32)
        case "float16":
            return np.dtype(np.float16)
    raise ConfigError(f"features cannot be read as {asked!r}; choose from: stored, float32, float16")


def convert(source: NDArray[Any], out: NDArray[Any]) -> None:
    """Copy rows into an array of their shape, in its dtype.

    Raises
    ------
    DataError
        float16 cannot hold a value.
    """
    if source.dtype == out.dtype:
        np.copyto(out, source)
    elif out.dtype == np.float32:
        step = rows_per_block(source.shape[1])
        for start in range(0, len(source), step):
            widen(source[start : start + step], out[start : start + step])
    else:
        _narrow(source, out)


def widen(halves: NDArray[np.float16], out: NDArray[np.float32]) -> None:
    """Write float16 numbers into an array of float32 of their shape, exactly.

    `astype` takes three times as long where the processor's own conversion is not used. The bits of a
    float16 are put where a float32 has them, and the exponent is set right by a multiplication, which
    makes normal numbers of subnormal ones. Infinities and NaN come out as numbers: none is ever stored.
    """
    bits = out.view(np.int32)
    np.copyto(bits, halves.view(np.int16))  # the sign fills the upper half
    np.left_shift(bits, _SHIFT, out=bits)
    np.bitwise_and(bits, _SIGN_EXPONENT_MANTISSA, out=bits)
    np.multiply(out, _BIAS, out=out)


def rows_per_block(width: int) -> int:
    """How many rows of float32 to work on at a time."""
    return max(BLOCK_BYTES // (4 * width), 1)


def _narrow(source: NDArray[np.float32], out: NDArray[np.float16]) -> None:
    try:
        with np.errstate(over="raise"):
            np.copyto(out, source, casting="same_kind")
    except FloatingPointError as error:
        raise DataError(
            f"float16 cannot hold {np.abs(source).max():.6g}, which is among these features; "
            "read them as float32"
        ) from error
