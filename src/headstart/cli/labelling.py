"""``headstart suggest|cluster``: few labels or none."""

from __future__ import annotations

from shlex import quote

from headstart import api
from headstart.cli.command import AsJson, Quiet, Said, made_from, write_json


@made_from(api.suggest)
def suggest(said: Said, as_json: AsJson = False, quiet: Quiet = False) -> None:
    import typer

    from headstart.columns import columns
    from headstart.progress import open_progress

    found = api.suggest(**said.values, quiet=quiet)
    if as_json:
        write_json(found.as_json)
        return
    progress = open_progress(quiet)
    progress.say(found.said)
    if said["out"] is None:
        for line in columns(*found.shown()):
            typer.echo(line)
        progress.say("--out FILE.csv writes them as corrections to be filled in")
        return
    progress.say(f"fill in the column new of {said['out']}, or look at them on a page:")
    progress.say(f"next: headstart report {found.set} --suggestions {said['out']} --out page.html")
    progress.say(f"then: headstart fit-head {found.set} --corrections {said['out']}")


@made_from(api.cluster)
def cluster(said: Said, as_json: AsJson = False, quiet: Quiet = False) -> None:
    import typer

    from headstart.columns import columns
    from headstart.progress import open_progress

    found = api.cluster(**said.values, quiet=quiet)
    if as_json:
        write_json(found.as_json)
        return
    progress = open_progress(quiet)
    for line in found.lines:
        progress.say(line)
    for line in columns(*found.shown()):
        typer.echo(line)
    if said["out"] is not None:
        progress.say(f"which sample is in which is in {said['out']}")
    progress.say(f"set {found.features.name} has the column {found.column} (state {found.features.digest})")
    progress.say(
        f"next: headstart project {found.features.name} --colour {quote(found.column)} --out map.png"
    )
