"""Objects in buckets and behind web addresses: what an address means, and reading and writing them."""
