"""Frozen heads, everything in between, and full fine-tuning, on the same rows; writes docs/comparison.md.

    python benchmarks/comparison.py --data FOLDER [--work FOLDER] [--only texts|photos|words|answers|taught]
                                    [--epochs 5] [--sizes 100,300,1000]

FOLDER holds ``banking77/{train,test}.csv``, ``clothing/{train,test}/<class>/*.jpg``,
``wnut17/{train,validation,test}.conll`` and ``xquad/{train,test}.json``. Every row is a command of its own, as a user
types it, so that times and memory are those of a process of its own. What is there already in ``--work`` is not run
again: a cut-off run goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "comparison.md"
N_TRAIN, N_VALIDATION = 3000, 1000
MOST_EPOCHS = 30
"""Of the smallest parts of a data set."""


@dataclass(frozen=True)
class Row:
    """One way to train, as words of a command line."""

    name: str
    label: str
    command: Sequence[str]


HEADS = (
    Row("ridge", "head `ridge`", ["--head", "ridge"]),
    Row("logistic", "head `logistic`, 10 C", ["--head", "logistic"]),
    Row("logistic-1", "head `logistic`, C = 1", ["--head", "logistic", "--param", "C=1"]),
    Row("linear", "head `linear`", ["--head", "linear"]),
)


def strategies(epochs: int, init: str, rates: dict[str, str]) -> Iterator[Row]:
    """The ways between a frozen head and full fine-tuning, which gets another rate and twice the epochs as well."""
    tune = ["--epochs", str(epochs)]
    yield Row("last2", "`last:2`, from the cut cache", ["--strategy", "last:2", "--lr", rates["last"], *tune])
    third = max(epochs // 3, 1)
    phases = ["--unfreeze", "0,2,all", "--epochs", f"{third},{epochs - third},{epochs - third}"]
    yield Row("gradual", "`gradual`, 0, 2, all", ["--strategy", "gradual", *phases, "--lr", rates["full"]])
    yield Row("lora", "`lora`, rank 8", ["--strategy", "lora", "--lr", rates["lora"], *tune])
    probe = ["--init-head", init]
    yield Row("lpft", "`full` from the head", ["--strategy", "full", *probe, "--lr", rates["full"], *tune])
    yield Row("full", "`full`", ["--strategy", "full", "--lr", rates["full"], *tune])
    lower = f"{float(rates['full']) / 2:.1e}"
    yield Row("lower", f"`full`, {lower}", ["--strategy", "full", "--lr", lower, *tune])
    longer = ["--epochs", str(2 * epochs)]
    yield Row("longer", "`full`, longer", ["--strategy", "full", "--lr", rates["full"], *longer])


class Bench:
    """Runs commands in a folder, each once."""

    def __init__(self, work: Path) -> None:
        self.work = work
        work.mkdir(parents=True, exist_ok=True)
        self.cache = work / "cache"

    def headstart(self, *words: str) -> str:
        """A command of ours; what it says on stdout."""
        line = [sys.executable, "-m", "headstart", *words]
        print("$ headstart", " ".join(words), file=sys.stderr, flush=True)
        done = subprocess.run(line, cwd=self.work, text=True, stdout=subprocess.PIPE, check=True)
        return done.stdout

    def run(self, name: str, *words: str) -> dict[str, Any]:
        """A command that makes a run, if it is not there; its report."""
        target = self.work / "runs" / name
        if not (target / "report.json").exists():
            resume = ["--resume"] if words[0] == "fine-tune" else []
            self.headstart(*words, "--cache", str(self.cache), "--out", str(target), "--quiet", *resume)
        report: dict[str, Any] = json.loads((target / "report.json").read_text("utf-8"))
        return report

    def extract(self, data: Path, name: str, backbone: str, *more: str) -> float:
        """A set, extracted once; the seconds that it took when it was made."""
        kept = self.work / f"{name}.extract.json"
        if not kept.exists():
            words = ["extract", str(data), "--backbone", backbone, "--set", name, "--cache", str(self.cache)]
            said = self.headstart(*words, "--json", "--quiet", *more)
            kept.write_text(said, "utf-8")
        return float(json.loads(kept.read_text("utf-8"))["seconds"])


def stratified(rows: Sequence[dict[str, str]], n: int, seed: int, column: str) -> tuple[list[Any], list[Any]]:
    """``n`` rows with the shares of the classes, and the others."""
    by_class = defaultdict(list)
    for row in rows:
        by_class[row[column]].append(row)
    draw = random.Random(seed)
    ranked = []
    for members in by_class.values():
        draw.shuffle(members)
        ranked += [((place + 0.5) / len(members), draw.random(), row) for place, row in enumerate(members)]
    ranked.sort(key=lambda entry: entry[:2])
    return [row for *_, row in ranked[:n]], [row for *_, row in ranked[n:]]


def write_texts(path: Path, parts: dict[str, Sequence[dict[str, str]]]) -> Path:
    """A CSV file with a split column."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "category", "split"])
        for split, rows in parts.items():
            writer.writerows([row["text"], row["category"], split] for row in rows)
    return path


