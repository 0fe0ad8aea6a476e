"""What features say by themselves, before any head is trained: pure functions over arrays."""
