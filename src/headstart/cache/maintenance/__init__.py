"""Looking after a cache: what is in it, is it sound, what can go."""
