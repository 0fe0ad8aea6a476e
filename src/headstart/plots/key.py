"""The legend of a plot: a sample of each line or bar beside its name. To be imported where something is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.colors import to_rgba_array
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import IdentityTransform
from numpy.typing import NDArray

from headstart.plots.lettering import Words, outline
from headstart.plots.look import INK

ROW, SAMPLE, GAP, MARGIN, BETWEEN = 1.62, 2.0, 0.8, 0.9, 1.2
"""A row's height, a sample's width, the spaces to its name, to the axes' edges and between columns; in font sizes."""
SPOTS = {
    "upper right": (1, 1), "upper left": (0, 1), "lower left": (0, 0), "lower right": (1, 0),
    "center right": (1, 0.5), "center left": (0, 0.5), "upper center": (0.5, 1), "lower center": (0.5, 0),
}  # fmt: skip
N_POINTS = 200
"""At so many points along each line it is asked whether the legend would lie on it."""


class Key(Artist):
    """Samples and names, in a column at a spot within the axes, or in a row above them.

    ``spot`` is one of `SPOTS`, "above", or "best": the first of them that lies on least of the lines.
    """

    def __init__(self, host: Any, spot: str, title: str = "", size: float = 8) -> None:
        super().__init__()
        self.host, self.spot, self.title, self.size = host, spot, title, size
        self.handles, self.names = host.get_legend_handles_labels()
        self.set_zorder(2)

    @property
    def words(self) -> list[str]:
        """The title and the names."""
        return [self.title, *self.names]

    def draw(self, renderer: Any) -> None:
        """Draw it all, on whatever canvas."""
        em = renderer.points_to_pixels(self.size)
        lefts, middles = self._rows(em)
        n_above = len(middles) - len(self.names)  # 1 with a title
        for handle, x, y in zip(self.handles, lefts[n_above:], middles[n_above:], strict=True):
            for sample in _samples(handle, x, y, em):
                sample.set_figure(self.host.figure)
                sample.draw(renderer)
        starts = lefts + np.where(np.arange(len(lefts)) < n_above, 0, SAMPLE + GAP) * em
        words = self.words[1 - n_above :]
        written = Words(words, np.stack([starts, middles], 1), IdentityTransform(), self.size, INK, align=0)
        written.set_figure(self.host.figure)
        written.draw(renderer)

    def _rows(self, em: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The left ends and the middles of the title, if there is one, and of the rows, in pixels."""
        (x0, y0), (x1, y1) = self.host.bbox.get_points()
        widths = np.array([outline(name).width + SAMPLE + GAP for name in self.names]) * em
        if self.spot == "above":
            return x0 + np.append(0, np.cumsum(widths[:-1] + BETWEEN * em)), np.full(
                len(widths), y1 + 1.7 * em
            )
        n_rows = len(widths) + bool(self.title)
        width, height = max([*widths, outline(self.title).width * em]), ROW * em * n_rows
        across, up = self._spot(width + 2 * MARGIN * em, height + MARGIN * em)
        left = x0 + MARGIN * em + across * (x1 - x0 - width - 2 * MARGIN * em)
        top = y0 + MARGIN / 2 * em + height + up * (y1 - y0 - height - MARGIN * em)
        return np.full(n_rows, left), top - (np.arange(n_rows) + 0.5) * ROW * em

    def _spot(self, width: float, height: float) -> tuple[float, float]:
        if self.spot != "best":
            return SPOTS[self.spot]
        corner, size, box = self.host.bbox.get_points()[0], self.host.bbox.size, np.array([width, height])
        points = np.concatenate([_along(line) for line in self.host.lines])

        def covered(spot: tuple[float, float]) -> int:
            low = corner + np.array(spot) * (size - box)
            return int(((points >= low) & (points <= low + box)).all(axis=1).sum())

        return min(SPOTS.values(), key=covered)


def _along(line: Any) -> NDArray[np.float64]:
    """Points along a line, in pixels."""
    pixels = np.asarray(line.get_transform().transform(line.get_xydata()))
    place = np.linspace(0, len(pixels) - 1, N_POINTS)
    return np.stack([np.interp(place, np.arange(len(pixels)), pixels[:, i]) for i in (0, 1)], axis=1)


def _samples(handle: Any, left: float, middle: float, em: float) -> list[Any]:
    """Artists in pixels that look as the handle does: a line with its marker, or a small bar."""
    width = SAMPLE * em
    if isinstance(handle, Line2D):
        line, dot = Line2D([left, left + width], [middle] * 2), Line2D([left + width / 2], [middle])
        for sample in (line, dot):
            sample.update_from(handle)
            sample.set_transform(IdentityTransform())
        line.set_marker("")
        dot.set_linestyle("")
        return [line, dot] if handle.get_marker() not in ("", "None", None) else [line]
    face, edge = (to_rgba_array(colour) for colour in (handle.get_facecolor(), handle.get_edgecolor()))
    thick = float(np.ravel(handle.get_linewidth())[0])
    if not getattr(handle, "get_fill", lambda: True)():
        return [Line2D([left, left + width], [middle] * 2, color=edge[0], linewidth=thick)]
    style: dict[str, Any] = {"facecolor": face[0], "edgecolor": edge[0], "linewidth": thick}
    return [Rectangle((left, middle - 0.35 * em), width, 0.7 * em, **style)]
