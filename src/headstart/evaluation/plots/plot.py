"""A plot: nothing is drawn, and matplotlib is not imported, before its bytes are asked for."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Plot:
    """A drawing that can be written as PNG and as SVG.

    Parameters
    ----------
    draw : callable
        Takes nothing and gives a matplotlib Figure; called once, by the first of `png` and `svg`.

    Examples
    --------
    >>> from headstart.evaluation.plots import history_plot
    >>> plot = history_plot([{"epoch": 1, "train_loss": 0.7, "lr": 0.1}])
    >>> plot.png()[1:4]
    b'PNG'
    """

    draw: Callable[[], Any]

    @cached_property
    def _figure(self) -> Any:
        return self.draw()

    def png(self) -> bytes:
        """The bytes of a PNG file, 120 dots an inch."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        stream = io.BytesIO()
        with _missing_glyphs_are_boxes():
            canvas = FigureCanvasAgg(self._figure)
            canvas.print_png(stream, metadata={"Software": None})
        return stream.getvalue()

    def svg(self) -> bytes:
        """The bytes of an SVG file; text in it is text, which can be searched and copied."""
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        stream = io.BytesIO()
        figure = self._figure
        dpi = figure.dpi
        try:
            # With a salt of its own each name in the file is random, and no two files are the same.
            with (
                _missing_glyphs_are_boxes(),
                matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "headstart"}),
            ):
                FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None})
        finally:
            figure.dpi = dpi  # print_svg leaves its own
        return stream.getvalue()


@contextmanager
def _missing_glyphs_are_boxes() -> Iterator[None]:
    """A class name may be in a script that the font lacks; a box is drawn for it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield
