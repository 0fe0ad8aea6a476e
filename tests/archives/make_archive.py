"""Write a small cache of today's format, to be re-read by the tests of every later version.

Run it once a format, and commit what it wrote::

    python tests/archives/make_archive.py tests/archives/format-1

An archive that is committed is never written again: that old caches stay readable is its only use.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headstart.cache.commit import commit_set
from headstart.cache.formats import shard_format
from headstart.cache.memos import record_known
from headstart.cache.recipe import make_recipe
from headstart.cache.space import Space
from headstart.cache.store import Cache
from headstart.files import write_json
from headstart.keys import key_of, pack
from headstart.types import BackboneInfo, Failure, Features

TEXTS = ["red", "green", "blue", "naïve façade – 東京", "", "red and green", "the last"]
FAILED = 4  # the empty text
COLOURS = ["red", "green", "red", None, "blue", "green", "red"]
SPLITS = ["train", "train", "validation", "test", "train", "test", "train"]
KEYS = pack([key_of("text", text) for text in TEXTS])
GOOD = [row for row in range(len(TEXTS)) if row != FAILED]

INFO = BackboneInfo(
    spec="py:archive:texts",
    modality="text",
    weights="00112233445566778899aabbccddeeff",
    architecture={"class": "Bert", "layers": 2, "eps": 1e-12},
    preprocessing={"tokenizer": "ffeeddccbbaa99887766554433221100", "lower": True},
    taps=("final.mean", "final.cls"),
    max_length=128,
    provenance={"headstart": "0.1.0"},
)


def numbers(n: int, width: int, dtype: Any, start: int) -> NDArray[Any]:
    """Numbers that both dtypes hold exactly."""
    return ((np.arange(n * width) - start) / 8).reshape(n, width).astype(dtype)


def make_spaces(cache: Cache) -> dict[str, tuple[Space, Features]]:
    """A dense space in HDF5, one in Parquet, and a ragged one in both."""
    mean = cache.space(make_recipe(INFO, "final.mean", "fp32", "float32"))
    cls = cache.space(make_recipe(INFO, "final.cls", "bf16", "float16", prompt="query: "))
    tokens = cache.space(make_recipe(INFO, "final.tokens", "fp32", "float32"))
    n = len(GOOD)
    offsets = np.array([0, 2, 2, 5, 6, 9, 10], dtype=np.int64)
    features = {
        "mean": (mean, Features(KEYS[GOOD], numbers(n, 3, np.float32, 5))),
        "cls": (cls, Features(KEYS[GOOD], numbers(n, 4, np.float16, 11))),
        "tokens": (tokens, Features(KEYS[GOOD], numbers(10, 2, np.float32, 0), offsets)),
    }
    for name, (space, rows) in features.items():
        space.prepare()
        record_known(space.path, {"spec": INFO.spec, "options": {}}, INFO)
        if name == "tokens":
            space.commit(rows, shard_format("hdf5"))
            space.commit(rows, shard_format("parquet"))
            continue
        # In two shards that share a row, as two writers may leave them.
        encoding = shard_format("hdf5" if name == "mean" else "parquet")
        for part in (slice(0, 4), slice(3, n)):
            space.commit(Features(rows.keys[part], rows.values[part]), encoding)
        space.refresh()
        space.save_index()
    return features


def make_set(cache: Cache, spaces: list[Space]) -> Any:
    """A set with labels, splits, a meta column and a failure."""
    table = pa.table(
        {
            "id": [f"row {row}" for row in range(len(TEXTS))],
            "key": pa.array([key.tobytes() for key in KEYS], pa.binary(16)),
            "split": SPLITS,
            "origin": [f"texts.csv:{row + 2}" for row in range(len(TEXTS))],
            "label:colour": pa.array(COLOURS, pa.string()),
            "meta:length": [len(text) for text in TEXTS],
        }
    )
    failures = [
        Failure(f"row {FAILED}", f"texts.csv:{FAILED + 2}", "the text is empty", "permanent",
                KEYS[FAILED].tobytes().hex(), space.id)
        for space in spaces
    ]  # fmt: skip
    info = {
        "source": {"location": None, "description": "seven texts", "modality": "text", "columns": {}},
        "labels": {"colour": ["red", "green", "blue"]},
        "features": [
            {
                "backbone": INFO.spec,
                "tap": space.recipe.entries["tap"],
                "view": None,
                "space": space.id,
                "options": {},
            }
            for space in spaces
        ],
        "counts": {"samples": 7, "train": 4, "validation": 1, "test": 2, "failures": len(failures)},
        "split": {"seed": 0, "made": None},
    }
    return commit_set(cache, "colours", table, info, failures)


def expected(features: dict[str, tuple[Space, Features]], made: Any) -> dict[str, Any]:
    """All that a reader must get, as JSON."""
    hexes = [key.tobytes().hex() for key in KEYS]
    spaces = {}
    for space, rows in features.values():
        ends = np.arange(len(rows) + 1) if rows.offsets is None else rows.offsets
        vectors = [rows.values[ends[i] : ends[i + 1]].tolist() for i in range(len(rows))]
        spaces[space.id] = {
            "recipe": space.recipe.canonical,
            "dtype": str(rows.values.dtype),
            "ragged": rows.offsets is not None,
            "vectors": dict(zip([hexes[row] for row in GOOD], vectors, strict=True)),
        }
    samples = [
        {
            "id": f"row {row}",
            "key": hexes[row],
            "text": TEXTS[row],
            "split": SPLITS[row],
            "label": COLOURS[row],
        }
        for row in range(len(TEXTS))
    ]
    names = {"set": "colours", "digest": made.digest, "labels": ["red", "green", "blue"]}
    return {**names, "failed": [hexes[FAILED]], "samples": samples, "spaces": spaces}


def main(folder: Path) -> None:
    """Write the archive to a folder that does not exist yet."""
    folder.mkdir(parents=True)
    cache = Cache(folder / "cache")
    cache.prepare()
    features = make_spaces(cache)
    made = make_set(cache, [features["mean"][0], features["cls"][0]])
    write_json(folder / "expected.json", expected(features, made))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
