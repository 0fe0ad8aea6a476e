"""What features say without training: audits, rankings, projections, and a cache beside its live data."""
