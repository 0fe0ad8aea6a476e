"""What runs are called beside each other."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def name_runs(places: Sequence[Path | None], others: Sequence[str]) -> list[str]:
    """The last parts of each path, as many as tell them apart; runs in memory by what they are.

    Examples
    --------
    >>> name_runs([Path("a/ridge"), Path("b/ridge"), Path("mlp"), None], ["", "", "", "ridge"])
    ['a/ridge', 'b/ridge', 'mlp', 'ridge']
    """
    parts = [Path(os.path.abspath(place)).parts if place else (other,)
             for place, other in zip(places, others, strict=True)]  # fmt: skip
    depth = [1] * len(parts)
    while True:
        names = ["/".join(part[-n:]) for part, n in zip(parts, depth, strict=True)]
        counts = Counter(names)
        longer = [counts[name] > 1 and n < len(part)
                  for name, n, part in zip(names, depth, parts, strict=True)]  # fmt: skip
        if not any(longer):
            return [_printable(name) for name in _numbered(names)]
        depth = [n + more for n, more in zip(depth, longer, strict=True)]


def _numbered(names: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return numbered


def _printable(name: str) -> str:
    """A name without what would move the cursor of a terminal, or break a line of a table."""
    return "".join(
        letter
        if letter.isprintable()
        else letter.encode("unicode_escape", "backslashreplace").decode("ascii")
        for letter in name
    )
