"""A page that is made: to be saved, or shown in a notebook."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headstart.errors import ConfigError
from headstart.files import write_durably
from headstart.places import expanded

SUFFIXES = (".html", ".htm")
MOST_SHOWN = 10_000_000
"""Bytes of a page that a notebook shows, and keeps in its file."""


@dataclass(frozen=True)
class Page:
    """One HTML file with everything inside.

    Parameters
    ----------
    html : str
        The file; it opens without network or server.
    title : str
    counts : mapping of str to int
        How much of everything it holds: ``samples``, ``thumbnails``, ``texts``, and ``queues.<name>``.
    notes : sequence of str
        What was left out, and why.
    """

    html: str = field(repr=False)
    title: str
    counts: Mapping[str, int]
    notes: Sequence[str]

    def __len__(self) -> int:
        """Bytes of the file."""
        return len(self.html.encode("utf-8"))

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Write the file.

        Raises
        ------
        ConfigError
            There is something already, and ``overwrite`` is false, or no folder to write to.
        """
        target = Path(expanded(path))
        check_target(target, overwrite)
        write_durably(target, self.html.encode("utf-8"))
        return target

    def _repr_html_(self) -> str:
        n_bytes = len(self)
        if n_bytes > MOST_SHOWN:
            return (
                f"<p>{html.escape(self.title)}: a page of {n_bytes / 1e6:.1f} MB, all of which the notebook would "
                "keep. <code>page.save('page.html')</code> writes it, to be opened in a browser; "
                "<code>thumbnails</code>, <code>samples</code> and <code>text_length</code> make it smaller.</p>"
            )
        # In a frame of its own origin, which can neither read the notebook nor be changed by its style.
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" title="{html.escape(self.title)}" width="100%" height="800" '
            'sandbox="allow-scripts allow-downloads allow-modals"></iframe>'
        )


def check_target(target: Path, overwrite: bool) -> None:
    """Refuse a place that nothing may be written to, before any work is done."""
    if target.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{target} does not end in .html, by which a browser knows a page; name it so")
    if not target.parent.is_dir():
        raise ConfigError(f"there is no folder {target.parent} to write {target.name} to")
    if target.is_dir():
        raise ConfigError(f"{target} is a folder; --out takes the name of a file")
    if target.exists() and not overwrite:
        raise ConfigError(f"{target} is there already; choose another --out, or pass --overwrite")
