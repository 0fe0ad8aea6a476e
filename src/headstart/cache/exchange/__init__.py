"""Features out of a cache for other tools, and into it from elsewhere."""
