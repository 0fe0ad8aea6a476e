"""One step: its command's own configuration, the key that it is known by, the folder that it fills, and running it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headstart.cache.layout import set_name_from
from headstart.cache.store import Cache
from headstart.config import (
    ON_CLUSTER,
    CompareConfig,
    EvaluateConfig,
    ExtractConfig,
    FitConfig,
    PredictConfig,
    TuneConfig,
)
from headstart.corrections.file import read_files
from headstart.errors import ConfigError, MismatchError
from headstart.pipelines.schema import ExportStep
from headstart.pipelines.shipped import MADE_MODELS, made_model_path, made_path, make_data, make_model
from headstart.pipelines.state import mark_of
from headstart.registry.labels import LABELS, reports_by_label
from headstart.registry.run_files import state_folder

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.cache.sets import FeatureSet
    from headstart.comparison.comparison import Comparison
    from headstart.comparison.runs import NamedRun
    from headstart.config import Config
    from headstart.contracts import Progress
    from headstart.pipelines.schema import Pipeline, Step
    from headstart.pipelines.state import Done
    from headstart.registry.run import Run

NO_DIFFERENCE = (
    "cache", "device", "workers", "format", "offline", "track", "part_size", "plots", "data", "init_head", "runs",
    "run", "teacher", "corrections", "engine", *ON_CLUSTER,
)  # fmt: skip
"""What changes no result, or is in the key by its content."""

HEADLINES = ("accuracy", "macro_f1", "micro_f1", "r2", "mae", "rmse", "chrf", "bleu", "exact_match")


@dataclass(frozen=True)
class Bench:
    """Where and how a pipeline works."""

    pipeline: Pipeline
    folder: Path
    cache: str | None
    offline: bool
    progress: Progress
    replace: bool = False
    """Whether sets that would become others are made anew."""

    def place(self, step: str) -> Path:
        """The folder of a step."""
        return self.folder / step


@dataclass(frozen=True)
class Work:
    """A step that is ready to run, with the runs that it names by step, and ``set`` and ``digest`` of its features."""

    step: Step
    config: Config
    key: str
    target: Path
    runs: Mapping[str, Path]
    features: Mapping[str, Any] | None = None


def work_of(step: Step, bench: Bench, done: Mapping[str, Done], make: bool) -> Work:
    """Resolve a step whose needs are there; without ``make``, data that is to be made is not made."""
    verb = step.verb
    runs = {name: bench.place(name) for name in step.needs if bench.pipeline.step(name).verb != "extract"}
    named = next((name for name in step.needs if name not in runs), None)
    features = None if named is None else done[named].result
    config = _config(step, bench, features, make)
    reads_head_only = verb in ("fit-head", "fine-tune")
    tokens = [_token(bench, name, done, reads_head_only) for name in step.needs]
    tokens += _contents(config.corrections) if isinstance(config, FitConfig) else []
    return Work(step, config, _key(verb, config, tokens), bench.place(step.name), runs, features)


def _config(step: Step, bench: Bench, features: Mapping[str, Any] | None, make: bool) -> Config:
    """The options as the command's own configuration."""
    options = dict(step.options)
    for name in ("init_head", "teacher"):
        if name in options:
            options[name] = (bench.folder / options[name]).resolve()
    computes: dict[str, Any] = {"cache": bench.cache}
    if bench.offline:
        computes["offline"] = True
    pinned = {} if features is None else {"set": features["set"], "digest": features["digest"]}
    match step.verb:
        case "extract":
            name = options.pop("set", None) or set_name_from(f"{bench.pipeline.name}-{step.name}")
            where = {"set": name, "data": _data(step, bench, make)}
            return ExtractConfig(**{**options, **computes, **where, **_backbone(step, bench, make)})
        case "fit-head":
            return FitConfig(**{**options, **pinned, "cache": bench.cache})
        case "fine-tune":
            assert features is not None  # the schema saw to it
            return TuneConfig(**{**options, **computes, "data": features["data"], **pinned})
        case "predict":
            del options["run"]
            return PredictConfig(**{**options, **computes, "data": _data(step, bench, make)})
        case "export":
            return ExportStep(**{**options, "offline": options.get("offline", False) or bench.offline})
    return CompareConfig(**options)


def _data(step: Step, bench: Bench, make: bool) -> str:
    """Where the data lies."""
    data = step.data
    assert data is not None  # the schema saw to it
    if data.make is None:
        return str(data.path)
    find = make_data if make else made_path
    return str(find(data.make, data.rows, bench.folder / "data", data.labelled))


