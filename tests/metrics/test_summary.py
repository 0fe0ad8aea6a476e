"""Means and deviations over seeds."""

from __future__ import annotations

import statistics

import pytest

from headstart.metrics.tables import summarise


def test_every_figure_has_its_mean_and_its_deviation():
    reports = [{"n": 10, "accuracy": value, "per_class": {}, "roc_auc": None} for value in (0.5, 0.7, 0.9)]
    summary = summarise(reports)
    assert set(summary) == {"n", "accuracy"}
    assert summary["accuracy"]["mean"] == pytest.approx(0.7)
    assert summary["accuracy"]["deviation"] == pytest.approx(statistics.stdev([0.5, 0.7, 0.9]))
    assert summary["accuracy"]["values"] == [0.5, 0.7, 0.9]


def test_a_figure_that_one_report_lacks_is_that_of_the_others():
    summary = summarise([{"roc_auc": None}, {"roc_auc": 0.8}, {}])
    assert summary == {"roc_auc": {"mean": 0.8, "deviation": None, "values": [0.8]}}
    assert summarise([]) == {}
