"""``headstart cache ls|show|verify``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.guard import guarded

app = typer.Typer(help="Look after a cache.", no_args_is_help=True)


@app.command("ls")
@guarded
def ls(
    cache: options.Cache = None, as_json: options.AsJson = False, verbose: options.Verbose = False
) -> None:
    """List the sets and the spaces of a cache."""
    from headstart.cache.listing import list_cache
    from headstart.cache.store import Cache

    listing = list_cache(Cache(cache))
    if as_json:
        _write_json(listing)
        return
    typer.echo(f"cache {listing['cache']}")
    for entry in listing["sets"]:
        typer.echo(_set_line(entry))
    for entry in listing["spaces"]:
        typer.echo(_space_line(entry))
    if not listing["sets"] and not listing["spaces"]:
        typer.echo("it is empty; headstart extract fills it")


@app.command("show")
@guarded
def show(
    name: Annotated[str, typer.Argument(metavar="SET-OR-SPACE")],
    cache: options.Cache = None,
    verbose: options.Verbose = False,
) -> None:
    """Show all that is known of a set, or of a space by its id, as JSON."""
    from headstart.cache.listing import show as describe
    from headstart.cache.store import Cache

    _write_json(describe(Cache(cache), name), indent=2)


@app.command("verify")
@guarded
def verify(
    cache: options.Cache = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Check every shard and every set; exit with 1 if anything is wrong."""
    import dataclasses

    from headstart.cache.store import Cache
    from headstart.cache.verify import verify as check
    from headstart.progress import open_progress

    found = check(Cache(cache), open_progress(quiet))
    if as_json:
        _write_json(dataclasses.asdict(found))
    else:
        for finding in found.findings:
            typer.echo(f"{finding.place}: {finding.problem}")
        verdict = f"{len(found.findings)} problems" if found.findings else "all sound"
        typer.echo(f"{found.n_shards:,} shards, {found.n_rows:,} rows, {found.n_sets:,} sets: {verdict}")
    if found.findings:
        raise typer.Exit(1)


def _set_line(entry: dict[str, Any]) -> str:
    if "problem" in entry:
        return f"set    {entry['set']}: {entry['problem']}"
    features = ", ".join(f"{f['backbone']} {f['tap']} ({f['space']})" for f in entry["features"])
    labels = ", ".join(f"{column}: {n} classes" for column, n in entry["classes"].items()) or "no labels"
    return f"set    {entry['set']}: {entry['samples']:,} samples, {labels}; {features}"


def _space_line(entry: dict[str, Any]) -> str:
    if "problem" in entry:
        return f"space  {entry['space']}: {entry['problem']}"
    return (
        f"space  {entry['space']}: {entry['rows']:,} rows at {entry['tap']}, {entry['compute']} stored as "
        f"{entry['stored']}, {entry['bytes'] / 1e6:,.1f} MB in {entry['shards']} shards"
    )


def _write_json(value: Any, indent: int | None = None) -> None:
    import json

    typer.echo(json.dumps(value, indent=indent, ensure_ascii=False))
