"""Parts that are programs of their own: each prints one JSON object, whose figures are shown as they come."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.forms import Bench

HERE = Path(__file__).parent
SPREAD = ("median", "min", "max")


def measure(bench: Bench, name: str) -> dict[str, Any]:
    """What ``benchmarks/<name>.py`` printed."""
    bench.say(f"benchmarks/{name}.py")
    command = [sys.executable, str(HERE / f"{name}.py"), *(["--short"] if bench.form.name == "short" else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"benchmarks/{name}.py failed:\n{done.stderr[-2000:]}")
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def figures(report: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The figures of a report in groups, by the path to the group; a median stands with its spread.

    Examples
    --------
    >>> figures({"rows": 9, "seconds": {"load": {"median": 0.5, "min": 0.4, "max": 0.75}}})
    {'': {'rows': '9'}, 'seconds': {'load': '0.5 (0.4–0.75)'}}
    """
    groups: dict[str, dict[str, str]] = {}
    for path, value in _leaves((), report):
        groups.setdefault(": ".join(path[:-1]), {})[path[-1]] = value
    return groups


def number(report: dict[str, Any], *path: str) -> float | None:
    """A figure by its path; None where it was not measured."""
    found: Any = report
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return float(found) if isinstance(found, int | float) else None


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, dict) and set(SPREAD) <= value.keys():
        yield path, f"{_plain(value['median'])} ({_plain(value['min'])}–{_plain(value['max'])})"
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves((*path, str(name).replace("_", " ")), part)
    elif isinstance(value, list):
        for place, part in enumerate(value, start=1):
            name = part.get("name", place) if isinstance(part, dict) else place
            yield from _leaves((*path, str(name)), part)
    else:
        yield path, _plain(value)


def _plain(value: Any) -> str:
    """A number in at most four digits that matter, or whatever it is.

    Examples
    --------
    >>> _plain(1234567), _plain(0.123456), _plain("fp32")
    ('1,234,567', '0.1235', 'fp32')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
