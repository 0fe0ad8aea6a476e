"""Class names in any script are written in a font that has their letters, where the machine has one."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from PIL import Image

from headstart.plots import Plot, confusion_plot, distribution_plot, roc_plot, sweep_plot
from headstart.plots.lettering import families_for

NAME = "狗"
FAMILY = "A Font Of A Test"


def plot(title: str = "") -> Plot:
    return confusion_plot({"labels": [NAME, "cat"], "matrix": [[3, 1], [0, 4]]}, title)


def pixels(drawn: Plot) -> np.ndarray:
    with Image.open(io.BytesIO(drawn.png())) as image:
        return np.asarray(image.convert("L"))


def write_font(path: Path, letter: str) -> Path:
    """A font of one letter: a black square."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for point in ((100, 800), (900, 800), (900, 0)):
        pen.lineTo(point)
    pen.closePath()
    square = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(letter): "square"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": square})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 100)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": FAMILY, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path


@pytest.fixture
def font(tmp_path: Path) -> Iterator[str]:
    """A font on this machine that has the letter, and what else there may be is out of the way."""
    manager = font_manager.fontManager
    before = list(manager.ttflist)
    manager.ttflist[:] = [entry for entry in before if entry.name.startswith("DejaVu")]
    manager.addfont(write_font(tmp_path / "square.ttf", NAME))
    yield FAMILY
    manager.ttflist[:] = before


def test_a_name_is_written_in_the_font_that_has_its_letters(
    font: str, caplog: pytest.LogCaptureFixture
) -> None:
    drawn = plot(f"a title with {NAME}")
    assert families_for(["cat", NAME])[-1] == font
    assert font in drawn.svg().decode()
    rows = pixels(drawn)
    assert not caplog.records  # such as of a title in a font that has no bold form
    manager = font_manager.fontManager
    manager.ttflist[:] = [entry for entry in manager.ttflist if entry.name != font]
    without = pixels(plot(f"a title with {NAME}"))
    assert rows.shape != without.shape or (rows < 60).sum() != (without < 60).sum()


def test_names_in_a_legend_are_too(font: str) -> None:
    p = np.random.default_rng(0).random((20, 3))
    y = np.array([NAME, "cat", "dog"])[np.arange(20) % 3]
    assert font in roc_plot(y, p, [NAME, "cat", "dog"]).svg().decode()


def test_names_at_ticks_and_above_panels_are_too(font: str) -> None:
    assert font in sweep_plot({"pooling": [NAME, "cls"]}, [0.5, 0.6]).svg().decode()
    assert font in distribution_plot(np.arange(9), NAME).svg().decode()


def test_letters_that_the_font_has_ask_for_no_other(font: str) -> None:
    assert font not in families_for(["cat", "Käse", "кот", "γάτα"])


def test_no_font_with_the_letters_is_no_warning() -> None:
    private = "\U000f1234"  # in no font
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = {"labels": [private, "cat"], "matrix": [[3, 1], [0, 4]]}
        assert confusion_plot(names, private).svg()
        assert confusion_plot(names, private).png()
