"""A contact sheet as one HTML file, or as a picture."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from headstart.errors import ConfigError
from headstart.files import write_durably
from headstart.plots.contact_sheet import Row, Tile, contact_sheet
from headstart.thumbnails import data_address

SUFFIXES = (".png", ".html", ".htm")
MOST_DRAWN = 400
"""Tiles of a picture."""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width"><title>{title} · headstart</title></head>
<body style="margin: 1rem; font: 14px system-ui, sans-serif; color: #1f2933">{body}</body></html>
"""
GRID = "display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 12px; align-items: start"
TEXT = "border: 1px solid #c9d1d9; padding: 6px; max-height: 160px; overflow: auto; overflow-wrap: anywhere"


def check_sheet(target: Path, overwrite: bool) -> None:
    """Refuse a place that no sheet may be written to, before any work is done."""
    if target.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{target} ends neither in .png nor in .html; a contact sheet is one of them")
    if not target.parent.is_dir():
        raise ConfigError(f"there is no folder {target.parent} to write {target.name} to")
    if target.is_dir():
        raise ConfigError(f"{target} is a folder; a contact sheet is a file")
    if target.exists() and not overwrite:
        raise ConfigError(f"{target} is there already; choose another --sheet, or pass --overwrite")


def save_sheet(rows_in: Callable[[Literal["webp", "png"]], Sequence[Row]], target: Path) -> Path:
    """Write a contact sheet; its rows are asked for with pictures of a format."""
    if target.suffix.lower() == ".png":
        rows = rows_in("png")
        if (n := sum(len(row.tiles) for row in rows)) > MOST_DRAWN:
            raise ConfigError(
                f"{n:,} answers are too many for one picture, which shows {MOST_DRAWN}; choose .html, or a smaller -k"
            )
        content = contact_sheet(rows).png()
    else:
        rows = rows_in("webp")
        title = html.escape(rows[0].title if len(rows) == 1 else "search")
        content = PAGE.format(policy=POLICY, title=title, body=sheet_html(rows)).encode("utf-8")
    write_durably(target, content)
    return target


def sheet_html(rows: Sequence[Row]) -> str:
    """The sheet as a part of a page; it needs nothing but itself, and nothing of it is read as markup."""
    return "".join(map(_row_html, rows))


def _row_html(row: Row) -> str:
    picture = "" if row.image is None else f"<p>{_image(row.image, 'the query')}</p>"
    tiles = "".join(map(_tile_html, row.tiles))
    return f'<h3>{html.escape(row.title)}</h3>{picture}<div style="{GRID}">{tiles}</div>'


def _tile_html(tile: Tile) -> str:
    shown = ""
    if tile.image is not None:
        shown = _image(tile.image, tile.name)
    if tile.text or tile.image is None:
        shown += f'<div style="{TEXT}">{html.escape(tile.text or "(not shown)")}</div>'
    caption, name = html.escape(tile.caption), html.escape(tile.name)
    return (
        f'<figure style="margin: 0">{shown}<figcaption>{caption}<br>'
        f'<small style="color: #6b7785; overflow-wrap: anywhere">{name}</small></figcaption></figure>'
    )


def _image(webp: bytes, said: str) -> str:
    return f'<img src="{data_address(webp)}" alt="{html.escape(said)}" style="max-width: 100%; max-height: 224px">'
