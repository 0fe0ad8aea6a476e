"""Stage 1: run a frozen backbone once over a data set and keep what comes out."""
