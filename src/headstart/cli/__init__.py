"""The ``headstart`` command. Thin files; the work lies in the packages of what a user does."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from headstart.cli.app import app

    app(prog_name="headstart")
