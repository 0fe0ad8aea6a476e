"""Search: which samples of a set are nearest to a text, an image, another sample, or a vector."""
