"""Raw inputs through the cache and a run, to labels by name and probabilities."""
