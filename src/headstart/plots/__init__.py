"""Plots as PNG and SVG, drawn without pyplot: no window, no global state."""

from __future__ import annotations

from headstart.plots.bars import bar_plot, distribution_plot, spread_plot
from headstart.plots.classes import confusion_plot, precision_recall_plot, reliability_plot, roc_plot
from headstart.plots.curves import history_plot, learning_curve_plot, schedule_plot, sweep_plot
from headstart.plots.gallery import Gallery
from headstart.plots.plot import Plot
from headstart.plots.scatter import cost_plot, prediction_plot, scatter_plot
from headstart.plots.style import shorten
from headstart.plots.trials import trials_plot

__all__ = [
    "Gallery",
    "Plot",
    "bar_plot",
    "confusion_plot",
    "cost_plot",
    "distribution_plot",
    "history_plot",
    "learning_curve_plot",
    "precision_recall_plot",
    "prediction_plot",
    "reliability_plot",
    "roc_plot",
    "scatter_plot",
    "schedule_plot",
    "shorten",
    "spread_plot",
    "sweep_plot",
    "trials_plot",
]