def misspelt(text: str, draw: random.Random) -> str:
    """One letter in ten is lost, doubled or swapped with the next: customers type on phones."""
    letters, place = list(text), 0
    while place < len(letters):
        if letters[place].isalpha() and draw.random() < 0.1:
            kind = draw.randrange(3)
            if kind == 0:
                letters[place] = ""
            elif kind == 1:
                letters[place] *= 2
            elif place + 1 < len(letters):
                letters[place], letters[place + 1] = letters[place + 1], letters[place]
                place += 1
        place += 1
    return "".join(letters)


def texts(bench: Bench, data: Path, epochs: int, sizes: Sequence[int]) -> list[str]:
    """Everything about banking77 and MiniLM, as Markdown."""
    train = list(csv.DictReader((data / "banking77" / "train.csv").open(encoding="utf-8")))
    test = list(csv.DictReader((data / "banking77" / "test.csv").open(encoding="utf-8")))
    part, rest = stratified(train, N_TRAIN, 0, "category")
    held, _ = stratified(rest, N_VALIDATION, 0, "category")
    source = write_texts(bench.work / "banking.csv", {"train": part, "validation": held, "test": test})
    backbone = "bundled:all-minilm-l6-v2"
    seconds = bench.extract(source, "banking", backbone)
    found = [(row, bench.run(row.name, "fit-head", "banking", *row.command)) for row in HEADS]
    rates = {"full": "2e-4", "last": "3e-4", "lora": "1e-3"}
    for row in strategies(epochs, str(bench.work / "runs" / "logistic"), rates):
        found.append((row, bench.run(row.name, "fine-tune", "banking", *row.command)))
    page = ["## Texts: banking77, MiniLM", *_table(found, seconds), "", *_claims(found, seconds), ""]
    page += [
        "### How much data",
        "",
        *_sizes(bench, part, held, test, backbone, epochs, sizes, rates, found),
        "",
    ]
    return [*page, "### Another domain: misspelt questions", "", *_shift(bench, test)]


