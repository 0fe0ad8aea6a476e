"""project, as far as it writes files: a picture, points, or a folder for another tool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cache.store import Cache
from headstart.errors import ConfigError
from headstart.files import write_durably
from headstart.inspection.elsewhere import check_elsewhere, write_elsewhere
from headstart.inspection.project import project_set
from headstart.table_files import SUFFIXES, check_writable, write_table

if TYPE_CHECKING:
    from headstart.contracts import Progress
    from headstart.inspection.project import ProjectConfig, Projection

PLOTS = (".png", ".svg")


def project_to(config: ProjectConfig, out: Path | None, overwrite: bool, progress: Progress) -> Projection:
    """Project the features of a set, and write what is asked for; mistakes show before any work is done.

    Raises
    ------
    ConfigError
        There is no such column, feature or method, or something else lies at ``out``.
    """
    if config.neighbours != "exact" and config.to != "atlas":
        raise ConfigError(
            "--neighbours approximate is for the neighbours that --to atlas writes; those of umap are approximate as "
            "they are"
        )
    if config.to is not None:
        return _to_tool(config, config.to, out, overwrite, progress)
    if config.vectors:
        raise ConfigError("--vectors goes with --to; `headstart cache export` writes the features of a set")
    if out is None:
        return project_set(config, progress)
    _check_free(out, overwrite)
    found = project_set(config, progress)
    _write(found, out)
    progress.say(f"{found.table.num_rows:,} points written to {out}")
    return found


def _to_tool(
    config: ProjectConfig, to: str, out: Path | None, overwrite: bool, progress: Progress
) -> Projection:
    if out is None:
        raise ConfigError(f"--to {to} writes a folder; say which: --out DIR")
    modality = str(Cache(config.cache).open_set(config.set, config.digest).info["source"]["modality"])
    check_elsewhere(to, out, overwrite, modality)
    found = project_set(config, progress)
    command = write_elsewhere(found, to, out, config, progress)
    progress.say(f"{found.table.num_rows:,} samples written to {out}; open them with: {command}")
    return found


def _check_free(out: Path, overwrite: bool) -> None:
    if out.suffix.lower() not in PLOTS + SUFFIXES:
        raise ConfigError(f"{out} has none of the endings {', '.join(PLOTS + SUFFIXES)}; choose one of them")
    if out.suffix.lower() not in PLOTS:
        check_writable(out)
    elif not out.parent.is_dir():
        raise ConfigError(f"there is no folder {out.parent} to write {out.name} to")
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} is there already; choose another --out, or pass --overwrite")


def _write(found: Projection, out: Path) -> None:
    suffix = out.suffix.lower()
    if suffix in PLOTS:
        plot = found.plot()
        write_durably(out, plot.png() if suffix == ".png" else plot.svg())
    else:
        # A key is bytes, which a table of text cannot hold.
        write_table(found.table if suffix == ".parquet" else found.table.drop_columns(["key"]), out)
