"""Running one step: the command's stage, and where its result goes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from headstart.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from headstart.config import CompareConfig, ExtractConfig, FitConfig, PredictConfig, TuneConfig
    from headstart.pipelines.options import ExportStep
    from headstart.pipelines.work import Bench, Work
    from headstart.registry.run import Run

HEADLINES = ("accuracy", "macro_f1", "micro_f1", "r2", "mae", "rmse")


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
    from headstart.fitting.stage import fit_head

    checkpoint = work.target.with_name(f".{work.target.name}.training")
    if not resume:
        checkpoint.unlink(missing_ok=True)
    record = fit_head(cast("FitConfig", work.config), bench.progress, checkpoint)
    record.save(work.target, overwrite=True)
    checkpoint.unlink(missing_ok=True)
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
    metrics: Mapping[str, Any] = record.report["metrics"]
    short = {
        split: {
            **{name: values[name] for name in HEADLINES if values.get(name) is not None},
            "n": values["n"],
            "intervals": {
                name: found for name, found in values.get("intervals", {}).items() if name in HEADLINES
            },
        }
        for split, values in metrics.items()
        if split != "train"
    }
    return {"run": target.name, "metrics": short, "fit_seconds": record.report["timings"]["fit"]}


def _compare(work: Work, bench: Bench) -> dict[str, Any]:
    from headstart.comparison.runs import open_runs
    from headstart.comparison.stage import compare, compare_opened
    from headstart.pipelines.other_set import judge_elsewhere

    config, paths = cast("CompareConfig", work.config), list(work.runs.values())
    if work.features is None:
        comparison = compare(paths, bench.cache, config.seed)
    else:
        elsewhere = judge_elsewhere(open_runs(paths), work.features, bench)
        comparison = compare_opened(elsewhere, bench.cache, config.seed)
    comparison.save(work.target, overwrite=True, plots=config.plots)
    figures = {run.name: run.figures[comparison.figure] for run in comparison.runs}
    return {
        "comparison": work.target.name,
        "n": comparison.n,
        "figure": comparison.figure,
        "figures": figures,
        "intervals": {run.name: run.intervals[comparison.figure] for run in comparison.runs},
        "best": comparison.best,
        "cheapest": comparison.cheapest,
        "advice": list(comparison.advice),
    }


def _predict(work: Work, bench: Bench) -> dict[str, Any]:
    from headstart.files import write_durably, write_folder
    from headstart.prediction.stage import predict
    from headstart.registry.run import Run, parquet_bytes

    (run,) = work.runs.values()
    table = predict(Run.load(run), cast("PredictConfig", work.config), bench.progress)
    content = parquet_bytes(table)
    write_folder(work.target, lambda folder: write_durably(folder / "predictions.parquet", content))
    return {
        "predictions": f"{work.target.name}/predictions.parquet",
        "rows": table.num_rows,
        "failures": table.column("prediction").null_count,
    }


def _export(work: Work, bench: Bench) -> dict[str, Any]:
    from headstart.exporting.stage import export
    from headstart.registry.run import Run

    (run,) = work.runs.values()
    config = cast("ExportStep", work.config)
    done = export(
        Run.load(run), config.to, work.target, bench.progress, overwrite=True, offline=config.offline
    )
    return {**done.as_json, "path": work.target.name}
