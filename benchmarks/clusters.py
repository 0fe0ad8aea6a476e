"""What groups without labels have to do with the labels, for docs/few-labels.md.

    OMP_NUM_THREADS=1 python benchmarks/clusters.py FOLDER [--cache DIR] [--seeds 5]

FOLDER holds ``banking77/{train,test}.csv`` and ``clothing/{train,test}/<class>/*.jpg``. Samples of all splits are
grouped by k-means into as many groups as there are classes, by k-means with ``-k auto``, and by HDBSCAN; labels are
compared with afterwards. NMI, ARI and purity are means over the seeds, with their least and largest values; of HDBSCAN
they are of the samples that are in a group. Seconds are of the processor, with the words of each group read again.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from time import process_time
from typing import Any

import headstart as hs

FIGURES = ("nmi", "ari", "purity")


def main() -> None:
    """Measure, and print a table for each data set in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "headstart-clusters")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    for name, features, methods in data_sets(given.folder, given.cache):
        print(
            f"\n| {name} | groups | in none | NMI | ARI | purity | seconds |\n|---|---|---|---|---|---|---|"
        )
        for said, options in methods.items():
            print(f"| {said} | {' | '.join(cells(features, options, given.seeds))} |", flush=True)


def data_sets(
    folder: Path, cache: Path
) -> Iterator[tuple[str, hs.FeatureSet, Mapping[str, Mapping[str, Any]]]]:
    """Each with the ways to group it."""
    bank = hs.extract(
        folder / "banking77", "bundled:all-minilm-l6-v2", set="bank", text_column="text", label_column="category",
        cache=cache,
    )  # fmt: skip
    yield f"banking77: {len(bank):,} questions, 77 intents", bank, methods_of(77, (5, 10))
    photos = hs.extract(folder / "clothing", "bundled:efficientnet-lite0", set="clothing", cache=cache)
    yield f"clothing: {len(photos):,} photos, 10 classes", photos, methods_of(10, (5, 10))


def methods_of(n_classes: int, sizes: Sequence[int]) -> dict[str, dict[str, Any]]:
    """The options of `cluster` by how one says them."""
    return {
        f"`-k {n_classes}`": {"k": n_classes},
        "`-k auto`": {"k": "auto"},
        **{
            f"`--method hdbscan --min-size {size}`": {"method": "hdbscan", "min_size": size} for size in sizes
        },
    }


def cells(features: hs.FeatureSet, options: Mapping[str, Any], n_seeds: int) -> Iterator[str]:
    """The columns of a row."""
    found, seconds = [], []
    for seed in range(n_seeds):
        start = process_time()
        found.append(features.cluster(seed=seed, **options))
        seconds.append(process_time() - start)
    groups = sorted(len(each) for each in found)
    yield f"{groups[0]}" if groups[0] == groups[-1] else f"{groups[0]} to {groups[-1]}"
    yield f"{100 * fmean(each.n_outside for each in found) / len(features):.0f} %"
    for figure in FIGURES:
        values = [each.agreement[figure] for each in found]
        yield f"{fmean(values):.2f} ({min(values):.2f} to {max(values):.2f})"
    yield f"{median(seconds):.1f}"


if __name__ == "__main__":
    main()
