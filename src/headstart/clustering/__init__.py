"""Groups of samples that nobody labelled: found among the features, described, and kept as a column of the set."""
