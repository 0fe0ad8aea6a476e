"""What a search finds as a contact sheet: one HTML file, or a picture, with the pictures or texts of samples."""

from __future__ import annotations

import html
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from headstart.data.shown import shown_text
from headstart.errors import ConfigError
from headstart.files import write_durably
from headstart.places import expanded
from headstart.plots.contact_sheet import Row, Tile, contact_sheet
from headstart.thumbnails import LARGE_SIDE, data_address, image_in, thumbnail

if TYPE_CHECKING:
    from headstart.retrieval.matches import Match, Matches
    from headstart.types import Payload

SUFFIXES = (".png", ".html", ".htm")
MOST_DRAWN = 400
"""Tiles of a picture."""
LONGEST = 400
"""Letters of a text."""
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


def save_sheet(matches: Matches, path: str | os.PathLike[str], overwrite: bool) -> Path:
    """Write a contact sheet; see `Matches.save_sheet`."""
    target = Path(expanded(path))
    check_sheet(target, overwrite)
    if target.suffix.lower() == ".png":
        if len(matches) > MOST_DRAWN:
            raise ConfigError(
                f"{len(matches):,} answers are too many for one picture, which shows {MOST_DRAWN}; choose .html, or a "
                "smaller -k"
            )
        content = contact_sheet(_rows(matches, "png")).png()
    else:
        title = html.escape(matches.queries[0] if len(matches.queries) == 1 else "search")
        content = PAGE.format(policy=POLICY, title=title, body=sheet_html(matches)).encode("utf-8")
    write_durably(target, content)
    return target


def sheet_html(matches: Matches) -> str:
    """The sheet as a part of a page; it needs nothing but itself, and nothing of it is read as markup."""
    return "".join(_row_html(row) for row in _rows(matches, "webp"))


def _rows(matches: Matches, format: Literal["webp", "png"]) -> list[Row]:
    asked, samples = matches.contents
    payloads = samples.payloads()

    def small(payload: Payload | None) -> bytes | None:
        file = image_in(payload)
        return None if file is None else thumbnail(file, LARGE_SIDE, format)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = list(pool.map(small, payloads))
        queries = list(pool.map(small, map(asked.image, range(len(matches.queries)))))
    tiles = [
        Tile(image, shown_text(payload, LONGEST), _caption(match), match.id)
        for image, payload, match in zip(images, payloads, matches, strict=True)
    ]
    rows, start = [], 0
    for query, image, n in zip(matches.queries, queries, matches.n_found, strict=True):
        rows.append(Row(" ".join(query.split()), image, tiles[start : start + n]))
        start += n
    return rows


def _caption(match: Match) -> str:
    label: Any = match.label
    if isinstance(label, dict):
        label = next(iter(label.values()))
    said = ", ".join(map(str, label)) if isinstance(label, list) else label
    return f"{match.score:.3f}" + ("" if said is None else f" · {said}")


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
