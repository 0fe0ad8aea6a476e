"""Tiny runs on real models, and processes that have no headstart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import headstart as hs
from headstart.registry.run import Run

from ..backbones.conftest import picture
from ..processes import Process

LETTERS = "abcdefghijklmnopqrstuvwxyz"
LIMIT = 1e-4
TEXTS = ["a", "bc def", "where is my card now it was sent last week " * 2, "x y z", "zebra and yak"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def some_texts(n: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [
        " ".join("".join(rng.choice(list(LETTERS[k % 3 :: 3]), 4)) for _ in range(k % 5 + 1))
        for k in range(n)
    ]


def some_labels(kind: str, n: int) -> list[Any]:
    match kind:
        case "multi":
            return [
                [name for place, name in enumerate(("red", "green", "blue")) if (k >> place) % 2]
                for k in range(n)
            ]
        case "regression":
            return [k % 3 + 0.1 * (k % 7) for k in range(n)]
    return [("one", "two", "three")[k % 3] for k in range(n)]


def write_texts(path: Path, kind: str = "single", n: int = 60, pairs: bool = False) -> Path:
    """Texts in a table, with labels of a kind."""
    rows = zip(some_texts(n), some_labels(kind, n), strict=True)
    lines = [
        {"text": text, "label": label, **({"second": text[::-1]} if pairs else {})} for text, label in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """36 pictures in three classes, of different shapes."""
    for number in range(36):
        folder = tmp_path / "photos" / ("circle", "square", "triangle")[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        size = [(60, 80), (80, 60), (64, 64)][number % 3]
        (folder / f"{number:02d}.png").write_bytes(picture(number, size))
    return tmp_path / "photos"


@pytest.fixture
def fit(tmp_path: Path, cache_root: Path) -> Callable[..., Run]:
    """A head on features of a backbone."""

    def run(data: Path, backbone: str, head: str = "ridge", taps: Sequence[str] = (), **options: Any) -> Run:
        reading = {name: options.pop(name) for name in list(options) if name in EXTRACTING}
        name = f"set{len(list(tmp_path.glob('made-*')))}"
        (tmp_path / f"made-{name}").touch()
        features = hs.extract(
            data, backbone, taps=list(taps) or None, set=name, cache=str(cache_root), quiet=True, **reading
        )
        return hs.fit_head(features, head=head, cache=str(cache_root), plots="none", **options)

    return run


EXTRACTING = ("weights", "prompt", "max_length", "text_pair_column", "text_column", "precision", "label_kind")


def logits_of(run: Run, samples: Any, **options: Any) -> NDArray[np.float64]:
    """What `predict` says, as logits: logarithms of probabilities, log odds, or the numbers."""
    table = run.predict(samples, **options)
    columns = [name for name in table.column_names if name.startswith("p:")]
    if not columns:
        return np.array(table.column("prediction").to_pylist(), dtype=np.float64).reshape(len(table), -1)
    p = np.stack([table.column(name).to_numpy() for name in columns], axis=1).astype(np.float64)
    return np.log(p) - np.log1p(-p) if run.predictor.task == "multi" else np.log(p)


def as_log_probabilities(logits: Any, task: str) -> NDArray[np.float64]:
    tensor = torch.as_tensor(np.asarray(logits), dtype=torch.float64)
    found: NDArray[np.float64] = (tensor.log_softmax(dim=1) if task == "single" else tensor).numpy()
    return found


def largest_error(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """As a share of the largest logit, if that is above 1."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


BLOCK = """
import sys
class NoHeadstart:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "headstart":
            raise ImportError("there is no headstart here")
sys.meta_path.insert(0, NoHeadstart())
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[..., Any]:
    """Run code in a process that cannot import headstart; what it puts into ``result`` comes back."""

    def run(code: str, *arguments: object) -> Any:
        answer, folder = tmp_path / "answer.json", tmp_path / "elsewhere"
        ending = f"\nimport json\njson.dump(result, open({str(answer)!r}, 'w'))\n"
        folder.mkdir(exist_ok=True)
        with chdir(folder):
            started = Process(BLOCK + code + ending, *arguments)
        _, err = started.communicate()
        assert started.wait() == 0, err[-3000:]
        return json.loads(answer.read_text())

    return run
