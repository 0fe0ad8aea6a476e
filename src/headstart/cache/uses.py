"""How often a space served: hints for `cache ls`, and for gc a sign of life."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cache.claims import host_name
from headstart.errors import StorageError
from headstart.files import write_durably

if TYPE_CHECKING:
    from headstart.types import Json

KEPT_LINES = 1000  # a file; gc trims it


@dataclass(frozen=True, slots=True)
class Uses:
    """What is remembered of the uses of one space.

    Parameters
    ----------
    last : float, optional
        When it was last used, in seconds since the epoch; None: not known.
    held, computed : int
        Rows that commands found, and rows that they computed.
    """

    last: float | None
    held: int
    computed: int

    @property
    def hit_rate(self) -> float | None:
        """The share of rows that were found, in [0, 1]; None where nothing is known."""
        total = self.held + self.computed
        return self.held / total if total else None


def record_use(space: Path, held: int, computed: int) -> None:
    """Append a line; where that is not possible, go without."""
    if not space.is_dir():
        return
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    line = json.dumps({"at": now, "held": int(held), "computed": int(computed)}) + "\n"
    with contextlib.suppress(OSError):
        folder = space / "uses"
        folder.mkdir(exist_ok=True)
        # One write to a file that is only ever appended to: lines of several processes do not mix.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        descriptor = os.open(folder / f"{host_name()}.jsonl", flags, 0o666)
        try:
            os.write(descriptor, line.encode("ascii"))
        finally:
            os.close(descriptor)


def read_uses(space: Path) -> Uses:
    """All uses of a space that are remembered, on any host."""
    last: float | None = None
    held = computed = 0
    for use in _lines(space):
        try:
            at = datetime.datetime.fromisoformat(use["at"]).timestamp()
            n_held, n_computed = int(use["held"]), int(use["computed"])
        except (KeyError, TypeError, ValueError):
            continue  # a hint that was torn or that another version wrote
        last = at if last is None else max(last, at)
        held, computed = held + n_held, computed + n_computed
    return Uses(last, held, computed)


def trim_uses(space: Path) -> None:
    """Keep the last thousand lines of each host."""
    for path in (space / "uses").glob("*.jsonl"):
        with contextlib.suppress(OSError, StorageError):
            lines = path.read_bytes().splitlines(keepends=True)
            if len(lines) > KEPT_LINES:
                write_durably(path, b"".join(lines[-KEPT_LINES:]))


def _lines(space: Path) -> Iterator[dict[str, Json]]:
    for path in sorted((space / "uses").glob("*.jsonl")):
        with contextlib.suppress(OSError):
            for line in path.read_bytes().splitlines():
                with contextlib.suppress(ValueError):
                    use = json.loads(line)
                    if isinstance(use, dict):
                        yield use
