"""One page to look at a run, a set or two runs: an HTML file that opens from the disk, with everything inside."""
