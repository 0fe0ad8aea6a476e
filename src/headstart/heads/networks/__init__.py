"""Networks that are trained side by side."""
