"""The parts that every page is made of: the skeleton, the style, and the scripts in their order."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

SCRIPTS = (
    "data", "dom", "colours", "decisions", "state",  # what all views stand on
    "table", "charts", "samples", "relabel", "corrections", "card", "filters",
    "curves", "overview", "run_view", "confusion", "mistakes", "scores", "threshold", "reliability", "slices",
    "classes", "compare",
    "map_points", "map_gl", "map_canvas", "map_colours", "lasso", "map_overlay", "map_gestures", "map",
    "queue",
    "main",  # starts the page, so it comes last
)  # fmt: skip
"""Files of `assets/js`, each a part of one script that hangs its functions on the object `headstart`."""


@cache
def script() -> str:
    """The whole script, as one function that runs at once: a page has no other global name of ours."""
    parts = "\n".join(_read("js", f"{name}.js") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\nconst headstart = {{}};\n{parts}\n}})();\n'


@cache
def style() -> str:
    """The style sheet."""
    return _read("page.css")


@cache
def skeleton() -> str:
    """The HTML around them, with a comment ``<!-- name -->`` where each part goes."""
    return _read("page.html")


def _read(*path: str) -> str:
    return files("headstart.reporting").joinpath("assets", *path).read_text("utf-8")
