"""What is around the data: ticks where the data is, words as they were, and none of what makes matplotlib slow."""

from __future__ import annotations

import io
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from headstart.plots import (
    Plot,
    bar_plot,
    confusion_plot,
    distribution_plot,
    history_plot,
    learning_curve_plot,
    prediction_plot,
    reliability_plot,
    roc_plot,
    sweep_plot,
    trials_plot,
)

RATES = [1e-5, 1e-4, 1e-3, 1e-2]


def plots_of_a_run() -> dict[str, Plot]:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 60)
    y = np.array(["cat", "dog", "owl"])[np.arange(60) % 3]
    records = [
        {"epoch": e, "train_loss": 1 / e, "validation_loss": 1 / e, "lr": 1e-5 / e} for e in range(1, 9)
    ]
    return {
        "confusion": confusion_plot({"labels": ["cat", "dog"], "matrix": [[3, 1], [0, 4]]}),
        "reliability": reliability_plot(p.max(axis=1), rng.random(60) < 0.7),
        "confidence": distribution_plot(p.max(axis=1), "confidence", y),
        "roc": roc_plot(y, p, ["cat", "dog", "owl"]),
        "history": history_plot(records),
        "sweep": sweep_plot({"lr": [1, 1, 2, 2], "decay": [0, 1, 0, 1]}, rng.random(4)),
        "shots": learning_curve_plot({"a": ([1, 2], rng.random((2, 3))), "b": ([1, 2], [0.1, 0.2])}, base=2),
        "search": trials_plot({"lr": RATES, "act": list("abab")}, rng.random(4)),
        "f1": bar_plot({"cat": 0.5, "dog": 0.7}),
        "predictions": prediction_plot(np.arange(9), np.arange(9)),
    }


@pytest.fixture(scope="module")
def drawn() -> dict[str, Any]:
    """The figures of the plots of a run, once their files are made."""
    plots = plots_of_a_run()
    for plot in plots.values():
        with Image.open(io.BytesIO(plot.png())) as image:
            assert image.mode == "RGB"  # a white page has no fourth channel to compress
    return {name: plot._drawn[0] for name, plot in plots.items()}


def test_matplotlib_makes_no_ticks_no_legend_and_few_artists(drawn: dict[str, Any]) -> None:
    for name, figure in drawn.items():
        for axes in figure.axes:
            for axis in (axes.xaxis, axes.yaxis):
                made = [*vars(axis).get("majorTicks", []), *vars(axis).get("minorTicks", [])]
                assert len(made) <= 2, name  # its template of each kind
            assert axes.get_legend() is None, name
            assert len(axes.patches) + len(axes.texts) <= 7, name
        assert not figure.texts, name


def test_ticks_are_where_the_data_is_even_before_anything_was_drawn() -> None:
    from headstart.plots.frame import Ticks

    axes = trials_plot({"lr": RATES, "act": list("abab")}, [0.1, 0.2, 0.3, 0.4]).draw().axes[0]
    ticks = Ticks(axes, "left")
    assert ticks.words == ["a", "b"]
    np.testing.assert_allclose(ticks.places[:, 1], axes.transData.transform([(1e-3, 0), (1e-3, 1)])[:, 1])
    assert (ticks.places[:, 1] > axes.bbox.y0).all()
    assert (ticks.places[:, 1] < axes.bbox.y1).all()
    decades = Ticks(axes, "bottom")
    assert decades.words == ["10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²"]
    assert len(decades.minor) > 20


def svg_texts(plot: Plot) -> dict[str, str]:
    """What each text of the file is styled by."""
    nodes = [node for node in ElementTree.fromstring(plot.svg()).iter() if node.tag.endswith("text")]
    return {node.text or "": node.get("style", "") for node in nodes}


def test_words_are_text_that_ends_where_it_should_in_any_font() -> None:
    numbers = np.array([1e6, 2e6, 4e6])
    texts = svg_texts(prediction_plot(numbers, numbers, "Prices", "price"))
    assert "text-anchor: end" in texts["1e6"]
    assert "text-anchor: middle" in texts["4"]
    assert "text-anchor: middle" in texts["true price"]
    assert "text-anchor: start" in texts["Prices"]
    assert "font-weight: 700" in texts["Prices"]


def test_a_small_learning_rate_is_said_with_its_power_of_ten() -> None:
    texts = svg_texts(plots_of_a_run()["history"])
    assert {"learning rate", "1e−5", "epoch", "loss", "train", "validation"} <= set(texts)


@pytest.mark.parametrize(("end", "spot"), [(1.0, (0, 1)), (0.0, (1, 1))])
def test_a_legend_keeps_off_the_lines_where_it_can(end: float, spot: tuple[float, float]) -> None:
    from headstart.plots.key import Key

    rising = learning_curve_plot({"a": ([1, 2], [[0.0], [end]]), "b": ([1, 2], [[0.0], [end]])})
    figure = rising.draw()
    figure.axes[0].set_ylim(-0.1, 1.1)
    (key,) = (artist for artist in figure.artists if isinstance(artist, Key))
    assert key._spot(200, 80) == spot
    assert key.words == ["", "a", "b"]
