"""What a notebook shows: tables, and a bar while something is computed. IPython is used only where it runs already."""

from __future__ import annotations

import html
import re
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.pace import Pace

UPDATE_EVERY = 0.2  # seconds


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, and no terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return shell is not None and hasattr(shell, "kernel")


def hush_libraries() -> None:
    """Keep tqdm from saying that ipywidgets is missing, when a library is imported: nothing of ours needs it."""
    warnings.filterwarnings("ignore", message="IProgress not found")


def display(value: Any, **options: Any) -> Any:
    """Show a value, as the last line of a cell would be shown."""
    from IPython.display import display as shown  # type: ignore[import-not-found,unused-ignore]

    return shown(value, **options)


class Html:
    """HTML as it is."""

    def __init__(self, content: str) -> None:
        self._content = content

    def _repr_html_(self) -> str:
        return self._content

    def __repr__(self) -> str:
        return re.sub(r"<[^>]*>", "", self._content)  # where no HTML is shown, and nothing of what is gone


def html_table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table under a title, neither of which is taken for HTML.

    Examples
    --------
    >>> html_table("<a>", ["b"], [["c"]])
    '<p><b>&lt;a&gt;</b></p><table><tr><th>b</th></tr><tr><td>c</td></tr></table>'
    """
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in header)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows
    )
    named = f"<p><b>{html.escape(title)}</b></p>" if title else ""
    return f"{named}<table>{f'<tr>{head}</tr>' if header else ''}{body}</table>"


def html_facts(title: str, facts: Mapping[str, Any]) -> str:
    """What is known of a thing, a line each."""
    return html_table(title, [], list(facts.items()))


class NotebookBar:
    """A bar in the output of a cell, which goes when all is done."""

    def __init__(self) -> None:
        self._handle: Any = None

    def begin(self, description: str, total: int | None) -> None:
        """Show a bar."""
        self._description, self._noted, self._pace = description, "", Pace(total)
        self._shown = time.monotonic()
        self._handle = display(Html(self._html()), display_id=True)

    def advance(self, n: int, work: float | None = None) -> None:
        """Move the bar."""
        now = time.monotonic()
        self._pace.advance(n, now, work)
        if self._handle is not None and now - self._shown >= UPDATE_EVERY:
            self._shown = now
            self._handle.update(Html(self._html()))

    def note(self, figures: str) -> None:
        """Show figures beside the bar."""
        self._noted = figures

    def end(self) -> None:
        """Take the bar away."""
        if self._handle is not None:
            self._handle.update(Html(""))
            self._handle = None

    def _html(self) -> str:
        total = f' max="{self._pace.total}" value="{self._pace.done}"' if self._pace.total else ""
        said = f"{self._pace}{self._noted and f', {self._noted}'}"
        return f"{html.escape(self._description)} <progress{total}></progress> {html.escape(said)}"
