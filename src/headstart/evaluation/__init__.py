"""Judging predictions: figures with intervals as JSON-ready numbers, tables of errors, plots as PNG and SVG."""
