"""What writers leave behind, and signs that a space is still wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cache.uses import read_uses
from headstart.errors import HeadstartError
from headstart.files import PARTIAL

if TYPE_CHECKING:
    from headstart.cache.store import Cache


def last_sign_of_life(path: Path) -> float:
    """When a space was last written to or used, in seconds since the epoch."""
    times = [read_uses(path).last or 0.0]
    for part in [path / "recipe.json", *(path / "shards").glob("*")]:
        with contextlib.suppress(OSError):
            times.append(part.stat().st_mtime)
    if len(times) == 1:  # an empty folder: somebody may be making it
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times)


def count_rows_of(cache: Cache, path: Path) -> int:
    """The rows of a space, as far as they can be read."""
    try:
        return len(cache.open_space(path.name))
    except (HeadstartError, OSError):
        return 0


def partials(root: Path) -> Iterator[Path]:
    """Everything in a cache that is being written, or that nobody finished."""
    for pattern in ("", "spaces/*/", "spaces/*/shards/", "spaces/*/known/", "spaces/*/uses/", "sets/*/"):
        yield from sorted(root.glob(f"{pattern}*{PARTIAL}"))
