"""A teacher and its student: what the teacher says of samples, by key, and how that becomes a loss."""
