"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from headstart.cli import (
    backbones,
    cache,
    demo,
    extract,
    inspection,
    labelling,
    live,
    pipeline,
    predict,
    reporting,
    runs,
    search,
    sharing,
    training,
)

app = typer.Typer(
    name="headstart",
    help="Run the frozen backbone once. Give every head a head start.",
    epilog="Start with: headstart demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from headstart.version import __version__

        typer.echo(f"headstart {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run the frozen backbone once. Give every head a head start."""


app.command("extract")(extract.extract)
app.command("fit-head")(training.fit_head)
app.command("fine-tune")(training.fine_tune)
app.command("predict")(predict.predict)
app.command("evaluate")(predict.evaluate)
app.command("export")(predict.export)
app.command("compare")(runs.compare)
app.command("plots")(runs.plots)
app.command("report")(reporting.report)
app.command("run")(pipeline.run)
app.command("audit")(inspection.audit)
app.command("rank")(inspection.rank)
app.command("project")(inspection.project)
app.command("search")(search.search)
app.command("suggest")(labelling.suggest)
app.command("cluster")(labelling.cluster)
cache.app.command("diff")(live.diff)
cache.app.command("doctor")(live.doctor)
cache.app.command("push")(sharing.push)
cache.app.command("pull")(sharing.pull)
app.add_typer(cache.app, name="cache")
app.add_typer(backbones.app, name="backbones")
app.add_typer(runs.app, name="runs")
app.command("demo")(demo.demo)
