"""A folder to work in, a folder outside that nothing may touch, and code that says when it was imported."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from headstart.cache.store import Cache
from headstart.files import EXPIRY

from ..end_to_end.conftest import Result, in_process

CODE = """
from pathlib import Path
Path({marker!r}).write_text("imported")
import numpy as np, torch

class Letters(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.eye(8))
    def forward(self, batch):
        return batch @ self.weight

class Backbone:
    modality, version = "text", "1"
    def __init__(self):
        self.module = Letters()
    def prepare(self, text):
        return torch.tensor([float(text.count(letter)) for letter in "abcdwxyz"])

def backbone():
    return Backbone()

from sklearn.base import BaseEstimator, ClassifierMixin

class Most(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_, self.counts_ = np.unique(y, return_counts=True)
        self.n_features_in_ = X.shape[1]
        return self
    def predict(self, X):
        return np.full(len(X), self.classes_[self.counts_.argmax()])

def head(n_features, n_outputs):
    return torch.nn.Linear(n_features, n_outputs)

def change(text, generator):
    return text + " a"
change.version = "1"

def watch(record):
    pass
"""
_NUMBERS = count()


class Code:
    """A module in the current folder, with a backbone, a head and an augmentation, of a name that no other test has."""

    def __init__(self, folder: Path) -> None:
        self.name = f"strange_code_{next(_NUMBERS)}"
        self.marker = folder / f"{self.name}.imported"
        (folder / f"{self.name}.py").write_text(CODE.format(marker=str(self.marker)), "utf-8")

    def __call__(self, name: str) -> str:
        return f"py:{self.name}:{name}"

    @property
    def was_imported(self) -> bool:
        return self.marker.exists()


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("COLUMNS", "200")
    return folder


@pytest.fixture
def code(work: Path) -> Code:
    return Code(work)


@pytest.fixture
def texts(work: Path) -> Path:
    with open(work / "texts.csv", "w", newline="", encoding="utf-8") as file:
        rows = ((f"{'abc' if n % 2 else 'xyw'} number {n}", f"class {n % 2}") for n in range(40))
        csv.writer(file).writerows([("text", "label"), *rows])
    return work / "texts.csv"


@pytest.fixture
def headstart() -> Callable[..., Result]:
    return in_process


@pytest.fixture
def another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """From then on nothing is known of what was made before: whoever made it is a stranger."""

    def leave() -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
        monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "another cache"))
        monkeypatch.setattr("headstart.trust._trusted", set())

    return leave


@pytest.fixture(autouse=True)
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder with old files, which are there as they were when the test is over, and no others."""
    folder = tmp_path / "outside"
    folder.mkdir()
    for name in ("thesis.partial", "00", "host.jsonl", "index.npz", "a.live"):
        (folder / name).write_text("precious")
        os.utime(folder / name, (0, 0))
    (folder / "photos.partial").mkdir()
    (folder / "photos.partial" / "cat.jpg").write_text("precious")
    os.utime(folder / "photos.partial", (0, 0))
    before = state_of(folder)
    yield folder
    assert state_of(folder) == before


def state_of(folder: Path) -> dict[str, tuple[bytes, float]]:
    return {
        path.relative_to(folder).as_posix(): (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mtime,
        )
        for path in sorted(folder.rglob("*"))
    }


def make_set(texts: Path, code: Code) -> Cache:
    """A set of the user's own."""
    done = in_process("extract", texts, "--backbone", code("backbone"), "--set", "s", "--cache", "cache")
    assert done.code == 0, done.err
    return Cache("cache")


def make_run(texts: Path, code: Code, head: str = "ridge") -> Cache:
    """A run of the user's own, and the cache of its set."""
    cache = make_set(texts, code)
    done = in_process("fit-head", "s", "--head", head, "--cache", "cache", "--out", "run")
    assert done.code == 0, done.err
    return cache


def link(place: Path, outside: Path) -> None:
    """Put a link that leads outside where a folder or a file was."""
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(outside)


__all__ = ["EXPIRY", "Code", "link", "make_run", "make_set", "state_of"]
