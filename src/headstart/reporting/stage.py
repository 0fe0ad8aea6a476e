"""report: one page to look at a run, a set or two runs, in one HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any

from headstart.cache.sets import FeatureSet
from headstart.errors import ConfigError
from headstart.report_page import Page
from headstart.reporting.html import page_html
from headstart.reporting.run_page import run_page
from headstart.reporting.runs_page import runs_page
from headstart.reporting.set_page import set_page
from headstart.reporting.subject import open_subject, two_runs
from headstart.version import __version__

if TYPE_CHECKING:
    from headstart.contracts import Progress
    from headstart.reporting.config import ReportConfig
    from headstart.types import Json

FORMAT = 1
PARTS: Mapping[str, Json] = {
    "set": None, "label": None, "points": None, "neighbours": None, "runs": [], "comparison": None, "queues": [],
}  # fmt: skip
"""What a page may lack, and what stands in its place."""


def report(subject: Any, other: Any, config: ReportConfig, progress: Progress) -> Page:
    """Make the page of a run, of a set or of two runs; nothing is written."""
    start = perf_counter()
    data = page_data(subject, other, config, progress)
    page = Page(page_html(data), data["title"], counts_of(data), data["notes"])
    progress.say(f"a page of {len(page) / 1e6:.1f} MB in {perf_counter() - start:.1f} s")
    return page


def page_data(subject: Any, other: Any, config: ReportConfig, progress: Progress) -> dict[str, Json]:
    """What the page holds."""
    notes: list[str] = []
    first = open_subject(subject, config.cache)
    if other is not None:
        if config.suggestions is not None:
            raise ConfigError(
                "--suggestions are for the page of a set or of one run; leave the second run out"
            )
        runs = two_runs(first, open_subject(other, config.cache))
        found = runs_page(runs, config, notes, progress)
    elif isinstance(first, FeatureSet):
        found = set_page(first, config, notes, progress)
    else:
        found = run_page(first, config, notes, progress)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    about = {
        "format": FORMAT,
        "version": __version__,
        "created": created,
        "notes": list(map(_sentence, notes)),
    }
    return {**about, **PARTS, **found}


def _sentence(note: str) -> str:
    return note[:1].upper() + note[1:] + "."


def counts_of(data: Mapping[str, Json]) -> dict[str, int]:
    """How much of everything is on a page."""
    samples = data["samples"]
    thumbs, texts = samples["thumbs"], samples["texts"] or []
    return {
        "samples": samples["n"],
        "texts": sum(bool(text) for text in texts),
        "thumbnails": 0 if thumbs is None else len(thumbs["images"]),
        **{f"queues.{queue['name']}": queue["n"] for queue in data["queues"]},
    }
