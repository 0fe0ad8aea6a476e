"""Runs side by side: figures, costs and advice."""
