"""The look of all plots: colours, sizes, and what is drawn around the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

DPI = 120
POINTS_AN_INCH = 72
INK, FAINT, GREY = "#1f2933", "#c9d1d9", "#6b7785"
TRAIN, VALIDATION = "#2563eb", "#ea580c"
SHADES = ("#ffffff", "#bfdbfe", "#2563eb", "#172554")
PALETTE = (
    "#2563eb", "#ea580c", "#059669", "#c026d3", "#ca8a04", "#0891b2",
    "#dc2626", "#7c3aed", "#65a30d", "#db2777", "#78350f", "#475569",
)  # fmt: skip
"""Twelve colours that can be told apart."""


@dataclass(frozen=True)
class Look:
    """What is drawn around the data of axes: "left", "right", "bottom", "top".

    Lines run through the ticks of ``grid``, ``edges`` are drawn, and ``sides`` have ticks of a ``length`` with words of
    a ``size``, and labels of a ``label_size``, in points.
    """

    grid: Sequence[str] = ("left",)
    edges: Sequence[str] = ("left", "bottom")
    sides: Sequence[str] = ("left", "bottom")
    size: float = 9
    length: float = 3
    label_size: float = 9


LINES = Look()
CELLS = Look(grid=(), edges=("left", "right", "bottom", "top"), sides=())
BARE = Look(grid=(), edges=(), sides=())
SCALE = replace(CELLS, sides=("right",), size=8, length=0, label_size=8)
