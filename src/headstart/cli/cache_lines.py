"""The lines in which ``headstart cache`` says what is there and what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from headstart.cache.upkeep.collect import Collection


def write_collection(done: Collection) -> None:
    """What gc found, a line each, and the sum."""
    for item in done.items:
        rows = f"{item.n_rows:,} rows, " if item.n_rows else ""
        typer.echo(f"{item.kind:8}{item.place}: {rows}{size(item.n_bytes)}")
    for line in done.restored:
        typer.echo(f"restored: {line}, as a set refers to it")
    for line in done.spared:
        typer.echo(f"spared: {line}")
    for line in done.problems:
        typer.echo(f"problem: {line}")
    moved = sum(item.n_bytes for item in done.items if item.kind != "trash")
    freed = sum(item.n_bytes for item in done.items if item.kind == "trash")
    if done.applied:
        typer.echo(f"{size(moved)} moved to the trash, {size(freed)} of older trash deleted")
    else:
        typer.echo(f"{size(moved)} would go to the trash, {size(freed)} would be deleted; --apply does it")


def size(n_bytes: int) -> str:
    """Bytes, for people."""
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:,.1f} kB"


def set_line(entry: dict[str, Any]) -> str:
    """A set, in a line."""
    if "problem" in entry:
        return f"set    {entry['set']}: {entry['problem']}"
    features = ", ".join(_feature(f) for f in entry["features"])
    labels = ", ".join(f"{column}: {n} classes" for column, n in entry["classes"].items()) or "no labels"
    return f"set    {entry['set']}: {entry['samples']:,} samples, {labels}; {features}"


def space_line(entry: dict[str, Any]) -> str:
    """A space, in a line."""
    if "problem" in entry:
        return f"space  {entry['space']}: {entry['problem']}"
    times = ", ".join(
        f"{what} {_ago(entry[what])}" for what in ("created", "written", "used") if entry[what] is not None
    )
    view = f" view {entry['view']}" if entry["view"] else ""
    rate = "" if entry["hit_rate"] is None else f", {entry['hit_rate']:.0%} hits"
    return (
        f"space  {entry['space']}: {entry['rows']:,} rows at {entry['tap']}{view}, {entry['compute']} stored as "
        f"{entry['stored']}, {size(entry['bytes'])} in {entry['shards']} shards; {times}{rate}"
    )


def _feature(entry: dict[str, Any]) -> str:
    view = f" view {entry['view']}" if entry.get("view") else ""
    return f"{entry['backbone']} {entry['tap']}{view} ({entry['space']})"


def _ago(moment: str) -> str:
    """How long ago a moment in ISO 8601 was, in the largest unit that fits."""
    import datetime

    seconds = (datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(moment)).total_seconds()
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"
