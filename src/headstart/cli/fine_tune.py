"""``headstart fine-tune``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options as shared
from headstart.cli.guard import guarded
from headstart.cli.options import Group, option, panel

if TYPE_CHECKING:
    from headstart.registry.run import Run

STRATEGY: Group = panel(
    "What trains",
    {
        "strategy": (
            option(str, "--strategy", help="full, frozen, last:K, gradual, lora or scratch."),
            "full",
        ),
        "unfreeze": (
            option(
                str | None,
                "--unfreeze",
                metavar="0,2,4,all",
                help="Of gradual: the last blocks, phase by phase.",
            ),
            None,
        ),
        "init_head": (
            option(Path | None, "--init-head", metavar="RUN", help="Begin with a linear head of the cache."),
            None,
        ),
        "lora_rank": (option(int, "--lora-rank", min=1, help="Width of the adapters."), 8),
        "lora_alpha": (option(float, "--lora-alpha", help="Adapters weigh alpha / rank."), 16.0),
        "lora_dropout": (option(float, "--lora-dropout", help="Of what enters an adapter."), 0.0),
        "cut_cache": (
            option(
                bool, "--cut-cache/--no-cut-cache", help="Compute once what lies below the blocks that train."
            ),
            True,
        ),
        "tap": (option(str | None, "--tap", help="What the head reads, as extract --taps."), None),
    },
)
TRAINING: Group = panel(
    "Training",
    {
        "epochs": (
            option(str | None, "--epochs", metavar="N[,N…]", help="At most, of all phases or each."),
            None,
        ),
        "lr": (option(str | None, "--lr", metavar="R[,R…]", help="Peak rate of the backbone."), None),
        "head_lr": (option(str | None, "--head-lr", metavar="R[,R…]", help="Peak rate of the head."), None),
        "layer_decay": (
            option(float, "--layer-decay", help="Of the rate, from layer to layer downwards."),
            1.0,
        ),
        "weight_decay": (option(float | None, "--weight-decay", min=0, help="Of matrices."), None),
        "schedule": (
            option(str | None, "--schedule", help="constant, linear, cosine, step or one-cycle."),
            None,
        ),
        "warmup_share": (option(float | None, "--warmup-share", help="Of the steps."), None),
        "patience": (
            option(
                int | None,
                "--patience",
                min=1,
                help="Epochs without a better one that end it; else all run (frozen: 10).",
            ),
            None,
        ),
        "batch_size": (option(int | None, "--batch-size", min=1, help="Samples a step."), None),
        "part_size": (
            option(int | None, "--part-size", min=1, help="Samples at once; a step accumulates parts."),
            None,
        ),
        "clip_norm": (option(float, "--clip-norm", help="Of the gradient, at most."), 1.0),
        "label_smoothing": (option(float, "--label-smoothing", help="Spread over all classes."), 0.0),
        "class_weight": (option(str, "--class-weight", help="none or balanced."), "none"),
        "dropout": (option(float, "--dropout", help="Of what enters the head."), 0.0),
        "augment": (
            option(str | None, "--augment", help="default, randaugment or py:…: anew in each epoch."),
            None,
        ),
        "precision": (option(str, "--precision", help="auto, fp32, bf16 or fp16."), "auto"),
        "gradient_checkpointing": (
            option(bool, "--gradient-checkpointing", help="Less memory for a third more time."),
            False,
        ),
    },
)
SEARCH: Group = panel(
    "Choosing parameters",
    {
        "sweep": (
            option(
                str | None,
                "--sweep",
                metavar="GRID",
                help="lr=1e-5..1e-3:3,strategy=last:2,full: all combinations, chosen on validation.",
            ),
            None,
        ),
        "search": (option(str, "--search", help="grid, or optuna, which gives up on the worse."), "grid"),
        "trials": (option(int, "--trials", min=1, help="Of optuna."), 20),
    },
)
WATCH: Group = panel(
    "Watching",
    {
        "track": (
            option(list[str] | None, "--track", help="tensorboard, wandb or mlflow; repeatable."),
            None,
        ),
        "callback": (
            option(list[str] | None, "--callback", metavar="py:…", help="Your own, told after each epoch."),
            None,
        ),
    },
)
SEVERAL: dict[str, Callable[[str], Any]] = {
    "epochs": int,
    "lr": float,
    "head_lr": float,
    "unfreeze": str.strip,
}
INPUTS = {
    name: shared.BACKBONE[name] for name in ("max_length", "image_size", "crop_pct", "prompt", "weights")
}


@guarded
@shared.takes(STRATEGY, TRAINING, SEARCH, WATCH, INPUTS, shared.READING)
def fine_tune(
    context: typer.Context,
    data: Annotated[
        str | None, typer.Argument(metavar="DATA|SET", help="Data as extract takes it, or the name of a set.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option("--backbone", metavar="SPEC", help="Of a set with one it need not be said.")
    ] = None,
    set: Annotated[
        str | None, typer.Option("--set", metavar="NAME", help="Of the set that DATA makes.")
    ] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="NAME", help="Which label column.")] = None,
    split_seed: Annotated[int, typer.Option("--split-seed", help="Of the splits that are made.")] = 0,
    calibrate: Annotated[
        bool, typer.Option("--calibrate/--no-calibrate", help="Scale probabilities on validation data.")
    ] = True,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 …")] = "auto",
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes that read ahead.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Open no network socket.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the training.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RUN", help="Default: runs/<set>-<strategy>.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")] = False,
    overwrite: shared.Overwrite = False,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Repeat a run; other options change it.")
    ] = None,
    cache: shared.Cache = None,
    as_json: shared.AsJson = False,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    **options: Any,
) -> None:
    """Train the whole network, or as much of it as you say, on the very samples that heads are fitted on."""
    values = shared.as_options(locals(), "label_column", "label_names")
    from headstart.config import TuneConfig
    from headstart.errors import ConfigError
    from headstart.progress import open_progress
    from headstart.tuning.stage import fine_tune as run
    from headstart.tuning.stage import prepare_state, run_name

    if (data is None) == (config is None):
        raise ConfigError("say what to train on: headstart fine-tune DATA|SET, or --config FILE")
    given = {name: _listed(name, value) for name, value in values.items() if value is not None}
    if "sweep" in given:
        from headstart.fitting.grids import parse_sweep

        given["sweep"] = parse_sweep(given["sweep"])
    given = shared.said(context, given) if config else given
    resolved = TuneConfig.load(config, given) if config else TuneConfig(**given)
    target = out or Path("runs") / run_name(resolved)
    state = prepare_state(resolved, target, resume, overwrite)
    record = run(resolved, open_progress(quiet), state)
    record.save(target, overwrite)
    shutil.rmtree(state, ignore_errors=True)
    if as_json:
        shared.write_json({"run": str(target), **record.report})
        return
    _show(record, target)


def _listed(name: str, value: Any) -> Any:
    """An option as the configuration takes it: some are lists, with commas between."""
    if name not in SEVERAL or not isinstance(value, str):
        return value
    from headstart.errors import ConfigError

    try:
        return [SEVERAL[name](part) for part in value.split(",")]
    except ValueError:
        said = name.replace("_", "-")
        raise ConfigError(f"--{said} takes numbers with commas between (got {value!r})") from None


def _show(record: Run, target: Path) -> None:
    """The figures of a run, as a person reads them."""
    from headstart.cli.fit_head import show_metrics, show_sweep

    report: Mapping[str, Any] = record.report
    if "sweep" in report:
        show_sweep(report["sweep"])
    show_metrics(report)
    cost, epochs, timings = report["cost"], report["epochs"], report["timings"]
    typer.echo(
        f"{cost['parameters']:,} of {cost['total_parameters']:,} parameters trained for {epochs['run']} epochs in "
        f"{timings['fit']:.1f} s, the best after {epochs['best']} ({timings['to_best']:.1f} s); "
        f"the run lies in {target}"
    )
