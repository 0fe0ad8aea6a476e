"""The README.md of a run: a model card in Hugging Face's sense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.types import Json

SHOWN_CLASSES = 100


def model_card(
    report: Mapping[str, Json],
    labels: Mapping[str, Json],
    features: Mapping[str, Json],
    plots: Sequence[str],
) -> str:
    """Markdown that says what this run is, how good it is and how to use it."""
    head, provenance = report["head"], report["provenance"]
    parts = [
        f"# {head['name']} head on {features['backbone']}",
        f"Predicts `{labels['column']}` ({len(labels['classes'])} classes) from frozen features of "
        f"`{features['backbone']}` at `{features['tap']}`, fitted on {report['data']['n_train']:,} samples of "
        f"the set `{features['set']}` ({features['digest']}){_views(report)}.",
        _metrics_table(report["metrics"]),
        "## Use\n\n```\nheadstart predict <this directory> DATA --out predictions.csv\n```",
        f"## Made by\n\nheadstart {provenance['headstart']}, {provenance['created']}, seed {report['seed']}; "
        f"parameters of the head: `{head['params']}`.\n`config.yaml` repeats the run: "
        "`headstart fit-head --config config.yaml --out NEW`.",
        _limits(report["data"]),
    ]
    if "test" in report["metrics"]:
        parts.append(_class_table(report["metrics"]["test"]["per_class"]))
    parts.extend(f"![{name}](plots/{name}.png)" for name in plots)
    return "\n\n".join(part for part in parts if part) + "\n"


def _views(report: Mapping[str, Json]) -> str:
    names = report.get("views", {}).get("names", [])
    return f", shown plain or in one of {len(names)} views ({names[0]} to {names[-1]})" if names else ""


def _metrics_table(metrics: Mapping[str, Json]) -> str:
    rows = [
        f"| {split} | {values['n']:,} | {values['accuracy']:.4f} | {values['macro_f1']:.4f} |"
        for split, values in metrics.items()
    ]
    return "| split | samples | accuracy | macro-F1 |\n|---|---|---|---|\n" + "\n".join(rows)


def _class_table(per_class: Mapping[str, Json]) -> str:
    rows = [
        f"| {_cell(name)} | {v['precision']:.3f} | {v['recall']:.3f} | {v['f1']:.3f} | {v['support']} |"
        for name, v in list(per_class.items())[:SHOWN_CLASSES]
    ]
    return (
        "## Classes, on test\n\n| class | precision | recall | F1 | samples |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
    )


def _limits(data: Mapping[str, Json]) -> str:
    notes = []
    if data["unseen_in_train"]:
        names = ", ".join(data["unseen_in_train"][:10])
        notes.append(f"Labels that train lacks, and that this head can never predict: {names}.")
    if data["n_skipped"]:
        notes.append(f"{data['n_skipped']:,} samples of the set could not be used; see its failures.jsonl.")
    if data["n_unlabelled"]:
        notes.append(f"{data['n_unlabelled']:,} samples have no label and took no part.")
    return "## Limits\n\n" + " ".join(notes) if notes else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
