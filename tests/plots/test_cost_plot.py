"""Figures against the time they took."""

from __future__ import annotations

import io
import warnings

import pytest
from PIL import Image

from headstart.plots import cost_plot


def drawn(n, name="run {}", seconds=lambda i: 10.0**i):
    names = [name.format(i) for i in range(n)]
    values = {each: 0.5 + i / (2 * n) for i, each in enumerate(names)}
    return cost_plot(
        {each: seconds(i) for i, each in enumerate(names)},
        values,
        {each: [value - 0.02, value + 0.02] if i else None for i, (each, value) in enumerate(values.items())},
        {each: seconds(i) + 50 for i, each in enumerate(names)},
    )


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_every_run_is_named(n):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot = drawn(n, seconds=lambda i: 1 + i / 10)
        with Image.open(io.BytesIO(plot.png())) as image:
            assert min(image.size) > 100
    svg = plot.svg().decode("utf-8")
    assert all(f">run {i}<" in svg for i in range(n))


@pytest.mark.parametrize("name", ["$\\frac{{ {}", "line\nbreak {}", "數字 {}", "x" * 300 + "{}"])
def test_no_name_breaks_it(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drawn(3, name).png().startswith(b"\x89PNG")


def test_seconds_are_written_as_people_say_them():
    svg = drawn(4).svg().decode("utf-8")
    assert all(f">{tick}<" in svg for tick in ("1", "10", "100", "1,000"))
