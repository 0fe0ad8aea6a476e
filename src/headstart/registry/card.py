"""The README.md of a run: a model card in Hugging Face's sense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from headstart.columns import over_groups, with_interval
from headstart.tasks import open_task
from headstart.words import counted

if TYPE_CHECKING:
    from headstart.types import Json

SHOWN_CLASSES = 100
SHOWN_LETTERS = 120
SHOWN_MISTAKES = 10


def model_card(
    report: Mapping[str, Json],
    labels: Mapping[str, Json],
    features: Mapping[str, Json],
    plots: Sequence[str],
) -> str:
    """Markdown that says what this run is, how good it is and how to use it."""
    provenance = report["provenance"]
    parts = [
        *_opening(report, labels, features),
        _taught(report),
        _metrics_table(report["metrics"]),
        _spread(report),
        "## Use\n\n```\nheadstart predict <this directory> DATA --out predictions.csv\n```",
        f"## Made by\n\nheadstart {provenance['headstart']}, {provenance['created']}, seed {report['seed']}; "
        f"parameters of the head: `{params_of(report)}`.{_chosen(report)}\n`config.yaml` repeats the run: "
        f"`headstart {'fine-tune' if report.get('method') else 'fit-head'} --config config.yaml --out NEW`.",
        _limits(report),
        _class_table(report["metrics"].get("test", {}).get("per_class", {})),
        _mistakes(report.get("errors", {})),
    ]
    shown = {name.rpartition(".")[0]: name for name in reversed(plots)}  # of both kinds the first, a PNG file
    parts.extend(f"![{name}](plots/{file})" for name, file in reversed(shown.items()))
    return "\n\n".join(part for part in parts if part) + "\n"


def _opening(
    report: Mapping[str, Json], labels: Mapping[str, Json], features: Mapping[str, Json]
) -> tuple[str, str]:
    """Title, and what it is."""
    n_train, method = report["data"]["n_train"], report.get("method")
    samples = f"{counted(n_train, 'sample')} of the set `{features['set']}` ({features['digest']})"
    if not method:
        return (
            f"# {report['head']['name']} head on {_backbones(features)}",
            f"Predicts {_what(labels)} from frozen features of {_taps(features)}, fitted on {samples}"
            f"{_views(report)}.{_prepared(report)}",
        )
    cost, epochs = report["cost"], report["epochs"]
    return (
        f"# {_backbones(features)}, fine-tuned ({method['strategy']})",
        f"Predicts {_what(labels)} by a linear head on {_taps(features)}, trained together on {samples}: "
        f"{cost['parameters']:,} of {cost['total_parameters']:,} parameters, {epochs['run']} epochs, of which number "
        f"{epochs['best']} was the best. The tuned backbone lies in `model/backbone`.",
    )


def _taught(report: Mapping[str, Json]) -> str:
    """Who taught it, and what of that is to be kept in mind."""
    lessons = report.get("distillation", {})
    said = []
    if "teacher" in lessons:
        said.append(
            f"Taught by `{lessons['teacher']}` ({_teacher(lessons)}) at temperature {lessons['temperature']:g}, whose "
            f"opinion counts {lessons['alpha']:g} beside the labels{_overlap(lessons)}."
        )
    if shown := lessons.get("features"):
        said.append(
            f"Its features learnt to be like `{shown['backbone']}` at `{shown['tap']}` (weight {shown['weight']:g})."
        )
    return " ".join(said)


def _teacher(lessons: Mapping[str, Json]) -> str:
    if "backbone" not in lessons:
        return "a table"
    return f"{lessons['head']} on `{lessons['backbone']}` at `{lessons['tap']}`"


def _overlap(lessons: Mapping[str, Json]) -> str:
    """What samples it spoke of, and whether it had been trained on them."""
    said = f"; {lessons['n_unlabelled']:,} samples had no other label" if lessons["n_unlabelled"] else ""
    if lessons["n_overlap"] is None:
        return said + "; nothing says what it was trained on"
    if not lessons["n_overlap"]:
        return said
    said += f"; it was trained on {lessons['n_overlap']:,} of the samples, "
    return said + (
        f"and spoke of those from {lessons['folds']} folds" if lessons["folds"] else "not by folds"
    )


def _what(labels: Mapping[str, Json]) -> str:
    return open_task(labels.get("kind", "single")).describe(labels["column"], labels["classes"])


def _backbones(features: Mapping[str, Json]) -> str:
    return " and ".join(dict.fromkeys(part["backbone"] for part in features.get("parts", [features])))


def _taps(features: Mapping[str, Json]) -> str:
    return " and ".join(
        f"`{part['backbone']}` at `{part['tap']}`" for part in features.get("parts", [features])
    )


def _prepared(report: Mapping[str, Json]) -> str:
    steps = report.get("prepare", [])
    return f" Features are prepared: {', '.join(steps)}." if steps else ""


def _chosen(report: Mapping[str, Json]) -> str:
    sweep = report.get("sweep")
    if not sweep:
        return ""
    return f" Chosen from {len(sweep['trials'])} on validation data: `{sweep['best']}`."


def _spread(report: Mapping[str, Json]) -> str:
    seeds = report.get("seeds")
    if not seeds or not seeds["values"]:
        return ""
    said = [
        f"{name.replace('_', ' ')} {seeds['mean'][name]:.4f} ± {seeds['deviation'][name] or 0:.4f}"
        for name in seeds["values"]
    ]
    return f"Over {seeds['n']} seeds, on {seeds['split']}: {', '.join(said)} (one standard deviation)."


def _views(report: Mapping[str, Json]) -> str:
    names = report.get("views", {}).get("names", [])
    return f", shown plain or in one of {len(names)} views ({names[0]} to {names[-1]})" if names else ""


COLUMNS = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "log_loss": "log loss",
    "ece": "calibration error",
    "r2": "R²",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "exact_match": "exact match",
    "f1": "F1",
}
"""What the table of figures shows, where there is such a figure."""


WORST = {"error": "Largest errors", "confidence": "Most confident mistakes", "f1": "Worst answers"}
"""What the table of mistakes is called, by what it is sorted by."""


def _metrics_table(metrics: Mapping[str, Json]) -> str:
    names = [name for name in COLUMNS if any(name in values for values in metrics.values())]
    rows = [
        [split, f"{values['n']:,}", *(_figure(values, name) for name in names)]
        for split, values in metrics.items()
    ]
    has_intervals = any("intervals" in values for values in metrics.values())
    note = ""
    if has_intervals:
        note = "\n\nIn brackets: 95 % intervals, of shares of samples exact ones, of others by bootstrap."
    for split, values in metrics.items():
        if "intervals" in values and (over := over_groups(values)):
            note += f" On {split} they are {over}."
    for split, values in metrics.items():
        for reason, titles in _without_interval(values, names).items():
            note += f" None of {', '.join(titles)} on {split}: {reason}."
    return _table(["split", "samples", *(COLUMNS[name] for name in names)], rows) + note


def _figure(values: Mapping[str, Json], name: str) -> str:
    return "" if values.get(name) is None else with_interval(values, name)


def _without_interval(values: Mapping[str, Json], names: Sequence[str]) -> dict[str, list[str]]:
    """Why figures that are shown have no interval: by reason their titles."""
    why: dict[str, list[str]] = {}
    for name in names:
        if name in values.get("no_interval", {}) and values.get(name) is not None:
            why.setdefault(values["no_interval"][name], []).append(COLUMNS[name])
    return why


def _mistakes(errors: Mapping[str, Json]) -> str:
    mistakes = errors.get("mistakes", [])[:SHOWN_MISTAKES]
    if not mistakes:
        return ""
    by, title = next((name, title) for name, title in WORST.items() if name in mistakes[0])
    names = ("label", "prediction", by)
    said = [[_value(mistake[name]) for name in names] for mistake in mistakes]
    rows = [[_cell(_sample(mistake)), *cells] for mistake, cells in zip(mistakes, said, strict=True)]
    return f"## {title}, on {errors['split']}\n\n" + _table(["sample", *names], rows)


def _value(value: Json) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _cell(value)


def _sample(mistake: Mapping[str, Json]) -> str:
    shown = str(mistake.get("input") or mistake["id"])
    return shown if len(shown) <= SHOWN_LETTERS else shown[: SHOWN_LETTERS - 1] + "…"


def _class_table(per_class: Mapping[str, Json]) -> str:
    if not per_class:
        return ""
    rows = [
        [_cell(name), f"{v['precision']:.3f}", f"{v['recall']:.3f}", f"{v['f1']:.3f}", str(v["support"])]
        for name, v in list(per_class.items())[:SHOWN_CLASSES]
    ]
    return "## Classes, on test\n\n" + _table(["class", "precision", "recall", "F1", "samples"], rows)


def _limits(report: Mapping[str, Json]) -> str:
    data, notes = report["data"], []
    n_idle = data["n_unlabelled"] - report.get("distillation", {}).get("n_unlabelled", 0)
    if data["unseen_in_train"]:
        names = ", ".join(data["unseen_in_train"][:10])
        notes.append(f"Labels that train lacks, and that this head can never predict: {names}.")
    if data["n_skipped"]:
        notes.append(f"{data['n_skipped']:,} samples of the set could not be used; see its failures.jsonl.")
    if n_idle > 0:
        notes.append(f"{n_idle:,} samples have no label and took no part.")
    return "## Limits\n\n" + " ".join(notes) if notes else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["|" + "---|" * len(header), *("| " + " | ".join(row) + " |" for row in rows)]
    return "\n".join(["| " + " | ".join(header) + " |", *lines])


def _cell(given: str | Sequence[str]) -> str:
    """A text, or several names, in one cell of a table."""
    text = given if isinstance(given, str) else ", ".join(given) or "(none)"
    return text.replace("|", "\\|").replace("\n", " ")


def params_of(report: Mapping[str, Json]) -> dict[str, Json]:
    """The parameters of a run's head; of those that fitting chose, such as ``C=auto``, what it chose."""
    head = report.get("head")
    head = head if isinstance(head, dict) else {}
    params = head.get("params")
    return {
        name: head[name] if head.get(name) is not None and isinstance(value, str) else value
        for name, value in (params if isinstance(params, dict) else {}).items()
    }
