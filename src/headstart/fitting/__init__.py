"""Stage 2: train a head on cached features, choose its parameters, and judge it."""
