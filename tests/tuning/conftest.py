"""Tiny data, and trainings on it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart.config import TuneConfig
from headstart.progress import Silence
from headstart.tuning.stage import fine_tune

from .changes import WORDS


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other over tiny products take minutes on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """90 short texts of three classes, in a CSV file with splits."""
    rng = np.random.default_rng(0)
    path = tmp_path / "texts.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "split"])
        for row in range(90):
            name = list(WORDS)[row % 3]
            words = rng.choice(WORDS[name].split(), int(rng.integers(1, 6)))
            writer.writerow(
                [f"{' '.join(words)} {row}", name, ["train", "train", "validation", "test"][row // 3 % 4]]
            )
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """36 pictures of two classes, in folders by split and class."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for row in range(36):
        name, split = ("dark", "light")[row % 2], ("train", "train", "validation")[row // 2 % 3]
        pixels = rng.integers(0, 128, (40, 40, 3)) + 100 * (row % 2)
        folder = tmp_path / "photos" / split / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{row}.png")
    return tmp_path / "photos"


@pytest.fixture
def tuned(texts: Path, tiny_bert: Path, cache_root: Path, tmp_path: Path) -> Callable[..., Any]:
    """Fine-tunes the tiny BERT on the texts."""
    counter = iter(range(1000))

    def tune(strategy: str = "full", **options: Any) -> Any:
        config = TuneConfig(
            data=str(texts), backbone=f"hf:{tiny_bert}", cache=str(cache_root), strategy=strategy,
            **{"epochs": [2], "lr": [1e-3], "plots": "none", **options},
        )  # fmt: skip
        return fine_tune(config, Silence(), tmp_path / f"state-{next(counter)}")

    return tune
