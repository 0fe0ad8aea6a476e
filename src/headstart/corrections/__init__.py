"""What people decided about labels: read from files, weighed against each other, and applied to a set."""
