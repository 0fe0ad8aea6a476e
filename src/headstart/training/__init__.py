"""Training torch heads: one loop for one head and for many side by side."""
