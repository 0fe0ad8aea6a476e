"""Few shots and learning curves: which samples are drawn, how good a head is on them, and which of two is ahead."""
