"""float16 becomes float32 exactly, and float32 becomes float16 or an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.cache import rows as stored
from headstart.cache.rows import convert, read_dtype, widen
from headstart.errors import ConfigError, DataError

EVERY = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
FINITE = EVERY[np.isfinite(EVERY)]


def bits(values: np.ndarray[Any, Any]) -> list[int]:
    return values.view(np.uint32).reshape(-1).tolist()


def test_every_finite_float16_becomes_the_float32_of_the_same_value() -> None:
    """Subnormals and both zeros among them: bit for bit what `astype` makes."""
    assert len(FINITE) == 63_488
    out = np.empty(len(FINITE), dtype=np.float32)
    widen(FINITE, out)
    assert bits(out) == bits(FINITE.astype(np.float32))
    assert bits(out[FINITE.view(np.uint16) == 0x8000]) == [0x8000_0000]


@given(
    numbers=st.lists(st.sampled_from(range(len(FINITE))), min_size=1, max_size=300),
    width=st.integers(1, 7),
    rows_per_block=st.integers(1, 5),
)
def test_whatever_the_shape_and_the_blocks(numbers: list[int], width: int, rows_per_block: int) -> None:
    source = np.resize(FINITE[numbers], (len(numbers), width))
    padded = np.zeros((len(numbers), width + 2), dtype=np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "BLOCK_BYTES", rows_per_block * width * 4)
        convert(source, padded[:, 1:-1])  # into a part of a larger array
    assert bits(padded[:, 1:-1].copy()) == bits(source.astype(np.float32))
    assert not padded[:, [0, -1]].any()


def test_float32_becomes_float16_as_numpy_rounds_it() -> None:
    source = np.array([[0.1, 65_504, -1e-7, 1e-9, -0.0]], dtype=np.float32)
    out = np.empty(source.shape, dtype=np.float16)
    convert(source, out)
    assert out.tobytes() == source.astype(np.float16).tobytes()


def test_what_float16_cannot_hold_is_an_error_and_not_infinity() -> None:
    source = np.array([[1, -70_000]], dtype=np.float32)
    with pytest.raises(DataError, match=r"float16 cannot hold 70000.*float32"):
        convert(source, np.empty(source.shape, dtype=np.float16))


def test_what_features_can_be_read_in() -> None:
    half, single = np.dtype(np.float16), np.dtype(np.float32)
    assert [read_dtype(asked, half) for asked in (None, "float32", "stored", "float16")] == [
        single, single, half, half,
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="'float64'; choose from: stored, float32, float16"):
        read_dtype("float64", half)