def _sizes(
    bench: Bench,
    part: Any,
    held: Any,
    test: Any,
    backbone: str,
    epochs: int,
    sizes: Sequence[int],
    rates: Any,
    found: Any,
) -> Iterator[str]:
    yield "| train rows | head `logistic` | full fine-tuning |"
    yield "|---:|---|---|"
    for size in sizes:
        few, _ = stratified(part, size, 0, "category")
        name = f"banking{size}"
        source = write_texts(bench.work / f"{name}.csv", {"train": few, "validation": held, "test": test})
        bench.extract(source, name, backbone)
        head = bench.run(f"logistic{size}", "fit-head", name, "--head", "logistic")
        many = str(min(epochs * max(N_TRAIN // size, 1), MOST_EPOCHS))  # as many steps, as far as that
        words = ["--strategy", "full", "--lr", rates["full"], "--epochs", many]
        full = bench.run(f"full{size}", "fine-tune", name, *words)
        yield f"| {size:,} | {_accuracy(head)} | {_accuracy(full)} |"
    by_name = {row.name: report for row, report in found}
    yield f"| {N_TRAIN:,} | {_accuracy(by_name['logistic'])} | {_accuracy(by_name['full'])} |"


def _shift(bench: Bench, test: Any) -> Iterator[str]:
    draw = random.Random(0)
    changed = [{**row, "text": misspelt(row["text"], draw)} for row in test]
    source = write_texts(bench.work / "misspelt.csv", {"test": changed})
    yield "| run | test | the same questions, misspelt |"
    yield "|---|---:|---:|"
    for name in ("logistic", "last2", "lora", "full"):
        report = json.loads((bench.work / "runs" / name / "report.json").read_text("utf-8"))
        out = bench.work / f"{name}.misspelt.csv"
        words = ["--label-column", "category", "--out", str(out), "--cache", str(bench.cache), "--quiet"]
        bench.headstart("predict", str(bench.work / "runs" / name), str(source), *words)
        rows = list(csv.DictReader(out.open(encoding="utf-8")))
        right = sum(row["label"] == row["prediction"] for row in rows) / len(rows)
        yield f"| {name} | {report['metrics']['test']['accuracy']:.1%} | {right:.1%} |"


def photos(bench: Bench, data: Path, epochs: int) -> list[str]:
    """Everything about the clothing photos and EfficientNet-Lite0, as Markdown."""
    seconds = bench.extract(data / "clothing", "clothing", "bundled:efficientnet-lite0")
    found = [(row, bench.run(f"p-{row.name}", "fit-head", "clothing", *row.command)) for row in HEADS]
    rates = {"full": "3e-4", "last": "5e-4", "lora": "1e-3"}
    for row in strategies(epochs, str(bench.work / "runs" / "p-logistic"), rates):
        found.append((row, bench.run(f"p-{row.name}", "fine-tune", "clothing", *row.command)))
    return ["## Photos: clothing, EfficientNet-Lite0", *_table(found, seconds), "", *_claims(found, seconds)]


LAYERS = ("last.words", "-2.words", "-3.words", "-4.words")
SIDE_BY_SIDE = [word for tap in LAYERS for word in ("--tap", tap)]
TAGGERS = (
    Row("w-logistic", "`logistic`, C of 4, last layer", ["--tap", "last.words", "--sweep", "C=0.1,1,10,100"]),
    Row(
        "w-layers",
        "`logistic`, C of 4, last four layers side by side",
        [*SIDE_BY_SIDE, "--sweep", "C=0.1,1,10,100"],
    ),
    Row("w-linear", "`linear`, last layer", ["--tap", "last.words", "--head", "linear"]),
    Row(
        "w-crf",
        "`linear` with a CRF, last layer",
        ["--tap", "last.words", "--head", "linear", "--param", "crf=yes"],
    ),
    Row("w-bilstm", "`bilstm`, last layer", ["--tap", "last.words", "--head", "bilstm"]),
    Row("w-bilstm-layers", "`bilstm`, last four layers", [*SIDE_BY_SIDE, "--head", "bilstm"]),
)


def words(bench: Bench, data: Path, epochs: int) -> list[str]:
    """Everything about WNUT-17 and MiniLM, as Markdown."""
    taps = ["--taps", ",".join(LAYERS)]
    seconds = bench.extract(data / "wnut17", "wnut", "bundled:all-minilm-l6-v2", *taps)
    found = [(row, bench.run(row.name, "fit-head", "wnut", *row.command)) for row in TAGGERS]
    tune = ["--tap", "last.words", "--epochs", str(epochs)]
    for name, label, more in (
        ("w-last2", "`last:2`, from the cut cache", ["--strategy", "last:2", "--lr", "3e-4"]),
        ("w-full", "`full`", ["--strategy", "full", "--lr", "2e-4"]),
    ):
        row = Row(name, label, [*more, *tune])
        found.append((row, bench.run(name, "fine-tune", "wnut", *row.command)))
    return ["## Words: WNUT-17, MiniLM", *_table(found, seconds, "micro_f1", "test entity F1"), ""]


def answers(bench: Bench, data: Path, epochs: int) -> list[str]:
    """Everything about XQuAD and MiniLM, as Markdown."""
    seconds = bench.extract(data / "xquad", "xquad", "bundled:all-minilm-l6-v2")
    found = [
        (Row("a-linear", "head `linear`", []), bench.run("a-linear", "fit-head", "xquad", "--head", "linear"))
    ]
    for name, label, more in (
        ("a-last2", "`last:2`, from the cut cache", ["--strategy", "last:2", "--lr", "3e-4"]),
        ("a-full", "`full`", ["--strategy", "full", "--lr", "2e-4"]),
    ):
        row = Row(name, label, [*more, "--epochs", str(epochs)])
        found.append((row, bench.run(name, "fine-tune", "xquad", *row.command)))
    return ["## Answers in a context: XQuAD, MiniLM", *_table(found, seconds, "f1", "test F1"), ""]


N_LABELLED = 10
"""Questions of a class that keep their label where a teacher has to say the rest."""


def taught(bench: Bench, data: Path, epochs: int) -> list[str]:
    """The first three layers of MiniLM, alone and taught by a head on mpnet, frozen and tuned, as Markdown."""
    train = list(csv.DictReader((data / "banking77" / "train.csv").open(encoding="utf-8")))
    test = list(csv.DictReader((data / "banking77" / "test.csv").open(encoding="utf-8")))
    part, rest = stratified(train, N_TRAIN, 0, "category")
    held, _ = stratified(rest, N_VALIDATION, 0, "category")
    few, _ = stratified(part, N_LABELLED * len({row["category"] for row in part}), 0, "category")
    kept = {row["text"] for row in few}
    hidden = [row if row["text"] in kept else {**row, "category": ""} for row in part]
    parts = {"train": hidden, "validation": held, "test": test}
    source = write_texts(bench.work / "taught.csv", parts)
    columns = ["--text-column", "text", "--label-column", "category"]
    student, teacher = "bundled:all-minilm-l6-v2", "bundled:all-mpnet-base-v2"
    seconds = bench.extract(source, "taught", student, "--taps", "3.mean", *columns)
    bench.extract(source, "teacher", teacher, *columns)
    head = bench.run("t-teacher", "fit-head", "teacher", "--head", "linear")
    found = [(Row("t-teacher", "the teacher: head `linear` on mpnet", []), head)]
    listens = ["--teacher", str(bench.work / "runs" / "t-teacher")]
    tune = ["--tap", "3.mean", "--strategy", "full", "--lr", "2e-4"]
    alone = (
        epochs * len(part) // len(kept)
    )  # without a teacher unlabelled questions take no part: as many steps
    for name, label, command in (
        ("t-head", "head `linear`, alone", ["fit-head", "taught", "--head", "linear"]),
        ("t-head-taught", "head `linear`, taught", ["fit-head", "taught", "--head", "linear", *listens]),
        ("t-full", "`full`, alone", ["fine-tune", "taught", *tune, "--epochs", str(alone)]),
        (
            "t-full-taught",
            "`full`, taught",
            ["fine-tune", "taught", *tune, "--epochs", str(epochs), *listens],
        ),
    ):
        found.append((Row(name, label, command), bench.run(name, *command)))
    about = f"{len(kept):,} labelled questions, {len(part) - len(kept):,} without a label:"
    return ["## A teacher's opinion: banking77, mpnet and MiniLM", "", about, *_table(found, seconds), ""]


def _accuracy(report: dict[str, Any], figure: str = "accuracy") -> str:
    metrics = report["metrics"]["test"]
    interval = metrics["intervals"].get(figure)
    return f"{metrics[figure]:.1%}" + (f" [{interval[0]:.1%}, {interval[1]:.1%}]" if interval else "")


def _table(
    found: Sequence[tuple[Row, dict[str, Any]]],
    seconds: float,
    figure: str = "accuracy",
    title: str = "test accuracy",
) -> Iterator[str]:
    yield ""
    yield f"Extraction, once for all heads: {seconds:.1f} s."
    yield ""
    yield f"| | {title} | s | s to the best epoch | epochs, best | MB above loading | parameters trained |"
    yield "|---|---|---:|---:|---|---:|---:|"
    for row, report in found:
        timings, cost = report["timings"], report["cost"]
        epochs = report.get("epochs")
        above = (cost["peak_resident_bytes"] - cost["loaded_resident_bytes"]) / 1e6
        best = f"{epochs['run']}, {epochs['best']}" if epochs else "-"
        to_best = timings.get("to_best", timings["fit"])
        yield (
            f"| {row.label} | {_accuracy(report, figure)} | {timings['fit']:,.1f} | {to_best:,.1f} | {best} "
            f"| {above:,.0f} | {cost['parameters']:,} |"
        )


def _claims(found: Sequence[tuple[Row, dict[str, Any]]], seconds: float) -> Iterator[str]:
    by_name = {row.name.removeprefix("p-"): report for row, report in found}
    full = by_name["full"]
    to_best = full["timings"]["to_best"]

    def above(report: dict[str, Any]) -> float:
        return float(report["cost"]["peak_resident_bytes"] - report["cost"]["loaded_resident_bytes"])

    for name in (row.name for row in HEADS):
        fit = by_name[name]["timings"]["fit"]
        yield (
            f"- `{name}`: the first head, extraction counted, {to_best / (seconds + fit):.1f} × faster than full "
            f"fine-tuning to its best epoch; the second {to_best / fit:,.0f} ×; memory above the level after loading "
            f"{above(full) / max(above(by_name[name]), 1):.1f} × less."
        )


def main() -> None:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("comparison"))
    parser.add_argument("--only", choices=["texts", "photos", "words", "answers", "taught"])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--sizes", default="100,300,1000")
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    bench = Bench(args.work.resolve())
    parts = []
    if args.only in (None, "texts"):
        parts += texts(bench, args.data.resolve(), args.epochs, [int(size) for size in args.sizes.split(",")])
    if args.only in (None, "photos"):
        parts += ["", *photos(bench, args.data.resolve(), args.epochs)]
    if args.only in (None, "words"):
        parts += ["", *words(bench, args.data.resolve(), args.epochs)]
    if args.only in (None, "answers"):
        parts += ["", *answers(bench, args.data.resolve(), args.epochs)]
    if args.only in (None, "taught"):
        parts += ["", *taught(bench, args.data.resolve(), args.epochs)]
    print("\n".join(parts))
    args.page.with_suffix(".measured.md").write_text("\n".join(parts) + "\n", "utf-8")


if __name__ == "__main__":
    main()
