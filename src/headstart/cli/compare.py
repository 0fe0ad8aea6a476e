"""``headstart compare``."""

from __future__ import annotations

from headstart import api
from headstart.cli.command import AsJson, Quiet, Said, Verbose, made_from, write_json


@made_from(api.compare)
def compare(said: Said, as_json: AsJson = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Compare runs on the same test samples: figures with intervals, costs, and which one to take."""
    from headstart.progress import open_progress

    comparison = api.compare(**said.values)
    if as_json:
        write_json(comparison.to_json())
    else:
        comparison.show()
    if said["out"] is not None:
        open_progress(quiet).say(f"the comparison lies in {said['out']}")
