"""``failures.jsonl``: the samples that were skipped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from headstart.types import Failure


def read_failures(path: Path) -> list[Failure]:
    """Read a ``failures.jsonl``; an absent one holds none."""
    try:
        # Not splitlines(): an id may hold U+2028 and its like, which end no line of JSON.
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [Failure(**json.loads(line)) for line in lines if line]


def failures_to_jsonl(failures: Sequence[Failure]) -> bytes:
    """Failures, one JSON object a line."""
    return "".join(json.dumps(asdict(failure), ensure_ascii=False) + "\n" for failure in failures).encode()
