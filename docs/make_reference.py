"""Writes docs/reference.md: what every command and option is for, as `--help` says it.

python docs/make_reference.py
"""

from __future__ import annotations

import html
from pathlib import Path

import typer
from typer.cli import get_docs_for_click

from headstart.cli.app import app

PAGE = Path(__file__).with_name("reference.md")
HEAD = """# Reference of the commands

This page is made from the commands themselves by `make docs`. Exit codes: 0 done, 1 failed, 2 wrong usage, 3
samples were skipped (under `--strict`), 4 cache and data do not match, 130 and 143 interrupted. Results go to
stdout, progress and errors to stderr.

"""


def reference() -> str:
    """The page."""
    command = typer.main.get_command(app)
    written = get_docs_for_click(obj=command, ctx=typer.Context(command), name="headstart")
    return HEAD + html.unescape(written.replace("# `headstart`\n", "", 1).lstrip())


if __name__ == "__main__":
    PAGE.write_text(reference(), "utf-8")
