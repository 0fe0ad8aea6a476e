"""``headstart report``: a page to look at a run, a set or two runs."""

from __future__ import annotations

import typer

from headstart import api
from headstart.cli.command import AsJson, Quiet, Said, made_from, write_json


@made_from(api.report)
def report(said: Said, as_json: AsJson = False, quiet: Quiet = False) -> None:
    from time import perf_counter

    from headstart.errors import ConfigError

    if said["out"] is None:
        raise ConfigError("say where to write the page: --out PAGE.html")
    start = perf_counter()
    page = api.report(**said.values, quiet=quiet)
    if as_json:
        seconds = perf_counter() - start
        about = {"page": str(said["out"]), "bytes": len(page), "title": page.title, "seconds": seconds}
        write_json({**about, "counts": dict(page.counts), "notes": list(page.notes)})
        return
    for note in page.notes:
        typer.echo(f"note: {note}")
    typer.echo(
        f"{len(page) / 1e6:.1f} MB with {page.counts['samples']:,} samples; open {said['out']} in a browser"
    )
