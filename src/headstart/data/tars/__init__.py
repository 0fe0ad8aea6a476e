"""WebDataset tars, read at the offsets of their members."""
