"""Show the samples that lie beside this file in FiftyOne: pip install fiftyone pyarrow; python open_in_fiftyone.py.

Images are opened where they lay when the table was written; those that lie in images/ may be moved with it. The data
set stays in FiftyOne's database under the name of this folder, and is made anew each time. Nothing here is headstart's
own but the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
KEY = "headstart"
ASIDE = ("filepath", "split", "x", "y", "embedding")
"""Columns that are no fields: a path, a tag, the points and what they are made of."""


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows that have an image, whose path is whole."""
    import pyarrow.parquet as pq

    rows = pq.read_table(path).to_pylist()
    return [{**row, "filepath": str(HERE / row["filepath"])} for row in rows if row["filepath"] is not None]


def fields_of(row: dict[str, Any], fo: Any) -> Iterator[tuple[str, Any]]:
    """What FiftyOne shows beside an image: names as classifications, everything else as it is."""
    for name, value in row.items():
        if name in ASIDE or value is None:
            continue
        if isinstance(value, list):
            yield name, fo.Classifications(classifications=[fo.Classification(label=each) for each in value])
        elif isinstance(value, str) and name not in ("sample_id", "key", "origin", "text"):
            yield name, fo.Classification(label=value)
        else:
            yield name, value


def make_dataset(rows: list[dict[str, Any]], fo: Any, fob: Any) -> Any:
    """The data set, with the points under Embeddings, and sorted by similarity where there are vectors."""
    dataset = fo.Dataset(HERE.name, overwrite=True, persistent=True)
    dataset.add_samples(
        [fo.Sample(filepath=row["filepath"], tags=[row["split"]], **dict(fields_of(row, fo))) for row in rows]
    )
    import numpy as np

    points = np.array([[row["x"], row["y"]] for row in rows])
    fob.compute_visualization(dataset, points=points, brain_key=KEY)
    if "embedding" in rows[0]:
        vectors = np.array([row["embedding"] for row in rows])
        fob.compute_similarity(dataset, embeddings=vectors, brain_key=f"{KEY}_similarity")
    return dataset


def main() -> None:
    """Make the data set, and open the app."""
    import fiftyone as fo
    import fiftyone.brain as fob

    session = fo.launch_app(make_dataset(read_rows(HERE / "samples.parquet"), fo, fob))
    session.wait()


if __name__ == "__main__":
    main()
