"""Plots: real PNG files, growing with the classes, whatever the names are."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from headstart.errors import ConfigError
from headstart.plots import (
    bar_plot,
    confusion_plot,
    distribution_plot,
    history_plot,
    learning_curve_plot,
    precision_recall_plot,
    prediction_plot,
    reliability_plot,
    roc_plot,
    scatter_plot,
    shorten,
    sweep_plot,
)

from ..variants import variants


def confusion(n, name="a class name number {}"):
    matrix = np.random.default_rng(0).binomial(9, 0.01, size=(n, n)) + 30 * np.eye(n, dtype=int)
    return {"labels": [name.format(i) for i in range(n)], "matrix": matrix.tolist()}


def opened(png):
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    return image


def test_a_confusion_matrix_grows_with_its_classes_within_reason():
    sizes = [opened(confusion_plot(confusion(n)).png()).height for n in (2, 20, 77, 200)]
    assert sizes[0] < sizes[1] < sizes[2] < sizes[3] < 3500


def test_the_diagonal_of_a_right_matrix_is_dark_and_the_rest_is_white():
    image = opened(confusion_plot({"labels": ["a", "b"], "matrix": [[9, 0], [0, 9]]}).png()).convert("L")
    pixels = np.asarray(image)
    dark = pixels < 80
    assert 0.1 < dark.mean() < 0.4
    rows = np.flatnonzero(dark.mean(axis=1) > 0.2)  # the height of the matrix
    top, bottom = rows[: len(rows) // 4], rows[-len(rows) // 4 :]
    assert np.argwhere(dark[top])[:, 1].mean() < np.argwhere(dark[bottom])[:, 1].mean()


@pytest.mark.parametrize(
    "name", ["$\\frac{{ {}", "line\nbreak {}", "數字 {}", "🦓 {}", "x" * 300 + "{}", "", "_{}^"]
)
def test_no_name_breaks_it(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened(confusion_plot(confusion(3, name), title=name).png())


def test_a_class_without_samples_is_a_white_row():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened(confusion_plot({"labels": ["a", "b"], "matrix": [[0, 0], [1, 9]]}).png())


def history(n, validated):
    return [
        {
            "epoch": epoch,
            "train_loss": 1 / epoch,
            "validation_loss": 1.2 / epoch if validated else None,
            "validation_accuracy": 1 - 0.5 / epoch if validated else None,
            "lr": 0.1 / epoch,
        }
        for epoch in range(1, n + 1)
    ]


@pytest.mark.parametrize("n", variants([1, 2, 100], {2}))
def test_the_history_has_a_panel_more_with_validation(n):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wide, narrow = (
            opened(history_plot(history(n, validated)).png()).width for validated in (True, False)
        )
    assert wide > narrow


def test_a_history_whose_validation_labels_were_all_unseen_is_drawn():
    records = [{**record, "validation_loss": None} for record in history(5, validated=True)]
    opened(history_plot(records).png())


def test_the_same_matrix_gives_the_same_file():
    assert confusion_plot(confusion(5)).png() == confusion_plot(confusion(5)).png()


def test_long_names_keep_both_ends():
    assert shorten("abc") == "abc"
    short = shorten("balance_not_updated_after_bank_transfer")
    assert len(short) == 26
    assert short.startswith("balance_not")
    assert short.endswith("transfer")


def test_plotting_leaves_pyplot_and_the_style_alone():
    script = (
        "import sys, matplotlib\n"
        # Reading the backend alone would import pyplot.
        "style = lambda: {k: matplotlib.rcParams[k] for k in matplotlib.rcParams if k != 'backend'}\n"
        "before = style()\n"
        "from headstart.plots import confusion_plot\n"
        "confusion_plot({'labels': ['a', 'b'], 'matrix': [[1, 2], [3, 4]]}).png()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert style() == before\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


STRANGE = ["$\\frac{{", "line\nbreak", "數字", "🦓", "x" * 300, "", "<b>&amp;</b>"]


def trial(n_classes, n=300):
    rng = np.random.default_rng(n_classes)
    names = [*STRANGE, *(f"class {i}" for i in range(n_classes))][:n_classes]
    codes = np.arange(n) % n_classes
    scores = rng.normal(size=(n, n_classes)) + 3 * np.eye(n_classes)[codes]
    p = np.exp(scores)
    return np.array(names)[codes], p / p.sum(axis=1, keepdims=True), names, rng


def every_plot(n_classes):
    y, p, names, rng = trial(n_classes)
    records = history(20, validated=True)
    points = rng.normal(size=(len(y), 2))
    shares = dict(zip(names, rng.random(n_classes), strict=True))
    return {
        "confusion": confusion_plot({"labels": names, "matrix": np.eye(n_classes, dtype=int).tolist()}),
        "history": history_plot(records, STRANGE[0]),
        "learning": learning_curve_plot({name: ([1, 4, 16], rng.random((3, 5))) for name in names[:3]}),
        "roc": roc_plot(y, p, names),
        "precision_recall": precision_recall_plot(y, p, names),
        "predictions": prediction_plot(points[:, 0], points[:, 1], STRANGE[0], STRANGE[0]),
        "distribution": distribution_plot(points[:, 0], STRANGE[0], y),
        "reliability": reliability_plot(p.max(axis=1), rng.random(len(y)) < 0.7),
        "scatter": scatter_plot(points, y),
        "scatter_by_number": scatter_plot(points, rng.normal(size=len(y)), column=STRANGE[0]),
        "sweep": sweep_plot(
            {STRANGE[0]: [1e-3, 1e-2] * 2, "pooling": ["cls", "cls", "mean", "mean"]}, [1, 2, 3, 4]
        ),
        "line": sweep_plot({"lr": [1e-3, 1e-2, 1e-2]}, [0.1, 0.2, np.nan]),
        "bars": bar_plot(shares, {name: [value, value + 0.1] for name, value in shares.items()}),
    }


@pytest.mark.parametrize("n_classes", variants([2, 77], {77}))
def test_every_plot_is_a_png_and_an_svg_whatever_the_names_are(n_classes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, plot in every_plot(n_classes).items():
            image = opened(plot.png())
            assert 250 < image.width < 2500, name
            assert ElementTree.fromstring(plot.svg()).tag.endswith("svg"), name


def test_the_same_plot_gives_the_same_files_in_any_order():
    chosen = ("confusion", "history", "roc", "distribution")
    drawn = {name: (every_plot(3)[name].png(), every_plot(3)[name].svg()) for name in chosen}
    again = {name: (every_plot(3)[name].png(), every_plot(3)[name].svg()) for name in reversed(chosen)}
    assert [name for name in chosen if again[name] != drawn[name]] == []


def text_of(plot):
    return [node.text for node in ElementTree.fromstring(plot.svg()).iter() if node.tag.endswith("text")]


def test_the_names_and_counts_of_a_confusion_matrix_are_text_in_the_svg():
    written = text_of(confusion_plot({"labels": ["a & b", "$x$"], "matrix": [[41, 0], [7, 9]]}))
    assert written.count("a & b") == written.count("$x$") == 2  # beside the rows and below the columns
    assert {"41", "7", "9"} <= set(written)
    assert "0" not in written


def test_few_classes_have_a_named_curve_each_and_many_have_none():
    y, p, _, _ = trial(5)
    names = [f"kind {i}" for i in range(77)]
    few = " ".join(text_of(roc_plot(y, p, trial(5)[2])))
    assert "macro average" in few
    codes = np.arange(300) % 77
    many = text_of(roc_plot(np.array(names)[codes], np.full((300, 77), 1 / 77), names))
    assert "77 classes" in many
    assert not any(text.startswith("kind") for text in many)


def test_the_areas_in_the_legend_are_those_of_the_report():
    from headstart.metrics.single import evaluate_single

    rng = np.random.default_rng(0)
    y = np.array(["cat", "dog"])[np.arange(100) % 2]
    ahead = 1 / (1 + np.exp(-rng.normal(size=100) - (y == "dog")))
    p, names = np.stack([1 - ahead, ahead], axis=1), ["cat", "dog"]
    report = evaluate_single(y, p, names, names, resamples=0)
    assert f"dog  {report['roc_auc']:.3f}" in text_of(roc_plot(y, p, names))
    assert f"dog  {report['average_precision']:.3f}" in text_of(precision_recall_plot(y, p, names))


def test_labels_that_allow_no_curve_leave_an_empty_frame():
    p = np.full((5, 3), 1 / 3)
    for plot in (roc_plot, precision_recall_plot):
        opened(plot(np.full(5, "zebra"), p, list("abc")).png())
        opened(plot(np.zeros((5, 3)), p, list("abc")).png())


def test_at_most_twelve_labels_of_an_embedding_are_named():
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(77), np.arange(1, 78))
    names = np.array([f"name {i}" for i in range(77)])[codes]
    written = text_of(scatter_plot(rng.normal(size=(len(codes), 2)), names))
    assert sorted(text for text in written if text.startswith("name")) == [f"name {i}" for i in range(65, 77)]


def test_missing_numbers_and_one_single_point_are_drawn():
    points = np.zeros((3, 2))
    opened(scatter_plot(points, np.array([np.nan, 1, 2])).png())
    opened(scatter_plot(points[:1], np.array(["a"])).png())


def test_a_sweep_frames_its_best_cell_and_leaves_failed_ones_empty():
    written = text_of(sweep_plot({"lr": [1, 1, 2, 2], "decay": [0, 1, 0, 1]}, [0.5, np.nan, 0.25, 0.125]))
    assert {"0.500", "0.250", "0.125"} <= set(written)
    assert "nan" not in written
    opened(sweep_plot({"lr": [1, 2], "decay": [0, 1]}, [np.nan, np.nan]).png())
    with pytest.raises(ConfigError, match="not 3"):
        sweep_plot({"a": [1], "b": [1], "c": [1]}, [1])


def drawn(plot):
    """The first axes of a plot."""
    return plot._drawn[0].axes[0]


def test_the_cells_of_a_sweep_stand_out_from_the_page_and_their_numbers_from_them():
    from matplotlib.colors import to_rgba

    def luminance(colour):
        shares = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
        return float(np.dot(shares, [0.2126, 0.7152, 0.0722]))

    def contrast(one, other):
        high, low = sorted((luminance(one), luminance(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    values = np.linspace(0, 1, 49)
    grid = {"a": np.repeat(range(7), 7).tolist(), "b": np.tile(range(7), 7).tolist()}
    axes = drawn(sweep_plot(grid, values))
    (image,) = axes.images
    cells = image.to_rgba(values)
    assert min(contrast(cell, (1, 1, 1)) for cell in cells) > 1.15
    ink_of = {word: to_rgba(artist.color) for artist in axes.artists for word in artist.words}
    assert len(ink_of) == 49
    assert min(contrast(c, ink_of[f"{v:.3f}"]) for c, v in zip(cells, values, strict=True)) > 3.5
    same = drawn(sweep_plot({"a": [1, 1, 2, 2], "b": [1, 2, 1, 2]}, [0.5] * 4))
    assert contrast(same.images[0].to_rgba(0.5), to_rgba(same.artists[0].color)) > 3.5


@pytest.mark.parametrize(
    ("values", "scale"),
    [([0.01, 0.1, 1], "log"), ([0.1, 0.2, 0.3], "linear"), ([0, 0.1, 1], "linear")],
)
def test_a_sweep_over_one_parameter_is_a_line_over_a_log_axis_where_it_spans_much(values, scale):
    axes = drawn(sweep_plot({"C": values}, [0.5, 0.7, 0.6]))
    assert axes.get_xscale() == scale
    (line,) = axes.lines
    assert line.get_linestyle() == "-"
    assert line.get_xydata().tolist() == [list(pair) for pair in zip(values, [0.5, 0.7, 0.6], strict=True)]


def test_shots_double_from_tick_to_tick_and_sizes_of_a_curve_grow_tenfold():
    shots = {"ridge": ([1, 2, 4], [[0.5], [0.6], [0.7]])}
    axes = drawn(learning_curve_plot(shots, base=2))
    assert (axes.get_xscale(), axes.xaxis.get_transform().base) == ("log", 2)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "4"]
    assert drawn(learning_curve_plot(shots)).get_xscale() == "linear"
    sizes = {"ridge": ([10, 30, 300], [[0.5], [0.6], [0.7]])}
    axis = drawn(learning_curve_plot(sizes)).xaxis
    assert (axis.get_scale(), axis.get_transform().base) == ("log", 10)


def test_a_seed_that_failed_leaves_the_mean_of_the_others():
    axes = drawn(learning_curve_plot({"mlp": ([1, 2], [[0.25, 0.75], [0.5, np.nan]])}))
    assert axes.lines[-1].get_ydata().tolist() == [0.5, 0.5]


def test_predictions_lie_about_the_diagonal_on_one_scale():
    y = np.array([0.0, 10, 20, np.nan])
    axes = drawn(prediction_plot(y, y * 2, column="age"))
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_xlim()[0] < 0
    assert axes.get_xlim()[1] > 40
    assert {"true age", "predicted age"} <= set(text_of(prediction_plot(y, y, column="age")))
    assert len(axes.collections[0].get_offsets()) == 3
    opened(prediction_plot(np.ones(3), np.ones(3)).png())
    opened(prediction_plot(np.empty(0), np.empty(0)).png())


def test_one_distribution_is_drawn_large_with_a_title_that_is_not_cut():
    values = np.random.default_rng(0).normal(size=50)
    one = distribution_plot(values, "predicted − true length of the whole animal")
    assert opened(one.png()).width > 600
    (filled, _) = drawn(one).patches
    assert len(filled.get_data().values) == 14  # bins that hold some samples each, and not 40 for 50 samples
    assert "predicted − true length of the whole animal" in text_of(one)


def test_of_many_bars_the_first_and_the_last_are_shown():
    written = text_of(bar_plot({f"bar {i}": i / 300 for i in range(300)}))
    assert {"bar 0", "bar 39", "bar 260", "bar 299", "…"} <= set(written)
    assert "bar 150" not in written


def test_a_history_of_other_metrics_gets_a_panel_for_each():
    records = [
        {"epoch": e, "train_loss": 1 / e, "validation_loss": 1 / e, "validation_r2": 1 - 1 / e, "lr": 0.1}
        for e in (1, 2, 3)
    ]
    written = text_of(history_plot(records))
    assert {"loss", "r2", "learning rate"} <= set(written)