def _backbone(step: Step, bench: Bench, make: bool) -> dict[str, str]:
    """The model that an earlier step exported, or that is made, where the step means one."""
    said = step.options.get("backbone")
    if not isinstance(said, str):  # several, which are none of these
        return {}
    if said in step.needs:
        return {"backbone": f"hf:{bench.place(said).resolve()}"}
    if said in MADE_MODELS:
        find = make_model if make else made_model_path
        return {"backbone": f"hf:{find(said, bench.folder / 'data').resolve()}"}
    return {}


def _token(bench: Bench, name: str, done: Mapping[str, Done], reads_head_only: bool) -> str:
    """What of an earlier step a later one hangs on: a set's digest, a head's files, or a whole report."""
    if bench.pipeline.step(name).verb == "extract":
        # Of a model that an earlier step exported, features show the encoder alone.
        exported = [mark_of(bench.place(other)) for other in bench.pipeline.step(name).needs]
        return ":".join([str(done[name].result["digest"]), *exported])
    if not reads_head_only:
        return mark_of(bench.place(name))
    digest = blake2b(digest_size=8)
    model = bench.place(name) / "model"
    for path in sorted(model.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(model).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _contents(files: Sequence[Any]) -> list[str]:
    """The digests of files of corrections, in whatever order they are named."""
    return sorted(file.digest for file in read_files(files))


def _key(verb: str, config: Config, tokens: list[str]) -> str:
    said = config.model_dump(mode="json", exclude_none=True, exclude=set(NO_DIFFERENCE))
    if isinstance(config, ExtractConfig | PredictConfig):
        said["data"] = config.data
    text = json.dumps([verb, said, tokens], sort_keys=True, ensure_ascii=False)
    return blake2b(text.encode("utf-8"), digest_size=8).hexdigest()


def run_work(work: Work, bench: Bench, resume: bool) -> dict[str, Any]:
    """Run a step and write what it leaves, whole or not at all; what ``pipeline.json`` says of it.

    ``resume`` says that what an interrupted training left there is of this very step.
    """
    match work.step.verb:
        case "fit-head":
            return _fit_head(work, bench, resume)
        case "fine-tune":
            return _fine_tune(work, bench, resume)
    run = {"extract": _extract, "compare": _compare, "predict": _predict, "export": _export}
    return run[work.step.verb](work, bench)


def _extract(work: Work, bench: Bench) -> dict[str, Any]:
    from headstart.extraction.stage import check_strict, extract

    config = cast("ExtractConfig", work.config)
    config = config.model_copy(update={"replace": config.replace or bench.replace})
    done = extract(config, bench.progress)
    check_strict(config, done)
    features = done.features
    is_fitted = any(work.step.name in step.needs for step in bench.pipeline.steps)
    if is_fitted and not features.label_names:
        raise ConfigError(
            f"{config.data}: none of its columns was recognised as a label; say which: --set data.label_column=NAME"
        )
    return {
        "set": features.name,
        "digest": features.digest,
        "data": features.info["source"]["location"],
        "samples": done.n_samples,
        "computed": done.n_computed,
        "failures": done.n_skipped,
    }


def _fit_head(work: Work, bench: Bench, resume: bool) -> dict[str, Any]:
    from headstart.fitting.head_training import forget_states
    from headstart.fitting.stage import fit_head

    checkpoint = state_folder(work.target)
    if not resume:
        forget_states(checkpoint)
    record = fit_head(cast("FitConfig", work.config), bench.progress, checkpoint)
    record.save(work.target, overwrite=True)
    forget_states(checkpoint)
    return _figures(record, work.target)


def _fine_tune(work: Work, bench: Bench, resume: bool) -> dict[str, Any]:
    from headstart.tuning.stage import fine_tune
    from headstart.tuning.state import prepare_state

    config = cast("TuneConfig", work.config)
    state = prepare_state(config, work.target, resume, overwrite=True)
    record = fine_tune(config, bench.progress, state)
    record.save(work.target, overwrite=True)
    shutil.rmtree(state, ignore_errors=True)
    return _figures(record, work.target)


def _figures(record: Run, target: Path) -> dict[str, Any]:
    """The headline figures of a run, with their intervals."""
    short = {label: _headlines(report) for label, report in reports_by_label(record.report).items()}
    said = {LABELS: short} if record.has_several else {"metrics": short[""]}
    return {"run": target.name, **said, "fit_seconds": record.report["timings"]["fit"]}


def _headlines(report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        split: {
            **{name: values[name] for name in HEADLINES if values.get(name) is not None},
            "n": values["n"],
            "intervals": {
                name: found for name, found in values.get("intervals", {}).items() if name in HEADLINES
            },
        }
        for split, values in report["metrics"].items()
        if split != "train"
    }


def _compare(work: Work, bench: Bench) -> dict[str, Any]:
    from headstart.comparison.by_label import LabelComparisons
    from headstart.comparison.runs import open_runs
    from headstart.comparison.stage import compare, compare_opened

    config, paths = cast("CompareConfig", work.config), list(work.runs.values())
    comparison: Comparison | LabelComparisons
    if work.features is None:
        comparison = compare(paths, bench.cache, config.seed, label=config.label)
    else:
        elsewhere = _judge_elsewhere(open_runs(paths, label=config.label), work.features, bench)
        comparison = compare_opened(elsewhere, bench.cache, config.seed, with_curves=False)
    comparison.save(work.target, overwrite=True, plots=config.plots)
    said = {"comparison": work.target.name, "advice": list(comparison.advice)}
    if isinstance(comparison, LabelComparisons):
        return {LABELS: {label: _compared(part) for label, part in comparison.items()}, **said}
    return {**_compared(comparison), **said}


def _compared(comparison: Comparison) -> dict[str, Any]:
    figures = {run.name: run.figures[comparison.figure] for run in comparison.runs}
    return {
        "n": comparison.n,
        "figure": comparison.figure,
        "figures": figures,
        "intervals": {run.name: run.intervals[comparison.figure] for run in comparison.runs},
        "best": comparison.best,
        "cheapest": comparison.cheapest,
    }


def _judge_elsewhere(runs: Sequence[NamedRun], features: Mapping[str, Any], bench: Bench) -> list[NamedRun]:
    """The same runs with predictions for the test samples of another set, which they were not made for."""
    opened = Cache(bench.cache).open_set(features["set"], features["digest"])
    wanted = str(runs[0].run.labels.get("column", ""))
    column = opened.label_column(wanted if wanted in opened.label_names else None)
    return [replace(run, predictions=_predictions(run, opened, column, bench)) for run in runs]


def _predictions(run: NamedRun, features: FeatureSet, column: str, bench: Bench) -> pa.Table:
    """What a run predicts of samples of another set, kept beside it as `evaluate` keeps it."""
    from headstart.evaluation.stage import evaluate
    from headstart.registry.evaluations import SPLIT, place_in

    saved, kind = run.run, features.label_kinds[column]
    strangers = set(features.label_names[column]) - set(saved.labels["names"])
    if saved.task != kind or strangers:
        raise MismatchError(
            f"run {run.name} cannot be judged on these samples: it predicts {saved.task} labels "
            f"{', '.join(map(str, saved.labels['names'][:5]))}, and they have others"
        )
    about: dict[str, Any] = {"cache": bench.cache, "offline": bench.offline, "label_column": [column]}
    config = EvaluateConfig(data=features, name=features.name, split=SPLIT, plots="none", **about)
    done = evaluate(saved, config, bench.progress)
    return done.save(place_in(saved.folder, features.name), overwrite=True, plots="none").predictions


def _predict(work: Work, bench: Bench) -> dict[str, Any]:
    from headstart.files import write_durably, write_folder
    from headstart.prediction.stage import predict
    from headstart.prediction_table import count_unpredicted
    from headstart.registry.run import Run, parquet_bytes

    (run,) = work.runs.values()
    table = predict(Run.load(run), cast("PredictConfig", work.config), bench.progress)
    content = parquet_bytes(table)
    write_folder(work.target, lambda folder: write_durably(folder / "predictions.parquet", content))
    return {
        "predictions": f"{work.target.name}/predictions.parquet",
        "rows": table.num_rows,
        "failures": count_unpredicted(table),
    }


def _export(work: Work, bench: Bench) -> dict[str, Any]:
    from headstart.exporting.stage import export
    from headstart.registry.run import Run

    (run,) = work.runs.values()
    config = cast("ExportStep", work.config)
    found = Run.load(run)
    one = found if config.label is None else found.of(config.label)
    done = export(one, config.to, work.target, bench.progress, overwrite=True, offline=config.offline)
    return {**done.as_json, "path": work.target.name}
