"""Training whole networks: from nothing but the head to everything, and all that lies between."""
