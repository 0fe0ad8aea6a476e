"""``headstart fine-tune``."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from headstart import api
from headstart.cli.command import AsJson, ConfigFile, Quiet, Said, Verbose, made_from, write_json
from headstart.cli.fit_head import show_metrics, show_sweep

if TYPE_CHECKING:
    from headstart.registry.run import Run


@made_from(api.fine_tune, optional=["data"])
def fine_tune(
    said: Said,
    config: ConfigFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    from headstart.config import TuneConfig
    from headstart.errors import ConfigError
    from headstart.progress import open_progress
    from headstart.tuning.stage import fine_tune as run
    from headstart.tuning.stage import run_name
    from headstart.tuning.state import prepare_state

    if (said["data"] is None) == (config is None):
        raise ConfigError("say what to train on: headstart fine-tune DATA|SET, or --config FILE")
    resolved = said.config(TuneConfig, config)
    target = said["out"] or Path("runs") / run_name(resolved)
    state = prepare_state(resolved, target, said["resume"], said["overwrite"])
    tuned = run(resolved, open_progress(quiet), state)
    tuned.save(target, said["overwrite"])
    shutil.rmtree(state, ignore_errors=True)
    if as_json:
        write_json({"run": str(target), **tuned.report})
        return
    _show(tuned, target)


def _show(run: Run, target: Path) -> None:
    """The figures of a run, as a person reads them."""
    report: Mapping[str, Any] = run.report
    if "sweep" in report:
        show_sweep(report["sweep"])
    show_metrics(report)
    cost, epochs, timings = report["cost"], report["epochs"], report["timings"]
    typer.echo(
        f"{cost['parameters']:,} of {cost['total_parameters']:,} parameters trained for {epochs['run']} epochs in "
        f"{timings['fit']:.1f} s, the best after {epochs['best']} ({timings['to_best']:.1f} s); "
        f"the run lies in {target}"
    )
