"""``headstart export``."""

from __future__ import annotations

from headstart import api
from headstart.cli.command import AsJson, Quiet, Said, Verbose, made_from, write_json


@made_from(api.export)
def export(said: Said, as_json: AsJson = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    done = api.export(**said.values, quiet=quiet)
    if as_json:
        write_json(done.as_json)
