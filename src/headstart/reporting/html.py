"""One HTML file out of the data of a report: it opens from the disk, and connects to nothing."""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

from headstart.reporting import assets

if TYPE_CHECKING:
    from headstart.types import Json

POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
"""What the page may do: run the script and use the style sheet that it was made with, by their hashes, and show
pictures that are in it. No connection, no other script, no ``eval``."""
ESCAPES = (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"))
"""Within JSON these stand in strings only: escaped, no string can end the element that the data is in."""


def page_html(data: Mapping[str, Json]) -> str:
    """A whole page.

    Parameters
    ----------
    data : Mapping
        What the page shows, of JSON values; nothing of it is ever read as markup.

    Returns
    -------
    str
        All that is not the page's own words is ASCII, so that no encoding can be mistaken.

    Examples
    --------
    >>> page = page_html({"title": "</script><b>", "kind": "set"})
    >>> "</script><b>" in page, "script-src 'sha256-" in page
    (False, True)
    """
    script, style = assets.script(), assets.style()
    policy = POLICY.format(script=_hash(script), style=_hash(style))
    parts = {
        "policy": f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        "title": f"<title>{_title(data)}</title>",
        "style": f"<style>{style}</style>",
        "data": f'<script type="application/json" id="headstart-data">{_json(data)}</script>',
        "script": f"<script>{script}</script>",
    }
    return _filled(assets.skeleton(), parts)


def _filled(skeleton: str, parts: Mapping[str, str]) -> str:
    """The skeleton with its parts; cut first, so that nothing in a part is taken for a place."""
    pieces = [skeleton]
    for name, part in parts.items():
        before, place, after = pieces[-1].partition(f"<!-- {name} -->")
        assert place, f"the skeleton lacks a place for the {name}"
        pieces[-1:] = [before, part, after]
    return "".join(pieces)


def _title(data: Mapping[str, Json]) -> str:
    title = " ".join(str(data.get("title") or "").split())
    words = f"{title[:120]} · headstart" if title else "headstart"
    return html.escape(words).encode("ascii", "xmlcharrefreplace").decode("ascii")


def _json(data: Mapping[str, Json]) -> str:
    try:
        text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    except ValueError:  # a figure that is not a number: JSON has none, and a browser would refuse all of it
        text = json.dumps(_finite(data), ensure_ascii=True, separators=(",", ":"))
    for character, escaped in ESCAPES:
        text = text.replace(character, escaped)
    return text


def _finite(value: Json) -> Json:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, (list, tuple)) else value


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"
