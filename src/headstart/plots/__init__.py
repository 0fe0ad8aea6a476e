"""Plots as PNG and SVG, drawn without pyplot: no window, no global state."""

from __future__ import annotations

from headstart.plots.bars import bar_plot, distribution_plot
from headstart.plots.confusion import confusion_plot, plot_confusion
from headstart.plots.cost import cost_plot
from headstart.plots.curves import history_plot, learning_curve_plot, plot_history
from headstart.plots.plot import Plot
from headstart.plots.predicted import prediction_plot
from headstart.plots.ranking import precision_recall_plot, roc_plot
from headstart.plots.reliability import reliability_plot
from headstart.plots.scatter import scatter_plot
from headstart.plots.style import shorten
from headstart.plots.sweep import sweep_plot

__all__ = [
    "Plot",
    "bar_plot",
    "confusion_plot",
    "cost_plot",
    "distribution_plot",
    "history_plot",
    "learning_curve_plot",
    "plot_confusion",
    "plot_history",
    "precision_recall_plot",
    "prediction_plot",
    "reliability_plot",
    "roc_plot",
    "scatter_plot",
    "shorten",
    "sweep_plot",
]
