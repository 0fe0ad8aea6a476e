"""The ``headstart`` command. Thin files; the work lies in the packages of what a user does."""

from __future__ import annotations

import atexit
import os
import sys
import threading


def main() -> None:
    """Run the command line; ends in `SystemExit`, as a program that embeds it expects."""
    from headstart.cli.app import app

    app(prog_name="headstart")


def run() -> None:
    """Run the command line, and end this process."""
    try:
        main()
    except SystemExit as leaving:
        leave(leaving)


def leave(leaving: SystemExit) -> None:
    """End the process with all that is asked for at its end, but without taking its modules apart.

    That takes half a second where scikit-learn, pandas and torch are loaded, and gives back what the system takes back
    anyway. Where a thread is still at work, or what was written cannot be, the interpreter ends as usual.
    """
    code = 0 if leaving.code is None else leaving.code
    others = (thread for thread in threading.enumerate() if thread is not threading.main_thread())
    if not isinstance(code, int) or any(not thread.daemon for thread in others):
        raise leaving
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # ValueError: it was closed, as nobody reads it any more
        raise leaving from None
    os._exit(code & 0xFF)
