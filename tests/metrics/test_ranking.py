"""Curves and areas of rankings: scikit-learn's, with ties and without."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from headstart.metrics.ranking import ranking_curve, ranking_figures
from headstart.plots import precision_recall_plot, roc_plot

pairs = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40).filter(
    lambda rows: len({positive for positive, _ in rows}) == 2
)


@given(pairs)
def test_areas_are_scikit_learns(rows):
    positive, scores = (np.array(column) for column in zip(*rows, strict=True))
    roc_auc, average_precision = ranking_figures(positive[:, None], scores[:, None] / 6)
    assert roc_auc[0] == pytest.approx(oracle.roc_auc_score(positive, scores))
    assert average_precision[0] == pytest.approx(oracle.average_precision_score(positive, scores))


@given(pairs)
def test_curves_are_scikit_learns(rows):
    positive, scores = (np.array(column) for column in zip(*rows, strict=True))
    curve = ranking_curve(positive, scores / 6)
    alarms, hits, _ = oracle.roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.false_positive_rate, alarms)
    np.testing.assert_allclose(curve.true_positive_rate, hits)
    precision, recall, _ = oracle.precision_recall_curve(positive, scores)
    np.testing.assert_allclose(curve.precision[::-1], precision)
    np.testing.assert_allclose(curve.true_positive_rate[::-1], recall)


@pytest.mark.parametrize("n_classes", [2, 5, 20])
def test_the_area_under_a_drawn_curve_is_the_one_beside_its_name(n_classes):
    rng = np.random.default_rng(0)
    codes = np.arange(2000) % n_classes
    p = np.exp(rng.normal(size=(2000, n_classes)) + 1.5 * np.eye(n_classes)[codes])
    p /= p.sum(axis=1, keepdims=True)
    names = [f"class {i}" for i in range(n_classes)]
    for plot in (roc_plot, precision_recall_plot):
        lines = plot(np.array(names)[codes], p, names).draw().axes[0].lines
        named = [line for line in lines if line.get_label()[-5:].startswith(("0.", "1."))]
        assert named
        for line in named:
            area = np.trapezoid(line.get_ydata(), line.get_xdata())
            assert area == pytest.approx(float(line.get_label()[-5:]), abs=0.01), line.get_label()
