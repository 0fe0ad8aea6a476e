"""What a training finds around it, and leaves as it was; and what tells one training from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from headstart.heads.networks.networks import Network
from headstart.training.examples import Stream

LOOKED_AT = 2048
"""Rows of inputs that tell one training from another."""
SMALL_STEP = 1 << 23
"""Multiplications of a step (rows times parameters) from which a second thread pays for its wake-up."""


def identity_of(said: Mapping[str, Any], network: Network, streams: Sequence[Stream]) -> str:
    """Says what is trained on what: the settings, first weights, all targets, and inputs throughout the rows."""
    said = {**said, "seeds": [stream.seed for stream in streams]}
    digest = hashlib.blake2b(json.dumps(said, sort_keys=True, default=str).encode(), digest_size=16)
    tensors = list(network.state_dict().values())
    for each in (part for stream in streams for part in (stream.examples, stream.validation)):
        if each is not None:
            n_looked_at = min(len(each), LOOKED_AT)
            spread = torch.linspace(0, len(each) - 1, n_looked_at, device=each.targets.device).long()
            inputs = [each.take(rows) for rows in torch.split(spread, each.rows_at_once)]
            tensors += [part[0] if isinstance(part, tuple) else part for part in inputs]
            tensors.append(each.targets)
    for tensor in tensors:
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Modules of the user's own draw from the global generators; afterwards these are as they were."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        # Not torch.manual_seed: it also seeds the devices that are not restored.
        torch.default_generator.manual_seed(seed)
        for each in cuda:
            with torch.cuda.device(each):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def threads_for(n_products: int) -> Iterator[None]:
    """One thread where a step is small; afterwards as many as before."""
    before = torch.get_num_threads()
    if n_products < SMALL_STEP:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
