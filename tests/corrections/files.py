"""Files of corrections, and sets that they are about."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.cache.sets import FeatureSet

from ..made_sets import make_set

HEADER = ("key", "id", "label", "old", "new", "action", "note", "digest")


def a_set(cache_root: Path, labels: Sequence[Any], **more: Any) -> FeatureSet:
    """Samples ``s0``, ``s1`` … with one label each, called ``kind``."""
    X = np.arange(len(labels) * 4, dtype=np.float32).reshape(-1, 4)
    return make_set(cache_root, X, {"kind": labels}, **more)


def row(
    features: FeatureSet, number: int, old: str, new: str = "", action: str = "relabel", **more: str
) -> dict[str, str]:
    """What somebody decided about a sample of a set, as a row of a file."""
    key = features.samples.column("key")[number].as_py().hex()
    id = features.samples.column("id")[number].as_py()
    plain = {"key": key, "id": id, "label": "kind", "old": old, "new": new, "action": action}
    return {**plain, "note": "", "digest": features.digest, **more}


def write(path: Path, rows: Sequence[Mapping[str, str]], names: Sequence[str] = HEADER) -> Path:
    """A file as the report page writes it."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def labels_of(features: FeatureSet, column: str = "kind") -> dict[str, Any]:
    """The label of each sample by its id."""
    table = features.samples
    return dict(zip(table.column("id").to_pylist(), table.column(f"label:{column}").to_pylist(), strict=True))
