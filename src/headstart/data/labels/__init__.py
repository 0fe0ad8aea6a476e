"""What labels are: one a sample, several a sample, numbers."""
