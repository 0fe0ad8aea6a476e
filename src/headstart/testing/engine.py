"""What every engine must do: inherit from `EngineContract` and say how extract is told to use it.

::

    class TestMyEngine(EngineContract):
        options = {"engine": "ray", "workers": 2}

        @pytest.fixture
        def backbone(self) -> str:  # of pictures, and open to the processes that the engine starts
            return "py:my_backbones:pictures"
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from headstart.arrow import keys_from_arrow
from headstart.cache.store import Cache
from headstart.config import ExtractConfig
from headstart.errors import DataError
from headstart.extraction.stage import extract
from headstart.progress import Silence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.extraction.stage import ExtractionResult

N_PICTURES = 40
TOLERANCE = 1e-5  # of the largest value of a row


class _Interrupting(Silence):
    """Ctrl-C when the first samples are done."""

    def __init__(self) -> None:
        self._is_extracting = False

    def begin(self, description: str, total: int | None) -> None:
        self._is_extracting = description == "extracting"

    def advance(self, n: int, work: float | None = None) -> None:
        if n and self._is_extracting:
            raise KeyboardInterrupt


class EngineContract:
    """Tests that any engine passes."""

    options: ClassVar[Mapping[str, Any]] = {}
    """Arguments of extract by which the engine is chosen."""

    @pytest.fixture
    def pictures(self, tmp_path: Path) -> Path:
        """A folder of small pictures, no two alike."""
        folder = tmp_path / "pictures"
        folder.mkdir()
        for number in range(N_PICTURES):
            add_picture(folder, number)
        return folder

    def run(self, data: Path, backbone: str, **more: Any) -> ExtractionResult:
        """Extract by the engine, into a cache beside the data."""
        progress = more.pop("progress", Silence())
        told = {"set": "s", "cache": str(data.parent / "cache"), **self.options, **more}
        return extract(ExtractConfig(data=str(data), backbone=backbone, **told), progress)

    def run_elsewhere(self, data: Path, backbone: str) -> FeatureSet:
        """Extract by the local engine, into a cache of its own."""
        where = {"set": "s", "cache": str(data.parent / "another")}
        return extract(ExtractConfig(data=str(data), backbone=backbone, **where), Silence()).features

    def test_features_are_those_of_the_local_engine_each_computed_once(
        self, pictures: Path, backbone: str
    ) -> None:
        (pictures / "copy.png").write_bytes((pictures / "000.png").read_bytes())
        done = self.run(pictures, backbone)
        assert (done.n_computed, done.n_samples, done.failures) == (N_PICTURES, N_PICTURES + 1, [])
        expected = self.run_elsewhere(pictures, backbone)
        assert done.features.samples.drop_columns(["split"]).equals(expected.samples.drop_columns(["split"]))
        assert_same(vectors(done.features), vectors(expected))
        assert n_stored(done.features) == N_PICTURES

    def test_nothing_that_the_cache_holds_is_computed_again(self, pictures: Path, backbone: str) -> None:
        self.run(pictures, backbone)
        assert self.run(pictures, backbone).n_computed == 0
        add_picture(pictures, N_PICTURES)
        done = self.run(pictures, backbone)
        assert (done.n_computed, n_stored(done.features)) == (1, N_PICTURES + 1)

    def test_a_sample_that_fails_is_named_and_the_others_are_kept(
        self, pictures: Path, backbone: str
    ) -> None:
        (pictures / "broken.png").write_bytes(b"no picture")
        done = self.run(pictures, backbone)
        (failure,) = done.failures
        assert (failure.origin, failure.kind) == ("broken.png", "permanent")
        assert [kept.origin for kept in done.features.failures] == ["broken.png"]
        assert (done.n_computed, n_stored(done.features)) == (N_PICTURES, N_PICTURES)

    def test_too_many_failures_stop_it(self, pictures: Path, backbone: str) -> None:
        for number in range(5):
            (pictures / f"broken-{number}.png").write_bytes(f"no picture {number}".encode())
        with pytest.raises(
            DataError, match=r"more than --max-failures allows \(2\).*what was computed is kept"
        ):
            self.run(pictures, backbone, max_failures=2)
        assert self.run(pictures, backbone).n_samples == N_PICTURES + 5

    def test_what_was_finished_when_it_is_interrupted_stays(self, pictures: Path, backbone: str) -> None:
        with pytest.raises(KeyboardInterrupt):
            self.run(pictures, backbone, progress=_Interrupting(), batch_size=4)
        (space,) = Cache(pictures.parent / "cache").space_paths()
        kept = len(Cache(pictures.parent / "cache").open_space(space.name))
        assert kept > 0
        done = self.run(pictures, backbone)
        assert done.n_computed == N_PICTURES - kept
        assert_same(vectors(done.features), vectors(self.run_elsewhere(pictures, backbone)))
        assert n_stored(done.features) == N_PICTURES


def add_picture(folder: Path, number: int) -> None:
    """A picture that no other number gives."""
    pixels = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / f"{number:03d}.png")


def vectors(features: FeatureSet) -> NDArray[np.float32]:
    """The first feature of every sample, in the order of the set."""
    space = Cache(str(features.cache)).open_space(features.features[0].space)
    values: NDArray[np.float32] = space.gather(keys_from_arrow(features.samples.column("key"))).values
    return np.array(values)


def n_stored(features: FeatureSet) -> int:
    """Rows in all shards of the first feature: as many as there are keys, if none was computed twice."""
    space = Cache(str(features.cache)).open_space(features.features[0].space)
    return sum(len(space.reader(name).keys()) for name in space.shard_names())


def assert_same(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """Equal but for so much of each row's largest value as the order of a sum may change."""
    assert found.shape == expected.shape
    assert (np.abs(found - expected).max(axis=1) <= TOLERANCE * np.abs(expected).max(axis=1)).all()
