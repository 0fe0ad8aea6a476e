"""``headstart audit|rank|project``: what features say without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart import api
from headstart.cli.command import AsJson, Overwrite, Quiet, Said, made_from, write_result
from headstart.columns import LONGEST_CELL, cell, columns

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.types import Json


@made_from(api.audit)
def audit(
    said: Said,
    show: Annotated[int, typer.Option("--show", min=0, help="Rows of each table to write to stdout.")] = 5,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write audit.json and a Parquet file of each table there."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    from headstart.inspection.audit_result import audit_report, audit_tables
    from headstart.progress import open_progress

    _check_free(out, overwrite)
    found = api.audit(**said.values, quiet=quiet)
    report, tables = audit_report(found), audit_tables(found)
    if out is not None:
        _write(out, report, tables)
    write_result(report, as_json, lambda: _page(report, tables, show))
    if out is not None:
        open_progress(quiet).say(f"audit.json and {len(tables)} tables written to {out}")


def _check_free(out: Path | None, overwrite: bool) -> None:
    from headstart.errors import ConfigError

    if out is None or not out.exists():
        return
    if not out.is_dir():
        raise ConfigError(f"{out} is a file; --out takes a folder")
    if any(out.iterdir()) and not overwrite:
        raise ConfigError(f"{out} is not empty; choose another --out, or pass --overwrite")
    if any(out.iterdir()) and not (out / "audit.json").exists():
        raise ConfigError(f"{out} holds something else than an audit, and is not overwritten")


def _write(out: Path, report: Json, tables: dict[str, pa.Table]) -> None:
    from headstart.files import make_directory, write_durably, write_json
    from headstart.inspection.audit_result import TITLES
    from headstart.registry.run import parquet_bytes

    make_directory(out)
    for stale in (name for name in TITLES if name not in tables):  # of an earlier audit with more checks
        (out / f"{stale}.parquet").unlink(missing_ok=True)
    for name, table in tables.items():
        write_durably(out / f"{name}.parquet", parquet_bytes(table))
    write_json(out / "audit.json", report)


def _page(report: Json, tables: dict[str, pa.Table], n: int) -> list[str]:
    from headstart.inspection.audit_result import TITLES, shown_rows, summary_of

    lines = columns(["check", "found", "of which"], summary_of(report))
    for name, table in tables.items():
        if n and table.num_rows:
            header = [column for column in table.column_names if not column.endswith("key")]
            shown = [_cells(header, row) for row in shown_rows(table, n)]
            lines += [
                "",
                f"{TITLES[name]}, the first {len(shown)} of {table.num_rows:,}",
                *columns(header, shown),
            ]
    return lines


def _cells(header: list[str], row: list[Any]) -> list[Any]:
    """Texts in one line each; labels are cut, ids are not: they are to be copied from here."""
    return [
        cell(value, None if name.endswith("id") else LONGEST_CELL) if isinstance(value, str) else value
        for name, value in zip(header, row, strict=True)
    ]


@made_from(api.rank)
def rank(said: Said, as_json: AsJson = False, quiet: Quiet = False) -> None:
    ranked = api.rank(**said.values, quiet=quiet)
    write_result(ranked, as_json, ranked.lines)


@made_from(api.project)
def project(said: Said, quiet: Quiet = False) -> None:
    from headstart.errors import ConfigError

    if said["out"] is None:
        raise ConfigError(
            "say where to write the picture or the points: --out FILE, with --to TOOL --out DIR"
        )
    api.project(**said.values, quiet=quiet)
