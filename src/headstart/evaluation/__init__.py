"""Judging predictions: metrics as JSON-ready numbers, plots as PNG bytes."""
