"""Reading features back: all at once, mapped, in mini-batches, token by token."""
