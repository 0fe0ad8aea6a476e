"""Contact sheet."""

from pathlib import Path


def check_sheet(target: Path, overwrite: bool) -> None: ...
