"""Whether what is fast is also the same: the largest difference, as a share of the vector's largest value."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import image_peers, images, text_peers, texts
from benchmarks.data import write_csv
from benchmarks.forms import Bench
from benchmarks.ours import ours
from benchmarks.results import Fact

FEW = 200


def measure(bench: Bench) -> dict[str, Fact]:
    """headstart against itself in other batches, and against the peers' loops."""
    return {**_texts(bench), **_photos(bench)}


def _texts(bench: Bench) -> dict[str, Fact]:
    corpus = bench.data.long_texts(min(bench.form.n_taps, FEW)).texts
    path = write_csv(bench.scratch / "agreement.csv", corpus)
    company = features_of(bench.scratch, path, texts.BACKBONE)
    alone = features_of(bench.scratch, path, texts.BACKBONE, batch_size=1)
    theirs = text_peers.sentence_transformers(text_peers.minilm_folder())(corpus)
    return {
        "texts-alone": Fact("texts in batches against texts one by one", difference(company, alone)),
        "texts-peer": Fact("texts against sentence-transformers", difference(company, theirs)),
    }


def _photos(bench: Bench) -> dict[str, Fact]:
    """Few photos leave the model as it is; for many it may be compiled."""
    few = bench.data.photos(min(bench.form.n_taps, FEW)).folder
    many = bench.data.photos(bench.form.n_photos).folder
    company = features_of(bench.scratch, few, images.BACKBONE)
    alone = features_of(bench.scratch, few, images.BACKBONE, batch_size=1)
    found = features_of(bench.scratch, many, images.BACKBONE)
    theirs = image_peers.timm_loop(image_peers.lite0())(many)
    return {
        "photos-alone": Fact("photos in batches against photos one by one", difference(company, alone)),
        "photos-peer": Fact(
            "photos, compiled where it pays, against the plain timm loop", difference(found, theirs)
        ),
    }


def features_of(scratch: Path, data: Path, backbone: str, **options: Any) -> NDArray[np.float32]:
    """Features (N, D) by `ours` in an empty cache: a table's rows in its order, images in that of ImageFolder."""
    cache = scratch / "agreement"
    done = ours(data, backbone, cache, device="cpu", **options)
    rows = done.features.rows()
    shutil.rmtree(cache)
    if data.is_dir():
        order = np.argsort(rows.table.column("id").to_pylist())
        return rows.X[order]
    return rows.X


def difference(ours_: NDArray[Any], theirs: NDArray[Any]) -> float:
    """The largest difference in any row, as a share of that row's largest value."""
    largest = np.abs(theirs).max(axis=1)
    return float((np.abs(ours_ - theirs).max(axis=1) / largest).max())
