"""A plot: nothing is drawn, and matplotlib is not imported, before its bytes are asked for."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial, wraps
from typing import Any, ParamSpec

from headstart.types import PlotFormat

COMPRESSION = 3
"""A third more bytes than the most that zlib does, in half the time."""

Given = ParamSpec("Given")

SUFFIXES: Mapping[PlotFormat, tuple[str, ...]] = {
    "png": ("png",), "svg": ("svg",), "both": ("png", "svg"), "none": ()
}  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """A drawing that can be written as PNG and as SVG.

    ``draw`` gives a matplotlib Figure; it is called by the first of `png` and `svg`: once, or twice where its words
    need further fonts.

    Examples
    --------
    >>> from headstart.plots import history_plot
    >>> plot = history_plot([{"epoch": 1, "train_loss": 0.7, "lr": 0.1}])
    >>> plot.png()[1:4]
    b'PNG'
    """

    draw: Callable[[], Any]

    @cached_property
    def _drawn(self) -> tuple[Any, list[str]]:
        """The figure, and the font families that its words need."""
        from matplotlib import rc_context

        from headstart.plots.lettering import families_for, words_of

        with _missing_glyphs_are_boxes():
            figure = self.draw()
            families = families_for(words_of(figure))
            if len(families) > 1:  # text takes its font when it is made
                with rc_context({"font.family": families}):
                    figure = self.draw()
        return figure, families

    def png(self) -> bytes:
        """The bytes of a PNG file, 120 dots an inch."""
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from PIL import Image

        stream = io.BytesIO()
        figure, families = self._drawn
        with _missing_glyphs_are_boxes(), rc_context({"font.family": families}):
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
        # On a white page each pixel is opaque, and without a fourth channel there is less to compress.
        image = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
        image.convert("RGB").save(stream, "png", dpi=(figure.dpi, figure.dpi), compress_level=COMPRESSION)
        return stream.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png()

    def files(self, name: str, asked: PlotFormat) -> dict[str, bytes]:
        """Its files by name; none if none are asked for."""
        return {f"{name}.{suffix}": getattr(self, suffix)() for suffix in SUFFIXES[asked]}

    def svg(self) -> bytes:
        """The bytes of an SVG file; text in it is text, which can be searched and copied."""
        from matplotlib import rc_context
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        stream = io.BytesIO()
        figure, families = self._drawn
        # With a salt of its own each name in the file is random, and no two files are the same.
        settings = {"font.family": families, "svg.fonttype": "none", "svg.hashsalt": "headstart"}
        dpi = figure.dpi
        try:
            with _missing_glyphs_are_boxes(), rc_context(settings):
                FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None})
        finally:
            figure.dpi = dpi  # print_svg leaves its own
        return stream.getvalue()


def drawing(draw: Callable[Given, Any]) -> Callable[Given, Plot]:
    """Make a function that gives a figure give a `Plot` of it, which can be pickled as its arguments can."""

    @wraps(draw)
    def plot(*args: Given.args, **kwargs: Given.kwargs) -> Plot:
        return Plot(partial(_drawn, plot, *args, **kwargs))

    return plot


def _drawn(plot: Any, *args: Any, **kwargs: Any) -> Any:
    return plot.__wrapped__(*args, **kwargs)


@contextmanager
def _missing_glyphs_are_boxes() -> Iterator[None]:
    """A class name may be in a script that no font of this machine has; boxes are drawn for it."""
    log = logging.getLogger("matplotlib.font_manager")
    log.addFilter(_is_no_matter_of_weight)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
            yield
    finally:
        log.removeFilter(_is_no_matter_of_weight)


def _is_no_matter_of_weight(record: logging.LogRecord) -> bool:
    """Not of a title in a font that has no bold form: it would be said on stderr."""
    return "Failed to find font weight" not in record.getMessage()
