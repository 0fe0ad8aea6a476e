"""A run on labelled data that it has not seen: its figures, its predictions, and where they are kept."""
