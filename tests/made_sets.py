"""Sets with features, labels and splits that a test chooses, committed to a real cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headstart.cache.commit import commit_set
from headstart.cache.formats import shard_format
from headstart.cache.layout import LABEL
from headstart.cache.recipe import Recipe
from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache
from headstart.keys import first_occurrences, key_of, pack
from headstart.types import Features

TAP = "final.mean"


def make_set(
    cache_root: Path,
    X: NDArray[Any] | Mapping[str, NDArray[Any]],
    labels: Mapping[str, Sequence[Any]],
    splits: Sequence[str] | None = None,
    contents: Sequence[str] | None = None,
    meta: Mapping[str, Sequence[Any]] | None = None,
    kinds: Mapping[str, str] | None = None,
    name: str = "made",
) -> FeatureSet:
    """A set of N samples with ids ``s0``, ``s1`` …

    ``X`` is a matrix (N, D), or one for each backbone, the latest extraction first. Samples of the same
    ``contents`` share a key. Labels are strings, lists of strings or numbers, by ``kinds``.
    """
    matrices = X if isinstance(X, Mapping) else {"py:some:backbone": X}
    n = len(next(iter(matrices.values())))
    texts = contents or [f"text {i}" for i in range(n)]
    keys = pack([key_of("text", text) for text in texts])
    cache, kinds = Cache(cache_root), kinds or {}
    columns: dict[str, Any] = {
        "id": [f"s{i}" for i in range(n)],
        "key": pa.array([key.tobytes() for key in keys], pa.binary(16)),
        "split": list(splits or thirds(n)),
        "origin": [""] * n,
        **{LABEL + column: list(values) for column, values in labels.items()},
        **{f"meta:{column}": list(values) for column, values in (meta or {}).items()},
    }
    spaces = {backbone: _commit(cache, backbone, keys, matrix) for backbone, matrix in matrices.items()}
    info = {
        "source": {"location": None, "description": "made", "modality": "text", "columns": {}},
        "labels": {column: _names(values, kinds.get(column)) for column, values in labels.items()},
        "label_kinds": {column: kinds.get(column, "single") for column in labels},
        "features": [{"backbone": b, "tap": TAP, "view": None, "space": s} for b, s in spaces.items()],
        "counts": {"samples": n},
        "split": {"seed": 0, "made": None, **({"group": "group"} if "group" in (meta or {}) else {})},
    }
    made = commit_set(cache, name, pa.table(columns), info, ())
    assert made is not None
    return made


def clouds(
    n: int, n_classes: int = 3, width: int = 16, apart: float = 6.0, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Classes as clouds of unit spread around centres some so far apart: (N, D), and the class of each."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_classes, width)) * apart / np.sqrt(2 * width)
    y = np.arange(n) % n_classes
    return (centres[y] + rng.normal(size=(n, width))).astype(np.float32), y


def thirds(n: int) -> list[str]:
    """Of ten samples in a row six for training, and two for each of the other splits."""
    return list(islice(cycle(["train"] * 6 + ["validation"] * 2 + ["test"] * 2), n))


def _commit(cache: Cache, backbone: str, keys: NDArray[np.uint8], X: NDArray[Any]) -> str:
    recipe = Recipe({"weights": backbone, "tap": TAP, "compute": "fp32", "stored": "float32", "numerics": 1})
    space = cache.space(recipe)
    space.prepare()
    rows = first_occurrences(keys)
    space.commit(Features(keys[rows], np.ascontiguousarray(X[rows], dtype=np.float32)), shard_format("hdf5"))
    return space.id


def _names(values: Sequence[Any], kind: str | None) -> list[str]:
    if kind == "regression":
        return []
    names = [
        name for value in values if value is not None for name in (value if kind == "multi" else [value])
    ]
    return sorted(set(names))
