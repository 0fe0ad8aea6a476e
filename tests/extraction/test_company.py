"""A sample has the same features in whatever batch it is computed, alone or in company."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.contracts import FrozenModel
from headstart.extraction.extractor import Extractor
from headstart.extraction.plan import ExtractionPlan

from .computing import Heard, alone, assert_close, open_model, pictures, plan
from .models import PICTURES, Opened, open_named

MODELS = (
    "text:bert", "timm:test_vit",
    *(pytest.param(name, marks=pytest.mark.slow) for name in
      ("image:convnext", "clip:image-text", "text:t5", "text:gpt2", "image:vit", "timm:test_resnet")),
)  # fmt: skip
WAYS: list[dict[str, Any]] = [
    {"batch_size": 1, "cores": 1},
    {"batch_size": 7, "cores": 2},
    {"batch_size": 64, "cores": 1},
    {"cores": 1},
    {"cores": 2},
]


def extract(
    planned: ExtractionPlan, model: FrozenModel, chunks: Sequence[NDArray[np.int64]], **way: Any
) -> list[NDArray[np.float32]]:
    """Each space of a plan, a row a position of its ``todo``; every position is computed once."""
    extractor = Extractor(planned, model, "float32", Heard(), **way)
    rows: list[dict[int, Any]] = [{} for _ in planned.spaces]
    try:
        for computed in extractor.run(iter(chunks)):
            assert computed.failures == []
            for part in computed.features:
                for position, values in zip(part.positions.tolist(), part.values, strict=True):
                    assert position not in rows[part.space]
                    rows[part.space][position] = values
    finally:
        extractor.close()
    return [np.stack([found[position] for position in range(len(planned.todo))]) for found in rows]


def planned_for(opened: Opened, samples: Sequence[Any], cache: Path) -> ExtractionPlan:
    given = {name: getattr(opened.options, name) for name in ("weights", "image_size")}
    modality = opened.options.modality or opened.info.modality
    return plan(samples, opened.spec, cache, modality, taps=opened.taps, **given).work


def by_position(planned: ExtractionPlan, samples: Sequence[Any]) -> list[Any]:
    return [samples[row] for row in planned.todo]


@pytest.fixture(scope="module")
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    return open_named(request.param, tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("opened", MODELS, indirect=True)
def test_every_batch_gives_what_the_sample_gives_alone(opened: Opened, cache_root: Path) -> None:
    planned = planned_for(opened, opened.samples, cache_root)
    samples, n = by_position(planned, opened.samples), len(planned.todo)
    expected = [alone(opened.model, samples, tap) for tap in planned.taps]
    halves = [np.arange(n // 2), np.arange(n // 2, n)]
    for way in WAYS:
        found = extract(planned, opened.model, halves if way["cores"] == 1 else [np.arange(n)], **way)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)


@pytest.mark.parametrize(
    ("spec", "samples"),
    [
        ("bundled:all-minilm-l6-v2", [f"why was transfer {n} declined? " * (n % 9 + 1) for n in range(24)]),
        pytest.param(
            "bundled:efficientnet-lite0", [*PICTURES[:4], *pictures(4, (40, 50))], marks=pytest.mark.slow
        ),
    ],
    ids=["MiniLM", "EfficientNet-Lite0"],
)
def test_models_that_people_use_keep_to_it(spec: str, samples: list[Any], cache_root: Path) -> None:
    small = {"image_size": 96} if "lite0" in spec else {}
    modality: Any = "image" if small else "text"
    model = open_model(spec, **small)
    planned = plan(samples, spec, cache_root, modality, **small).work
    expected = alone(model, by_position(planned, samples), planned.taps[0])
    for way in WAYS:
        [found] = extract(planned, model, [np.arange(len(samples))], **way)
        assert_close(found, expected)
