"""``headstart cache ls|show|verify|compact|gc|export|import``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli.command import AsJson, Cache, Quiet, Trust, guarded, write_json, write_result
from headstart.options import split
from headstart.words import counted

if TYPE_CHECKING:
    from headstart.cache.maintenance.collect import Collection
    from headstart.cache.maintenance.compact import Compacted
    from headstart.cache.maintenance.verify import Verification

app = typer.Typer(help="Look after a cache.", no_args_is_help=True)


@app.command("ls")
@guarded
def ls(cache: Cache = None, as_json: AsJson = False) -> None:
    """List the sets and the spaces of a cache."""
    from headstart.cache.maintenance.listing import list_cache
    from headstart.cache.store import Cache

    listing = list_cache(Cache(cache))
    write_result(listing, as_json, lambda: _listing_lines(listing))


@app.command("show")
@guarded
def show(
    name: Annotated[str, typer.Argument(metavar="SET-OR-SPACE")],
    cache: Cache = None,
) -> None:
    """Show all that is known of a set, or of a space by its id, as JSON."""
    from headstart.cache.maintenance.listing import show as describe
    from headstart.cache.store import Cache

    write_json(describe(Cache(cache), name), indent=2)


@app.command("verify")
@guarded
def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="Move what is corrupt to the trash; extract computes it anew.")
    ] = False,
    cache: Cache = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check every shard and every set; exit with 1 if anything is wrong."""
    from headstart.cache.maintenance.verify import verify as check
    from headstart.cache.store import Cache
    from headstart.progress import open_progress

    opened = Cache(cache)
    found = check(opened, open_progress(quiet), repair)
    write_result(found, as_json, lambda: _verification_lines(found, opened.location, repair))
    if not found.is_sound:
        raise typer.Exit(1)


