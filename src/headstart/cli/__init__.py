"""The ``headstart`` command. One thin file a command; the work is in `headstart.stages`."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from headstart.cli.app import app

    app(prog_name="headstart")
