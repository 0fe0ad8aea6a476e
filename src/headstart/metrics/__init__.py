"""Figures of predictions with their intervals, as JSON-ready numbers; tables of errors."""
