"""``headstart cache push|pull``: sets, copied between this cache and one that lies elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart import api
from headstart.cli.command import AsJson, Quiet, Said, made_from, write_result

if TYPE_CHECKING:
    from headstart.sharing.transfer import Transfer


@made_from(api.push, optional=["sets"])
def push(said: Said, as_json: AsJson = False, quiet: Quiet = False) -> None:
    _write(api.push(**said.values, quiet=quiet), as_json)


@made_from(api.pull)
def pull(said: Said, as_json: AsJson = False, quiet: Quiet = False) -> None:
    _write(api.pull(**said.values, quiet=quiet), as_json)


def _write(done: list[Transfer], as_json: bool) -> None:
    write_result(done, as_json, lambda: map(str, done))
