"""The README.md of a run: a model card in Hugging Face's sense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from headstart.cache.corrections import counts_said
from headstart.columns import over_groups, with_interval
from headstart.notebook import html_table
from headstart.registry.labels import has_several, parts_of, reports_by_label
from headstart.registry.metric import Metric, interval_in, value_in
from headstart.tasks import open_task
from headstart.words import counted

if TYPE_CHECKING:
    from headstart.types import Json

NAMES, ZERO_SHOT = "zero_shot", "zero-shot"
"""The entry of a report on names of classes, and the head that is made of them alone."""
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
    parts = [
        *_opening(report, labels, features),
        _taught(report),
        _named(report),
        _corrected(report),
        *_figures(report, labels),
        "## Use\n\n```\nheadstart predict <this directory> DATA --out predictions.csv\n```",
        _made_by(report),
        *_details(report),
    ]
    shown = {name.rpartition(".")[0]: name for name in reversed(plots)}  # of both kinds the first, a PNG file
    parts.extend(f"![{name}](plots/{file})" for name, file in reversed(shown.items()))
    return "\n\n".join(part for part in parts if part) + "\n"


def _figures(report: Mapping[str, Json], labels: Mapping[str, Json]) -> Iterator[str]:
    """How good it is, for each label."""
    for part, (label, own) in zip(parts_of(labels), reports_by_label(report).items(), strict=True):
        if label:
            yield f"## {_cell(label)}\n\nPredicts {_what(part)}.{_chosen(own)}"
        yield _metrics_table(own["metrics"])
        yield _spread(own)


def _made_by(report: Mapping[str, Json]) -> str:
    provenance = report["provenance"]
    chosen = "" if has_several(report) else _chosen(report)
    return (
        f"## Made by\n\nheadstart {provenance['headstart']}, {provenance['created']}, seed {report['seed']}; "
        f"parameters of the head: `{params_of(report)}`.{chosen}\n`config.yaml` repeats the run: "
        f"`headstart {'fine-tune' if report.get('method') else 'fit-head'} --config config.yaml --out NEW`."
    )


def _details(report: Mapping[str, Json]) -> Iterator[str]:
    """Limits, classes and mistakes, for each label."""
    for label, own in reports_by_label(report).items():
        of = f" of {_cell(label)}" if label else ""
        yield _limits(own, of)
        yield _class_table(own["metrics"].get("test", {}).get("per_class", {}), of)
        yield _mistakes(own.get("errors", {}), of)


def _opening(
    report: Mapping[str, Json], labels: Mapping[str, Json], features: Mapping[str, Json]
) -> tuple[str, str]:
    """Title, and what it is."""
    n_train, method = report["data"]["n_train"], report.get("method")
    a_set = f"the set `{features['set']}` ({features['digest']})"
    samples = f"{counted(n_train, 'sample')} of {a_set}"
    if not method:
        learnt_on = f"as {a_set} has them" if report["head"]["name"] == ZERO_SHOT else f"fitted on {samples}"
        return (
            f"# {report['head']['name']} head on {_backbones(features)}",
            f"Predicts {_what(labels)} from frozen features of {_taps(features)}, {learnt_on}"
            f"{_views(report)}.{_prepared(report)}",
        )
    cost, epochs = report["cost"], report["epochs"]
    said = f"Predicts {_what(labels)} by a linear head on {_taps(features)}, trained together on {samples}"
    if method["strategy"] == CONTRASTIVE:
        head = report["head"]["name"]
        said = f"Predicts {_what(labels)} by a {head} head on {_taps(features)}, tuned on pairs of {samples}"
    if report["head"]["name"] == DECODER:
        said = f"Writes {_what(labels)} by the decoder of {_backbones(features)}, trained on {samples}"
    is_tuned = "states" not in report or method["strategy"] == "gradual"
    return (
        f"# {_backbones(features)}, fine-tuned ({method['strategy']})",
        f"{said}: {cost['parameters']:,} of {cost['total_parameters']:,} parameters, "
        f"{counted(epochs['run'], 'epoch')}, of which number {epochs['best']} was the best."
        + (" The tuned backbone lies in `model/backbone`." if is_tuned else " Its encoder is as it was."),
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


def _corrected(report: Mapping[str, Json]) -> str:
    """Which corrections of labels it stands on."""
    said = corrections_of(report)
    return f"The set's labels were corrected by hand: {said}." if said else ""


def corrections_of(report: Mapping[str, Json]) -> str:
    """Which corrections the set of a run stands on, and from which files; empty if it stands on none."""
    provenance = report.get("provenance")
    counts = provenance.get("corrections") if isinstance(provenance, dict) else None
    if not isinstance(counts, dict):
        return ""
    said = counts_said(counts)
    files = [file["name"] for file in report.get("corrections", {}).get("files", [])]
    return (said or "none in effect") + (f"; this run was given {', '.join(files)}" if files else "")


def _named(report: Mapping[str, Json]) -> str:
    """What it was told the classes are called."""
    said = names_said(report)
    if not said:
        return ""
    alone = report["head"]["name"] == ZERO_SHOT
    how = (
        "The names of its classes decide, and no sample was learnt from" if alone else "It starts from names"
    )
    return f"{how}: {said}; for the first class a model reads `{_cell(report[NAMES]['example'][0])}`."


def names_said(report: Mapping[str, Json]) -> str:
    """Where the names of classes are from, and what they were put into; empty if no head starts from names."""
    named = report.get(NAMES)
    if not isinstance(named, dict):
        return ""
    return f"named by {named['names_from']}, templates {', '.join(named['templates'])}"


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
    said = [
        open_task(part.get("kind", "single")).describe(part["column"], part["classes"])
        for part in parts_of(labels)
    ]
    return ", ".join(said[:-1]) + " and " + said[-1] if len(said) > 1 else said[0]


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


CONTRASTIVE = "contrastive"
"""The strategy that fits its head when the backbone is tuned."""
DECODER = "decoder"
"""What the head of a run that writes texts is called."""
COLUMNS = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "log_loss": "log loss",
    "ece": "calibration error",
    "r2": "R²",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "chrf": "chrF",
    "bleu": "BLEU",
    "rouge_l": "ROUGE-L",
    "exact_match": "exact match",
    "f1": "F1",
}
"""What the table of figures shows, where there is such a figure."""


WORST = {
    "error": "Largest errors",
    "confidence": "Most confident mistakes",
    "f1": "Worst answers",
    "chrf": "Furthest from what was to be written",
}
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


def _mistakes(errors: Mapping[str, Json], of: str) -> str:
    mistakes = errors.get("mistakes", [])[:SHOWN_MISTAKES]
    if not mistakes:
        return ""
    by, title = next((name, title) for name, title in WORST.items() if name in mistakes[0])
    names = ("label", "prediction", by)
    said = [[_value(mistake[name]) for name in names] for mistake in mistakes]
    rows = [[_cell(_sample(mistake)), *cells] for mistake, cells in zip(mistakes, said, strict=True)]
    return f"## {title}{of}, on {errors['split']}\n\n" + _table(["sample", *names], rows)


def _value(value: Json) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _cell(value)


def _sample(mistake: Mapping[str, Json]) -> str:
    shown = str(mistake.get("input") or mistake["id"])
    return shown if len(shown) <= SHOWN_LETTERS else shown[: SHOWN_LETTERS - 1] + "…"


def _class_table(per_class: Mapping[str, Json], of: str) -> str:
    if not per_class:
        return ""
    rows = [
        [_cell(name), f"{v['precision']:.3f}", f"{v['recall']:.3f}", f"{v['f1']:.3f}", str(v["support"])]
        for name, v in list(per_class.items())[:SHOWN_CLASSES]
    ]
    return f"## Classes{of}, on test\n\n" + _table(["class", "precision", "recall", "F1", "samples"], rows)


def _limits(report: Mapping[str, Json], of: str) -> str:
    data, notes = report["data"], []
    n_idle = data["n_unlabelled"] - report.get("distillation", {}).get("n_unlabelled", 0)
    if data["unseen_in_train"]:
        names = ", ".join(data["unseen_in_train"][:10])
        notes.append(f"Labels that train lacks, and that this head can never predict: {names}.")
    if data["n_skipped"]:
        notes.append(f"{data['n_skipped']:,} samples of the set could not be used; see its failures.jsonl.")
    if n_idle > 0:
        notes.append(f"{n_idle:,} samples have no label and took no part.")
    return f"## Limits{of}\n\n" + " ".join(notes) if notes else ""


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


def search_of(report: Mapping[str, Json]) -> str:
    """How good the neighbours are that a run's head finds by an index; empty if it finds them exactly, or has none."""
    head = report.get("head")
    search = head.get("search") if isinstance(head, dict) else None
    if not isinstance(search, dict):
        return ""
    return f"{search['neighbours']}, recall at {search['k']} is {search['recall']:.4f} of {search['n_queries']:,} rows"


def figures_table(label: str, report: Mapping[str, Json]) -> str:
    """The leading score of a label on each split, for a notebook."""
    name = open_task(str(report.get("task") or "single")).leading_score
    rows = []
    for split in report["metrics"]:
        metric = Metric(split, name)
        value, interval = value_in(report, metric), interval_in(report, metric)
        said = "–" if value is None else f"{value:.4f}"
        rows.append([split, said, f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else "–"])
    return html_table(label, ["split", name, "95 %"], rows)
