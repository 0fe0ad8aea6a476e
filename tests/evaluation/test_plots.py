"""Plots: real PNG files, growing with the classes, whatever the names are."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from headstart.evaluation.plots import plot_confusion, plot_history, shorten


def confusion(n, name="a class name number {}"):
    matrix = np.random.default_rng(0).binomial(9, 0.01, size=(n, n)) + 30 * np.eye(n, dtype=int)
    return {"labels": [name.format(i) for i in range(n)], "matrix": matrix.tolist()}


def opened(png):
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    return image


def test_a_confusion_matrix_grows_with_its_classes_within_reason():
    sizes = [opened(plot_confusion(confusion(n))).height for n in (2, 20, 77, 200)]
    assert sizes[0] < sizes[1] < sizes[2] < sizes[3] < 3500


def test_the_diagonal_of_a_right_matrix_is_dark_and_the_rest_is_white():
    image = opened(plot_confusion({"labels": ["a", "b"], "matrix": [[9, 0], [0, 9]]})).convert("L")
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
        opened(plot_confusion(confusion(3, name), title=name))


def test_a_class_without_samples_is_a_white_row():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened(plot_confusion({"labels": ["a", "b"], "matrix": [[0, 0], [1, 9]]}))


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


@pytest.mark.parametrize("n", [1, 2, 100])
def test_the_history_has_a_panel_more_with_validation(n):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wide, narrow = (opened(plot_history(history(n, validated))).width for validated in (True, False))
    assert wide > narrow


def test_a_history_whose_validation_labels_were_all_unseen_is_drawn():
    records = [{**record, "validation_loss": None} for record in history(5, validated=True)]
    opened(plot_history(records))


def test_the_same_matrix_gives_the_same_file():
    assert plot_confusion(confusion(5)) == plot_confusion(confusion(5))


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
        "from headstart.evaluation.plots import plot_confusion\n"
        "plot_confusion({'labels': ['a', 'b'], 'matrix': [[1, 2], [3, 4]]})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert style() == before\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
