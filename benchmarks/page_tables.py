"""Tables of the pages that no other script makes: which backbone, int8, views, audits.

    python benchmarks/page_tables.py which-one|int8|views|audit --data FOLDER [--work FOLDER]

FOLDER holds ``banking77/{train,test}.csv`` and ``clothing/{train,test}/<class>/*.jpg``. What is in the cache of
``--work`` already is not extracted again.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import headstart as hs
from headstart.heads.answers import unit

TEXT, IMAGE = "bundled:all-minilm-l6-v2", "bundled:efficientnet-lite0"
WRONG = 0.05
"""The share of labels that are made wrong before an audit."""


def which_one(data: Path, cache: str) -> Iterator[str]:
    """Of docs/choosing-a-backbone.md: a logistic head at its default on each."""
    backbones = {
        "banking77": (TEXT, "bundled:all-mpnet-base-v2"),
        "clothing": (IMAGE, "bundled:efficientnet-lite1", "bundled:efficientnet-lite2"),
    }
    for name, specs in backbones.items():
        for spec in specs:
            features = hs.extract(str(data / name), spec, set=f"{name}-{spec.split(':')[1]}", cache=cache)
            run = hs.fit_head(features, head="logistic", plots="none")
            yield f"| {name} ({len(features.arrays('train')[0]):,} to train) | `{spec}` | {accuracy(run)} |"


def int8(data: Path, cache: str) -> Iterator[str]:
    """Of docs/best-practices.md: features of MiniLM in int8 beside fp32."""
    found: dict[str, Any] = {}
    for precision in ("fp32", "int8"):
        start = time.perf_counter()
        features = hs.extract(
            str(data / "banking77"), TEXT, set=precision, cache=cache, precision=precision, runtime="torch"
        )
        seconds = time.perf_counter() - start
        run = hs.fit_head(features, head="logistic", plots="none")
        found[precision] = np.concatenate([features.arrays(split)[0] for split in ("train", "test")])
        yield f"{precision}: {seconds:.1f} s with loading, logistic head {accuracy(run)}"
    cosines = np.einsum("nd,nd->n", unit(found["fp32"]), unit(found["int8"]))
    largest = np.abs(found["fp32"] - found["int8"]).max(axis=1) / np.abs(found["fp32"]).max(axis=1)
    yield (
        f"cosine: mean {cosines.mean():.4f}, least {cosines.min():.4f}; error of up to {largest.max():.1%} of the "
        "largest value"
    )


def views(data: Path, cache: str) -> Iterator[str]:
    """Of docs/views.md: a linear head with few labels, with and without views."""
    plans: dict[tuple[str, str], tuple[list[int], int]] = {
        ("clothing", IMAGE): ([5, 10, 20], 8), ("banking77", TEXT): ([2, 5, 10], 3),
    }  # fmt: skip
    for (name, spec), (shots, seeds) in plans.items():
        columns = {}
        for n in (0, 2, 4, 8):
            features = hs.extract(str(data / name), spec, set=f"{name}-{n}-views", cache=cache, views=n)
            run = hs.fit_head(features, head="linear", shots=shots, seeds=seeds, views=n > 0, plots="none")
            columns[n] = {row["size"]: row["mean"]["accuracy"] for row in run.report["shots"]}
        for size in shots:
            cells = " | ".join(f"{column[size]:.1%}" for column in columns.values())
            yield f"| {name} | {size} | {cells} |"


def audit(data: Path, cache: str) -> Iterator[str]:
    """Of docs/audits.md: wrong labels that are found, by an audit and by five-fold logistic regression."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folder = Path(cache).parent / "mislabelled"
    _mislabel(data / "banking77", folder)
    features = hs.extract(str(folder), TEXT, set="mislabelled", label_column="category", cache=cache)
    start = time.perf_counter()
    found = hs.audit(features, checks="labels")
    seconds = time.perf_counter() - start
    table = found.samples.table
    is_wrong = np.array([value == "1" for value in map(str, table.column("meta:wrong").to_pylist())])
    n = int(is_wrong.sum())
    own = found.labels.row[:n]
    yield f"{n} wrong labels of {len(is_wrong):,}"
    yield f"audit: {is_wrong[own].mean():.1%} of the {len(own)} worst are wrong, {seconds:.1f} s"
    X, y = found.samples[:], np.array(table.column("label:category").to_pylist())
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    start = time.perf_counter()
    likely = cross_val_predict(model, X, y, cv=5, method="predict_proba")
    times = (time.perf_counter() - start) / seconds
    codes = np.unique(y, return_inverse=True)[1]
    worst = np.argsort(likely[np.arange(len(y)), codes])[:n]
    yield f"five-fold logistic regression: {is_wrong[worst].mean():.1%}, in {times:.1f} × the time"


def _mislabel(source: Path, target: Path) -> None:
    """Copies of the tables with some labels made wrong, which a column says."""
    rng = np.random.default_rng(0)
    target.mkdir(exist_ok=True)
    for split in ("train", "test"):
        with (source / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        names = sorted({row["category"] for row in rows})
        for row in rows:
            row["wrong"] = str(int(rng.random() < WRONG))
            if row["wrong"] == "1":
                row["category"] = str(rng.choice([name for name in names if name != row["category"]]))
        with (target / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


def accuracy(run: Any) -> str:
    """On test, with its interval."""
    metrics = run.report["metrics"]["test"]
    low, high = metrics["intervals"]["accuracy"]
    return f"{metrics['accuracy']:.1%} [{low:.1%}, {high:.1%}]"


TABLES = {"which-one": which_one, "int8": int8, "views": views, "audit": audit}


def main(words: Sequence[str] | None = None) -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("page tables"))
    asked = parser.parse_args(words)
    cache = asked.work.resolve() / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for line in TABLES[asked.table](asked.data.resolve(), str(cache)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
