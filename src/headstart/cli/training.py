"""``headstart fit-head`` and ``headstart fine-tune``."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from headstart import api
from headstart.cli.command import AsJson, ConfigFile, Quiet, Said, made_from, write_json
from headstart.cli.figures import figures_line
from headstart.columns import cell, with_deviation
from headstart.registry.labels import reports_by_label
from headstart.words import counted

if TYPE_CHECKING:
    from headstart.config import FitConfig
    from headstart.registry.run import Run


@made_from(api.fit_head, optional=["features"])
def fit_head(
    said: Said,
    config: ConfigFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    from headstart.config import FitConfig
    from headstart.errors import ConfigError
    from headstart.files import make_directory
    from headstart.fitting.data import chosen_by
    from headstart.plots.studio import open_studio
    from headstart.progress import open_progress
    from headstart.registry.default_place import default_place
    from headstart.registry.run import check_free
    from headstart.registry.run_files import state_folder

    if (said["features"] is None) == (config is None):
        raise ConfigError("say which set to fit on: headstart fit-head SET, or --config FILE")
    resolved = said.config(FitConfig, config, features="set")
    target = said["out"] or default_place(_run_name(resolved), chosen_by(resolved))
    check_free(target, said["overwrite"])
    make_directory(target.parent)
    checkpoint = state_folder(target)
    with open_studio(resolved.plots) as studio:
        from headstart.fitting.head_training import forget_states
        from headstart.fitting.stage import fit_head as fit

        run = fit(resolved, open_progress(quiet), checkpoint, target.parent)
        run.save(target, said["overwrite"], studio.draw)
    forget_states(checkpoint)
    if as_json:
        write_json({"run": str(target), **run.report})
        return
    _show_fitted(run)
    typer.echo(f"fitted in {run.report['timings']['fit']:.2f} s; the run lies in {target}")


@made_from(api.fine_tune, optional=["data"])
def fine_tune(
    said: Said,
    config: ConfigFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    from headstart.config import TuneConfig
    from headstart.errors import ConfigError
    from headstart.progress import open_progress
    from headstart.registry.default_place import default_place
    from headstart.tuning.stage import fine_tune as run
    from headstart.tuning.stage import run_name
    from headstart.tuning.state import prepare_state

    if (said["data"] is None) == (config is None):
        raise ConfigError("say what to train on: headstart fine-tune DATA|SET, or --config FILE")
    resolved = said.config(TuneConfig, config)
    target = said["out"] or default_place(run_name(resolved), resolved)
    state = prepare_state(resolved, target, said["resume"], said["overwrite"])
    tuned = run(resolved, open_progress(quiet), state)
    tuned.save(target, said["overwrite"])
    shutil.rmtree(state, ignore_errors=True)
    if as_json:
        write_json({"run": str(target), **tuned.report})
        return
    _show_tuned(tuned, target)


def _run_name(config: FitConfig) -> str:
    """What a run is called where nobody says it: which head wins a sweep is not known before the work."""
    head = "sweep" if "head" in config.sweep else config.head.removeprefix("py:").replace(":", "-")
    return f"{config.set}-{head}"


def _show_fitted(run: Run) -> None:
    """The figures of a run, as a person reads them; of several labels one after the other."""
    if run.has_several and "sweep" in run.report:  # of a network that they share
        _show_sweep(run.report["sweep"])
    for label, report in reports_by_label(run.report).items():
        if label:
            typer.echo(f"[{cell(label)}]")
        _show_label(report)


def _show_label(report: Mapping[str, Any]) -> None:
    if "sweep" in report:
        _show_sweep(report["sweep"])
    if importance := report.get("importance"):
        drops = ", ".join(f"{one['name']} {one['drop']:.4f} ± {one['deviation']:.4f}" for one in importance)
        typer.echo(f"{importance[0]['metric']} lost where a feature is shuffled: {drops}")
    _show_metrics(report)
    if "seeds" in report:
        _show_spread(report["seeds"], f"{report['seeds']['n']} seeds, {report['seeds']['split']}")
    _show_curves(report)


def _show_curves(report: Mapping[str, Any]) -> None:
    """The tables of few-shot protocols and learning curves."""
    from headstart.curves.report import curve_lines

    for line in curve_lines(report):
        typer.echo(line)


def _show_metrics(report: Mapping[str, Any]) -> None:
    """A line of figures for each split."""
    for split, metrics in report["metrics"].items():
        typer.echo(figures_line(split, report["task"], metrics))


def _show_sweep(sweep: Mapping[str, Any]) -> None:
    """What was chosen, and how well it did."""
    judged_on = f"{sweep['folds']} folds" if sweep["folds"] else "validation"
    if sweep["best"]:
        best = ", ".join(f"{name}={value}" for name, value in sweep["best"].items())
        typer.echo(f"best of {len(sweep['trials'])} on {judged_on}: {best}")
    spread = {
        part: {name: each[part] for name, each in sweep["validation"].items()}
        for part in ("mean", "deviation")
    }
    _show_spread(spread, judged_on)


def _show_spread(row: Mapping[str, Any], title: str) -> None:
    figures = "  ".join(
        f"{name.replace('_', ' ')} {with_deviation(mean, row['deviation'][name])}"
        for name, mean in row["mean"].items()
    )
    typer.echo(f"{title}: {figures}")


def _show_tuned(run: Run, target: Path) -> None:
    """The figures of a run, as a person reads them."""
    report: Mapping[str, Any] = run.report
    if "sweep" in report:
        _show_sweep(report["sweep"])
    _show_metrics(report)
    _show_curves(report)
    if drawn := report.get("drawn"):
        typer.echo(
            f"the network of the run is that of {drawn['protocol']} {drawn['size']:,}, seed {drawn['seed']}: "
            f"{drawn['n_left_out']:,} train samples were left out"
        )
    cost, epochs, timings = report["cost"], report["epochs"], report["timings"]
    typer.echo(
        f"{cost['parameters']:,} of {cost['total_parameters']:,} parameters trained for "
        f"{counted(epochs['run'], 'epoch')} in {timings['fit']:.1f} s, the best after "
        f"{epochs['best']} ({timings['to_best']:.1f} s); "
        f"the run lies in {target}"
    )
