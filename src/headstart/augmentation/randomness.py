"""What views draw from: seeds that a view and a sample's key decide, and nothing else.

So a view of a sample is the same in any process, order, thread and batch.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

SEED_BYTES = 16


def derive(*parts: bytes) -> bytes:
    """A seed of 16 bytes that any of the parts changes; each but the last has one length, or holds no NUL."""
    return blake2b(b"\0".join(parts), digest_size=SEED_BYTES).digest()


def generator_of(seed: bytes) -> np.random.Generator:
    """A generator of its own: reader threads share the process, and so the global one."""
    # Philox takes 128 bits as they are. The augmentations here take uniform floats from it alone, and make
    # everything else of them: numpy keeps that stream from version to version, and no other.
    return np.random.Generator(np.random.Philox(key=int.from_bytes(seed, "little")))


def between(generator: np.random.Generator, low: float, high: float) -> float:
    """A number in [low, high)."""
    return low + (high - low) * generator.random()


def below(generator: np.random.Generator, n: int) -> int:
    """A whole number in [0, n)."""
    return int(generator.random() * n)
