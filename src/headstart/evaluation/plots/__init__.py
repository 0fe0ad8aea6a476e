"""Plots as PNG and SVG, drawn without pyplot: no window, no global state."""

from __future__ import annotations

from headstart.evaluation.plots.bars import bar_plot, distribution_plot
from headstart.evaluation.plots.confusion import confusion_plot, plot_confusion
from headstart.evaluation.plots.cost import cost_plot
from headstart.evaluation.plots.curves import history_plot, learning_curve_plot, plot_history
from headstart.evaluation.plots.plot import Plot
from headstart.evaluation.plots.predicted import prediction_plot
from headstart.evaluation.plots.ranking import precision_recall_plot, roc_plot
from headstart.evaluation.plots.reliability import reliability_plot
from headstart.evaluation.plots.scatter import scatter_plot
from headstart.evaluation.plots.style import shorten
from headstart.evaluation.plots.sweep import sweep_plot

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