@app.command("compact")
@guarded
def compact(
    format: Annotated[
        str | None,
        typer.Option("--format", help="hdf5 or parquet. Default: what most of the merged shards have."),
    ] = None,
    cache: Cache = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Merge small shards into few of about 64 MB, while others read and write; no vector changes."""
    from headstart.cache.formats import format_name
    from headstart.cache.maintenance.compact import compact as merge
    from headstart.cache.store import Cache
    from headstart.progress import open_progress

    done = merge(Cache(cache), open_progress(quiet), format_name(format) if format else None)
    write_result(done, as_json, lambda: map(_compacted_line, done))
    if any(one.problem for one in done):
        raise typer.Exit(1)


@app.command("gc")
@guarded
def gc(
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without, it is only said.")] = False,
    grace: Annotated[
        float,
        typer.Option("--grace", metavar="DAYS", min=0, help="Spare what is younger, and empty older trash."),
    ] = 7.0,
    earlier: Annotated[
        bool, typer.Option("--earlier", help="Also earlier states of sets, and what only they refer to.")
    ] = False,
    cache: Cache = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Move what no set refers to into the cache's trash, and empty the trash of an earlier gc.

    Of models that were converted for OpenVINO, those that were not used for longest are deleted beyond 10 GB.
    """
    from headstart.cache.maintenance.collect import Collected, collect
    from headstart.cache.store import Cache
    from headstart.progress import open_progress
    from headstart.runtimes.kept import KeptModels

    done = collect(Cache(cache), open_progress(quiet), apply, grace, earlier)
    models = KeptModels().prune(dry_run=not apply)
    done.items += [Collected("model", str(path), 0, n_bytes) for path, n_bytes in models]
    write_result(done, as_json, lambda: _collection_lines(done))
    if done.problems:
        raise typer.Exit(1)


@app.command("export")
@guarded
def export(
    name: Annotated[str, typer.Argument(metavar="SET")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="x.npz, x.h5, x.parquet, x.arrow, or a folder.")],
    format: Annotated[
        str | None,
        typer.Option("--format", help="npz, hdf5, parquet, arrow or datasets. Default: by OUT's ending."),
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="train, validation or test.")] = None,
    tap: Annotated[str | None, typer.Option("--tap")] = None,
    backbone: Annotated[str | None, typer.Option("--backbone", metavar="SPEC")] = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="NAME", help="The only label column.")
    ] = None,
    view: Annotated[
        str | None,
        typer.Option("--view", metavar="NAME", help="An augmented view. Default: the plain feature."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
    cache: Cache = None,
    trust: Trust = None,
    as_json: AsJson = False,
) -> None:
    """Write a set with its features to one file that other tools read."""
    from headstart.cache.export import export as write
    from headstart.cache.store import Cache
    from headstart.trust import trust as trust_code

    trust_code(*trust or [])
    done = write(Cache(cache).open_set(name), out, format, split, tap, label, backbone, overwrite, view)
    result = {"path": str(done.path), "format": done.format, "samples": done.n_samples}
    line = f"{done.path}: {counted(done.n_samples, 'sample')}, {_size(done.n_bytes)} ({done.format})"
    write_result(result, as_json, lambda: [line])


@app.command("import")
@guarded
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="x.npy, x.npz, x.h5 or x.parquet.")],
    set_name: Annotated[str, typer.Option("--set", metavar="NAME", help="What to call the set.")],
    backbone: Annotated[str, typer.Option("--backbone", metavar="NAME", help="What computed the features.")],
    ids: Annotated[
        Path | None,
        typer.Option("--ids", metavar="FILE", help="One id a line, or a table; where FILE has none."),
    ] = None,
    id_column: Annotated[str | None, typer.Option("--id-column", metavar="NAME")] = None,
    label_column: Annotated[
        str | None, typer.Option("--label-column", metavar="NAMES", help="One, or several by comma.")
    ] = None,
    split_column: Annotated[str | None, typer.Option("--split-column", metavar="NAME")] = None,
    features_column: Annotated[str | None, typer.Option("--features-column", metavar="NAME")] = None,
    split_seed: Annotated[
        int, typer.Option("--split-seed", help="Of the splits that FILE does not bring.")
    ] = 0,
    format: Annotated[str, typer.Option("--format", help="Of new shards: hdf5 or parquet.")] = "hdf5",
    cache: Cache = None,
    trust: Trust = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a set of features that something else computed."""
    from headstart.cache.formats import format_name
    from headstart.extraction.import_matrix import ImportConfig, import_features
    from headstart.progress import open_progress
    from headstart.trust import trust as trust_code

    trust_code(*trust or [])
    labels = split(label_column) if label_column else ()
    config = ImportConfig(
        file, set_name, backbone, ids, id_column, split_column, features_column, labels, split_seed,
        format_name(format), cache,
    )  # fmt: skip
    done = import_features(config, open_progress(quiet))
    result = {"set": done.features.name, "samples": done.n_samples, "new": done.n_new}
    line = f"set {done.features.name}: {counted(done.n_samples, 'sample')}, {done.n_new:,} of them new"
    write_result(result, as_json, lambda: [line])


def _listing_lines(listing: dict[str, Any]) -> list[str]:
    entries = [*map(_set_line, listing["sets"]), *map(_space_line, listing["spaces"])]
    return [f"cache {listing['cache']}", *(entries or ["it is empty; headstart extract fills it"])]


def _verification_lines(found: Verification, root: str | Path, repair: bool) -> Iterator[str]:
    for finding in found.findings:
        done = f" -> {finding.action}" if finding.action else ""
        named = finding.problem.startswith(finding.place)
        yield f"{finding.problem if named else f'{finding.place}: {finding.problem}'}{done}"
    verdict = f"{len(found.findings)} problems" if found.findings else "all sound"
    if not (found.n_shards or found.n_sets or found.findings):
        verdict = f"there is nothing in {root}"
    if repair and found.findings:
        verdict += f", {sum(finding.action is not None for finding in found.findings)} of them repaired"
    counts = counted(found.n_shards, "shard"), counted(found.n_rows, "row"), counted(found.n_sets, "set")
    yield f"{', '.join(counts)}: {verdict}"


def _compacted_line(one: Compacted) -> str:
    sizes = f"{_size(one.bytes_before)} -> {_size(one.bytes_after)}"
    became = f"{one.n_before:,} shards -> {one.n_after:,}, {sizes}"
    return f"space  {one.space}: {one.problem or became}"


def _collection_lines(done: Collection) -> Iterator[str]:
    """What gc found, a line each, and the sum."""
    for item in done.items:
        rows = f"{counted(item.n_rows, 'row')}, " if item.n_rows else ""
        yield f"{item.kind:8}{item.place}: {rows}{_size(item.n_bytes)}"
    yield from (f"restored: {line}, as a set refers to it" for line in done.restored)
    yield from (f"spared: {line}" for line in done.spared)
    yield from (f"problem: {line}" for line in done.problems)
    deleted = [
        item for item in done.items if item.kind in ("trash", "model")
    ]  # a converted model is made anew
    moved = _size(sum(item.n_bytes for item in done.items if item not in deleted))
    freed = _size(sum(item.n_bytes for item in deleted))
    if done.applied:
        yield f"{moved} moved to the trash, {freed} of older trash and converted models deleted"
    else:
        yield f"{moved} would go to the trash, {freed} would be deleted; --apply does it"


def _size(n_bytes: int) -> str:
    """Bytes, for people."""
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:,.1f} kB"


def _set_line(entry: dict[str, Any]) -> str:
    """A set, in a line."""
    if "problem" in entry:
        return f"set    {entry['set']}: {entry['problem']}"
    features = ", ".join(_feature(f) for f in entry["features"])
    labels = (
        ", ".join(f"{name}: {n} classes" if n else name for name, n in entry["classes"].items())
        or "no labels"
    )
    return f"set    {entry['set']}: {counted(entry['samples'], 'sample')}, {labels}; {features}"


def _space_line(entry: dict[str, Any]) -> str:
    """A space, in a line."""
    if "problem" in entry:
        return f"space  {entry['space']}: {entry['problem']}"
    times = ", ".join(
        f"{what} {_ago(entry[what])}" for what in ("created", "written", "used") if entry[what] is not None
    )
    view = f" view {entry['view']}" if entry["view"] else ""
    rate = "" if entry["hit_rate"] is None else f", {entry['hit_rate']:.0%} hits"
    return (
        f"space  {entry['space']}: {counted(entry['rows'], 'row')} at {entry['tap']}{view}, {entry['compute']} stored "
        f"as {entry['stored']}, {_size(entry['bytes'])} in {entry['shards']} shards; {times}{rate}"
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
