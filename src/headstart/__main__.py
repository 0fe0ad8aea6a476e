"""``python -m headstart``."""

from headstart.cli import run

run()
