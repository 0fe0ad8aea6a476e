"""Samples in memory through the real planner, engine and cache."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from headstart.backbones import BackboneOptions, open_backbone
from headstart.cache.store import Cache
from headstart.config import ExtractConfig
from headstart.contracts import FrozenModel, Source
from headstart.data import open_source
from headstart.extraction.backbone import OpenedBackbone
from headstart.extraction.fill import FillResult, fill
from headstart.extraction.plan import ExtractionPlan, plan_extraction
from headstart.extraction.runtime import eager_forward
from headstart.extraction.samples import NO_LIMIT, FailureLimit, Samples, register
from headstart.progress import Silence
from headstart.types import Features, Modality


class Heard(Silence):
    """Keeps what would be told to a person."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.n_advanced = 0

    def say(self, message: str) -> None:
        self.lines.append(message)

    def advance(self, n: int, work: float | None = None) -> None:
        self.n_advanced += n


@dataclass(frozen=True)
class Task:
    """Samples and a backbone, planned over a cache.

    Parameters
    ----------
    source : Source
    samples : Samples
    work : ExtractionPlan
    opened : OpenedBackbone
    config : ExtractConfig
    heard : Heard
        By it, ``n_advanced`` counts from the beginning of the extraction.
    """

    source: Source
    samples: Samples
    work: ExtractionPlan
    opened: OpenedBackbone
    config: ExtractConfig
    heard: Heard

    def run(self, limit: FailureLimit = NO_LIMIT) -> FillResult:
        """Compute what is missing."""
        return fill(self.work, self.opened, self.config, self.heard, limit)

    def features(self, number: int = 0) -> Features:
        """Those of a space of the plan, a row a sample that has one, in the order of the samples."""
        space = self.work.spaces[number]
        return space.gather(self.samples.keys[space.held(self.samples.keys)])

    def held(self, number: int = 0) -> list[bool]:
        """Which samples have a feature in a space of the plan."""
        held: list[bool] = self.work.spaces[number].held(self.samples.keys).tolist()
        return held


def plan(
    payloads: Sequence[Any], backbone: str, cache: Path, modality: Modality = "text", **options: Any
) -> Task:
    """Plan the extraction of samples in memory."""
    heard, store = Heard(), Cache(cache)
    config = ExtractConfig(data="in memory", backbone=backbone, **options)
    source = open_source(payloads, modality=modality)
    opened = OpenedBackbone(backbone, config.backbone_options(source.modality), store, heard)
    samples = register(source, store.keys, heard)
    heard.n_advanced = 0
    work = plan_extraction(store, config, opened.info, source, samples)
    return Task(source, samples, work, opened, config, heard)


def compute(
    payloads: Sequence[Any], backbone: str, cache: Path, modality: Modality = "text", **options: Any
) -> NDArray[np.float32]:
    """The first feature of every sample, shape (N, D), after a run without a failure."""
    task = plan(payloads, backbone, cache, modality, **options)
    assert task.run().failures == []
    values: NDArray[np.float32] = task.features().values
    return values


def open_model(backbone: str, **options: Any) -> FrozenModel:
    """A model by itself."""
    return open_backbone(backbone, BackboneOptions(**options)).load("cpu", "fp32")


def alone(model: FrozenModel, payloads: Sequence[Any], tap: str) -> NDArray[np.float32]:
    """A tap of each sample, shape (N, D): by one thread, without engine and company."""
    read = eager_forward(model, [tap])
    with one_thread():
        rows = [read(model.collate([part]))[0] for part in model.prepare(payloads)]
    return np.concatenate([row.numpy() for row in rows if isinstance(row, torch.Tensor)])


@contextmanager
def one_thread() -> Iterator[None]:
    """What is small waits long for a second thread on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def some_texts(n: int) -> list[str]:
    """Different texts of different lengths."""
    return [f"text number {row} " + "word " * (row * 7 % 23) for row in range(n)]


def pictures(n: int, size: tuple[int, int] = (12, 12)) -> list[bytes]:
    """Different pictures, as the bytes of PNGs."""
    made = []
    for number in range(n):
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        made.append(buffer.getvalue())
    return made


def n_stored(cache: Path) -> int:
    """Rows in all shards, copies counted."""
    import h5py

    n = 0
    for path in cache.glob("spaces/*/shards/*.h5"):
        with h5py.File(path) as file:
            n += len(file["keys"])
    return n


def assert_close(found: NDArray[Any], expected: NDArray[Any], bound: float = 1e-5) -> None:
    """Equal but for so much of each row's largest value."""
    assert found.shape == expected.shape
    error = np.abs(found - expected).max(axis=-1)
    assert (error <= bound * np.abs(expected).max(axis=-1)).all(), error.max()
