"""What every shard format must do: inherit from `ShardFormatContract` and give it the format.

::

    class TestMyFormat(ShardFormatContract):
        @pytest.fixture
        def shard_format(self) -> ShardFormat:
            return MyFormat()
"""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.cache.layout import SHARD_FORMAT
from headstart.errors import CorruptShardError, FormatError
from headstart.keys import KEY_BYTES
from headstart.types import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import ShardFormat

RECIPE = '{"note":"naïve \\u0001 \\"quoted\\" 東京","numerics":1}'
N_CUTS = 120

_quick = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def make_features(
    n: int, width: int, dtype: Any = np.float32, ragged: bool = False, seed: int = 0
) -> Features:
    """Features of n samples with random keys; ragged ones have 0 to 4 vectors each."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 256, (n, KEY_BYTES), dtype=np.uint8)
    lengths = rng.integers(0, 5, n) if ragged else np.ones(n, dtype=np.int64)
    values = rng.standard_normal((int(lengths.sum()), width)).astype(dtype)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Features(keys, values, offsets if ragged else None)


def assert_equal(found: Features, expected: Features) -> None:
    """The same keys, the same bits, the same dtypes and shapes."""
    pairs = [(found.keys, expected.keys), (found.values, expected.values)]
    assert (found.offsets is None) == (expected.offsets is None)
    if found.offsets is not None and expected.offsets is not None:
        pairs.append((found.offsets, expected.offsets))
    for one, other in pairs:
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()


@st.composite
def some_features(draw: st.DrawFn) -> Features:
    """Dense or ragged features of any shape, down to one row, one column and no vector at all."""
    n, width = draw(st.integers(1, 40)), draw(st.integers(1, 33))
    dtype = draw(st.sampled_from([np.float16, np.float32]))
    features = make_features(n, width, dtype, draw(st.booleans()), draw(st.integers(0, 2**32 - 1)))
    if features.offsets is None or draw(st.integers(0, 4)):
        return features
    return Features(features.keys, features.values[:0], np.zeros(n + 1, dtype=np.int64))


class Tripwire:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


class ShardFormatContract:
    """The suite that every `headstart.contracts.ShardFormat` inherits."""

    @pytest.fixture
    def shard_format(self) -> ShardFormat:
        """The format under test."""
        raise NotImplementedError("override the fixture `shard_format`")

    def round_trip(
        self, shard_format: ShardFormat, features: Features, rows: NDArray[np.int64] | None = None
    ) -> Features:
        """Write features to a file and read them back."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"shard{shard_format.suffix}"
            path.write_bytes(shard_format.encode(features, RECIPE))
            found = shard_format.open(path).features(rows)
            copies = [
                None if part is None else part.copy() for part in (found.keys, found.values, found.offsets)
            ]
            return Features(*copies)  # type: ignore[arg-type]  # only offsets can be None

    def read_all(self, shard_format: ShardFormat, path: Path) -> Features:
        """Whatever an opened shard can be asked for."""
        reader = shard_format.open(path)
        reader.keys()
        return reader.features()

    def rewrite_format(self, content: bytes, number: int) -> bytes:
        """The same shard, but its format says ``number``; each format knows how."""
        raise NotImplementedError("override `rewrite_format`")

    def test_the_suffix_is_one_ending(self, shard_format: ShardFormat) -> None:
        assert shard_format.suffix.startswith(".")
        assert "." not in shard_format.suffix[1:]

    @_quick
    @given(features=some_features())
    def test_gives_back_what_it_got(self, shard_format: ShardFormat, features: Features) -> None:
        assert_equal(self.round_trip(shard_format, features), features)

    @_quick
    @given(features=some_features(), data=st.data())
    def test_gives_rows_in_any_order_and_twice(
        self, shard_format: ShardFormat, features: Features, data: st.DataObject
    ) -> None:
        asked = data.draw(st.lists(st.integers(0, len(features) - 1), max_size=60))
        found = self.round_trip(shard_format, features, np.array(asked, dtype=np.int64))
        assert len(found) == len(asked)
        ends = np.arange(len(features) + 1) if features.offsets is None else features.offsets
        starts = np.arange(len(asked) + 1) if found.offsets is None else found.offsets
        for position, row in enumerate(asked):
            assert found.keys[position].tobytes() == features.keys[row].tobytes()
            vectors = found.values[starts[position] : starts[position + 1]]
            assert vectors.tobytes() == features.values[ends[row] : ends[row + 1]].tobytes()

    @pytest.mark.parametrize("ragged", [False, True])
    def test_gives_back_more_rows_than_any_row_group(self, shard_format: ShardFormat, ragged: bool) -> None:
        features = make_features(20_001, 3, np.float16, ragged)
        assert_equal(self.round_trip(shard_format, features), features)
        last = np.array([20_000, 0, 8_192, 8_191], dtype=np.int64)
        found = self.round_trip(shard_format, features, last)
        assert found.keys.tobytes() == features.keys[last].tobytes()

    @pytest.mark.parametrize("dtype", [np.float16, np.float32])
    def test_keeps_every_bit_of_extreme_numbers(self, shard_format: ShardFormat, dtype: Any) -> None:
        limits = np.finfo(dtype)
        numbers = [limits.max, limits.min, limits.tiny, limits.smallest_subnormal, 0.0, -0.0]
        features = Features(make_features(1, 1).keys, np.array([numbers], dtype=dtype))
        assert_equal(self.round_trip(shard_format, features), features)

    def test_takes_arrays_that_are_not_contiguous(self, shard_format: ShardFormat) -> None:
        plain = make_features(6, 8)
        strided = Features(plain.keys[::-2], np.asfortranarray(plain.values)[::-2])
        expected = Features(strided.keys.copy(), np.ascontiguousarray(strided.values))
        assert_equal(self.round_trip(shard_format, strided), expected)

    def test_later_changes_of_the_callers_array_change_nothing(
        self, shard_format: ShardFormat, tmp_path: Path
    ) -> None:
        features = make_features(4, 5)
        before = features.values.copy()
        path = tmp_path / f"shard{shard_format.suffix}"
        content = shard_format.encode(features, RECIPE)
        features.values[:] = 0
        path.write_bytes(content)
        assert np.array_equal(shard_format.open(path).features().values, before)

    def test_carries_its_recipe_exactly(self, shard_format: ShardFormat, tmp_path: Path) -> None:
        path = tmp_path / f"shard{shard_format.suffix}"
        path.write_bytes(shard_format.encode(make_features(2, 3), RECIPE))
        assert shard_format.open(path).recipe == RECIPE

    def test_carries_a_long_recipe(self, shard_format: ShardFormat, tmp_path: Path) -> None:
        path = tmp_path / f"shard{shard_format.suffix}"
        recipe = '{"prompt":"' + "a word " * 30_000 + '"}'
        path.write_bytes(shard_format.encode(make_features(2, 3), recipe))
        assert shard_format.open(path).recipe == recipe

    @pytest.mark.parametrize("ragged", [False, True])
    def test_the_same_features_make_the_same_bytes(self, shard_format: ShardFormat, ragged: bool) -> None:
        first, second = (
            bytes(shard_format.encode(make_features(30, 7, ragged=ragged), RECIPE)) for _ in range(2)
        )
        assert first == second

    @pytest.mark.parametrize("ragged", [False, True])
    def test_cut_short_anywhere_it_is_corrupt(
        self, shard_format: ShardFormat, tmp_path: Path, ragged: bool
    ) -> None:
        content = bytes(shard_format.encode(make_features(9, 5, ragged=ragged), RECIPE))
        path = tmp_path / f"shard{shard_format.suffix}"
        cuts = {
            *np.linspace(0, len(content) - 1, N_CUTS, dtype=int).tolist(),
            *range(len(content) - 9, len(content)),
        }
        for cut in sorted(cuts):
            path.write_bytes(content[:cut])
            with pytest.raises(CorruptShardError, match="shard"):
                self.read_all(shard_format, path)

    @_quick
    @given(content=st.binary(max_size=300))
    def test_garbage_is_corrupt(self, shard_format: ShardFormat, content: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"shard{shard_format.suffix}"
            path.write_bytes(content)
            with pytest.raises(CorruptShardError):
                self.read_all(shard_format, path)

    def test_a_pickle_in_its_place_is_not_run(self, shard_format: ShardFormat, tmp_path: Path) -> None:
        path, trap = tmp_path / f"shard{shard_format.suffix}", tmp_path / "sprung"
        path.write_bytes(pickle.dumps(Tripwire(trap)))
        with pytest.raises(CorruptShardError):
            self.read_all(shard_format, path)
        assert not trap.exists()

    def test_a_missing_file_is_missing_and_not_corrupt(
        self, shard_format: ShardFormat, tmp_path: Path
    ) -> None:
        with pytest.raises(FileNotFoundError):
            shard_format.open(tmp_path / f"none{shard_format.suffix}")

    def test_a_newer_format_is_refused_by_number(self, shard_format: ShardFormat, tmp_path: Path) -> None:
        path = tmp_path / f"shard{shard_format.suffix}"
        content = bytes(shard_format.encode(make_features(3, 2), RECIPE))
        path.write_bytes(self.rewrite_format(content, SHARD_FORMAT))
        self.read_all(shard_format, path)
        path.write_bytes(self.rewrite_format(content, SHARD_FORMAT + 1))
        with pytest.raises(FormatError, match=str(SHARD_FORMAT + 1)):
            shard_format.open(path)

    @pytest.mark.parametrize(
        "features",
        [
            make_features(0, 3),
            make_features(2, 0),
            Features(make_features(3, 1).keys, make_features(2, 4).values),
            Features(make_features(3, 1).keys[:, :15], make_features(3, 4).values),
            Features(make_features(3, 1).keys, make_features(3, 4).values.astype(np.float64)),
            Features(make_features(2, 1).keys, make_features(2, 4).values, np.array([0, 2, 1])),
        ],
        ids=["no rows", "no columns", "fewer vectors", "short keys", "float64", "offsets go back"],
    )
    def test_what_cannot_be_a_shard_is_not_written(
        self, shard_format: ShardFormat, features: Features
    ) -> None:
        with pytest.raises(ValueError, match="cannot be a shard"):
            shard_format.encode(features, RECIPE)
